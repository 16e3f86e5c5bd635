#!/usr/bin/env bash
# Installs the independent readers of the table (deltalake, pyarrow, duckdb), peers of the proxy (grpcio, websockets) and a reader of spans (opentelemetry-proto)
# into a virtual environment of their own, once, and prints the path of its interpreter.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv="${TOLLGATE_TOOLS:-$root/.cache/tools}/python"
wanted=(deltalake==1.6.6 pyarrow==26.0.0 duckdb==2.0.0 grpcio==1.85.3 websockets==17.4 opentelemetry-proto==1.45.2)
stamp="$venv/installed"
if [ "$(cat "$stamp" 2>/dev/null)" != "${wanted[*]}" ]; then
  python3 -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check "${wanted[@]}" >&2
  echo "${wanted[*]}" >"$stamp"
fi
echo "$venv/bin/python"
