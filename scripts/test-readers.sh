#!/usr/bin/env bash
# Lets other programs read the table after every step of its maintenance: deltalake, DuckDB, ClickHouse, and Spark with Delta, which
# takes some 500 MB of packages and two minutes. Not a part of `make test`. Arguments name readers; --all makes a missing one an error.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(scripts/bench-python.sh)
"$python" -c "import pyspark" 2>/dev/null || "$python" -m pip install --quiet --disable-pip-version-check "pyspark==4.1.4" >&2 ||
  echo "SKIPPED: pyspark cannot be installed" >&2
if [ -z "${JAVA_HOME:-}" ]; then
  for home in /usr/lib/jvm/*17*; do
    [ -x "$home/bin/java" ] && export JAVA_HOME="$home" && break
  done
fi
cargo build -p tollgate-table --example maintain
exec "$python" tests/readers/main.py --maintain "$(realpath "${CARGO_TARGET_DIR:-target}")/debug/examples/maintain" "$@"
