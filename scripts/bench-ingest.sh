#!/usr/bin/env bash
# Builds everything optimised and measures delivery: acknowledgements, sinks, memory, an outage, recovery. About 20 minutes and
# 15 GB of disk under TMPDIR after the build. Arguments choose parts and sizes: acks sinks memory outage recovery
# --seconds N --gib N. With PROFILE=dev it builds unoptimised, to try the parts out.
set -euo pipefail
cd "$(dirname "$0")/.."
profile="${PROFILE:-release}"
cargo build --profile "$profile" --workspace --bins --example bench-delivery
folder="$profile"
[ "$folder" = dev ] && folder=debug
exec "${CARGO_TARGET_DIR:-target}/$folder/examples/bench-delivery" "$@"
