#!/usr/bin/env bash
# Runs every fuzz target for a bounded time: scripts/fuzz.sh [SECONDS-EACH, default 60]
# Needs a nightly toolchain (rustup toolchain install nightly) and installs cargo-fuzz. A crash ends it with an error;
# the input that caused it is kept in the target's artifacts/ folder.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
tools="${TOLLGATE_TOOLS:-$PWD/.cache/tools}"
export PATH="$tools/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --quiet --root "$tools"
# A crate that has targets has them in a folder fuzz/ of its own.
for file in */fuzz/fuzz_targets/*.rs */*/fuzz/fuzz_targets/*.rs; do
  folder=${file%/fuzz/fuzz_targets/*}
  target=$(basename "$file" .rs)
  echo "=== $folder: $target, $seconds s"
  (cd "$folder" && cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1)
done
