#!/usr/bin/env bash
# Checks the dependency tree against deny.toml: bans, licences, sources, and advisories if their database can be reached.
#
# The advisory database is a git repository on GitHub. Where it cannot be fetched and no copy is there, advisories are
# skipped, loudly; with TOLLGATE_REQUIRE_ADVISORIES=1 that is a failure instead. Installs cargo-deny once, from
# crates.io, into ${TOLLGATE_TOOLS:-.cache/tools}: about 4 minutes on 2 cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.20.2
tools="${TOLLGATE_TOOLS:-$PWD/.cache/tools}"
deny="$tools/bin/cargo-deny"

if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
  echo "installing cargo-deny $version into $tools" >&2
  mkdir -p "$tools"
  CARGO_TARGET_DIR="$tools/build-cargo-deny" cargo install cargo-deny --version "$version" --locked --quiet --force --root "$tools"
  rm -rf "$tools/build-cargo-deny"
fi

"$deny" --log-level error check --hide-inclusion-graph --allow duplicate bans licenses sources

output=$(mktemp)
trap 'rm -f "$output"' EXIT
if timeout 120 "$deny" --log-level error check --hide-inclusion-graph advisories >"$output" 2>&1; then
  cat "$output"
  exit 0
fi
if ! grep -q "failed to fetch advisory database" "$output"; then
  cat "$output" >&2
  exit 1
fi
# A copy from an earlier run may be old, and is better than none.
if compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/.git" >/dev/null; then
  echo "the advisory database cannot be renewed: checking against the copy that is here" >&2
  exec "$deny" --log-level error --offline check --hide-inclusion-graph advisories
fi
echo "ADVISORIES WERE SKIPPED: their database (https://github.com/RustSec/advisory-db) cannot be reached from here" >&2
[ "${TOLLGATE_REQUIRE_ADVISORIES:-0}" != 1 ]
