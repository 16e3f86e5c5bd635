#!/usr/bin/env bash
# Hundreds of faults on real processes: at the end nothing that was acknowledged may be missing, and nothing may be there
# twice. Half an hour for the 200 cycles of the default; arguments: --cycles N --seed N --rate REQUESTS_A_SECOND.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --workspace --bins --example soak
exec "${CARGO_TARGET_DIR:-target}/debug/examples/soak" "$@"
