#!/usr/bin/env bash
# Builds Tollgate optimised and gives it a day of 150 million records; see bench/day/main.py. Plan for 25 GB of disk under
# TMPDIR and an hour: a third of a day took 11 minutes to store and merge. To try it out:
# PROFILE=dev scripts/bench-day.sh --rows 200000 --peak 200 --settle 5.
set -euo pipefail
cd "$(dirname "$0")/.."
profile="${PROFILE:-release}"
folder="$profile"
[ "$folder" = dev ] && folder=debug
tollgate="${TOLLGATE:-${CARGO_TARGET_DIR:-target}/$folder/tollgate}"
[ -n "${TOLLGATE:-}" ] || cargo build --profile "$profile" --workspace --bin tollgate
exec python3 bench/day/main.py --tollgate "$(realpath "$tollgate")" "$@"
