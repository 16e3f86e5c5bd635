#!/usr/bin/env bash
# Builds everything optimised and measures it beside nginx, in one run (about 4 minutes after the build).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --bins --workspace
cargo build --release -p tollgate-collector --example bench-ingest
cargo build --release -p tollgate-tests --example bench-smoke
exec "${CARGO_TARGET_DIR:-target}/release/examples/bench-smoke"
