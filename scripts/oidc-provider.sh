#!/usr/bin/env bash
# Installs oidc-provider, a certified OpenID provider, from npm, once, by its lock file, and prints the path of the
# program to run with node: scripts/oidc-provider/server.mjs beside its packages.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source="$root/scripts/oidc-provider"
folder="${TOLLGATE_TOOLS:-$root/.cache/tools}/oidc-provider"
command -v node >/dev/null || { echo "node is needed: scripts/install-deps.sh test installs it" >&2; exit 1; }

# Tests that want it at the same time wait for the first.
mkdir -p "$folder"
exec 9>"$folder/install.lock"
flock 9
if ! cmp -s "$source/package-lock.json" "$folder/installed.json"; then
  echo "installing oidc-provider into $folder" >&2
  cp "$source/package.json" "$source/package-lock.json" "$folder/"
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 9>&-)
  cp "$source/package-lock.json" "$folder/installed.json"
fi
cp "$source/server.mjs" "$folder/server.mjs"
echo "$folder/server.mjs"
