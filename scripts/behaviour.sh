#!/usr/bin/env bash
# behaviour.sh OLD NEW: records the public behaviour of the binaries in two folders, and compares the recordings.
# Status 0 if they are equal. The recordings stay, for a closer look.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
[ $# = 2 ] || { echo "usage: make behaviour OLD=folder-of-binaries NEW=folder-of-binaries" >&2; exit 2; }
out=$(mktemp -d "${TMPDIR:-/tmp}/behaviour.XXXXXX")
"$here/tests/behaviour/record.py" "$1" "$out/old"
"$here/tests/behaviour/record.py" "$2" "$out/new"
diff -r "$out/old" "$out/new" && echo "both behave alike: $out"
