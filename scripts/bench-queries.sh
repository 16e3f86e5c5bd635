#!/usr/bin/env bash
# Builds Tollgate optimised and asks it, ClickHouse and DuckDB twelve questions on the same rows; see bench/queries/main.py for
# parts and options. 20 million rows take about 6 GB of disk under TMPDIR. With PROFILE=dev it builds unoptimised, to try it
# out: PROFILE=dev scripts/bench-queries.sh --rows 200000 --rounds 1 --settle 5.
set -euo pipefail
cd "$(dirname "$0")/.."
profile="${PROFILE:-release}"
folder="$profile"
[ "$folder" = dev ] && folder=debug
tollgate="${TOLLGATE:-${CARGO_TARGET_DIR:-target}/$folder/tollgate}"
[ -n "${TOLLGATE:-}" ] || cargo build --profile "$profile" --workspace --bin tollgate
python=$(scripts/bench-python.sh)
exec "$python" bench/queries/main.py --tollgate "$(realpath "$tollgate")" --python "$python" "$@"
