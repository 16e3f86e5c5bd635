#!/usr/bin/env bash
# Builds smugglex, a scanner for request smuggling, once, from crates.io, and prints the path of the program: about 3
# minutes on 2 cores. Its lock file pins what it needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.4.0
tools="${TOLLGATE_TOOLS:-$PWD/.cache/tools}"
program="$tools/bin/smugglex"

# Tests that want it at the same time wait for the first.
mkdir -p "$tools"
exec 9>"$tools/smugglex.lock"
flock 9
if [ "$("$program" --version 2>/dev/null)" != "smugglex $version" ]; then
  echo "installing smugglex $version into $tools" >&2
  CARGO_TARGET_DIR="$tools/build-smugglex" cargo install smugglex --version "$version" --locked --quiet --force --root "$tools" >&2 9>&-
  rm -rf "$tools/build-smugglex"
fi
echo "$program"
