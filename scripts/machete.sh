#!/usr/bin/env bash
# Finds dependencies that no source of their crate names. Installs cargo-machete once, from crates.io, into
# ${TOLLGATE_TOOLS:-.cache/tools}: about a minute on 2 cores.
#
# A dependency that is needed without being named stands in its crate's [package.metadata.cargo-machete], with the reason.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.9.2
tools="${TOLLGATE_TOOLS:-$PWD/.cache/tools}"
machete="$tools/bin/cargo-machete"

if [ "$("$machete" --version 2>/dev/null)" != "$version" ]; then
  echo "installing cargo-machete $version into $tools" >&2
  mkdir -p "$tools"
  CARGO_TARGET_DIR="$tools/build-cargo-machete" cargo install cargo-machete --version "$version" --locked --quiet --force --root "$tools"
  rm -rf "$tools/build-cargo-machete"
fi
# Files that git ignores are left out, and so are the folders of tools and builds.
exec "$machete" .
