#!/usr/bin/env bash
# Installs the peers of the benches that ask questions (DuckDB, ClickHouse as chdb) into a virtual environment of their own, once, and
# prints the path of its interpreter. They are apart from scripts/python-tools.sh, so that the tests stay small.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv="${TOLLGATE_TOOLS:-$root/.cache/tools}/bench-python"
wanted=(duckdb==2.0.1 chdb==4.4.0 pyarrow==26.0.0 deltalake==1.6.6 pytz==2025.2)
stamp="$venv/installed"
if [ "$(cat "$stamp" 2>/dev/null)" != "${wanted[*]}" ]; then
  python3 -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check "${wanted[@]}" >&2
  echo "${wanted[*]}" >"$stamp"
fi
echo "$venv/bin/python"
