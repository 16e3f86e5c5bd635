#!/usr/bin/env bash
# Builds everything optimised and measures it beside nginx, in one run (about 4 minutes after the build, which takes
# half an hour on two cores the first time). Arguments choose parts: cpu sizes freshness ingest.
set -euo pipefail
cd "$(dirname "$0")/.."
# One invocation: another selection of packages would build the dependencies with other features again.
cargo build --release --workspace --bins --example bench-ingest --example bench-smoke
exec "${CARGO_TARGET_DIR:-target}/release/examples/bench-smoke" "$@"
