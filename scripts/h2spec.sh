#!/usr/bin/env bash
# Builds h2spec, the conformance suite for HTTP/2 servers, once, and prints the path of the program. Its version and those
# of all it needs are pinned by h2spec/go.sum; Go comes from scripts/install-deps.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools="${TOLLGATE_TOOLS:-$here/../.cache/tools}"
program="$tools/bin/h2spec"
pinned=$(sha256sum "$here/h2spec/go.sum" | cut -d' ' -f1)
if [ ! -x "$program" ] || [ "$(cat "$program.pinned" 2>/dev/null)" != "$pinned" ]; then
  mkdir -p "$tools/bin"
  (cd "$here/h2spec" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -o "$program" github.com/summerwind/h2spec/cmd/h2spec) >&2
  echo "$pinned" >"$program.pinned"
fi
echo "$program"
