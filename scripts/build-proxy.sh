#!/usr/bin/env bash
# Builds the proxy as it is shipped, `dist-profiled/tollgate-proxy` in the target folder: optimised over all crates at once,
# and with a profile of itself under load (https://doc.rust-lang.org/rustc/profile-guided-optimization.html). The load
# is that of bench/proxy/main.py with the proxy alone, HTTP/1.1, HTTP/2, TLS, handshakes and large answers, with records and
# without: a minute on loopback, on two cores. A profile is reused until the instrumented binary changes.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
host=$(rustc -vV | sed -n 's/^host: //p')
folder="$target/dist-profiled"
built="$folder/tollgate-proxy"

# Only rustc's own llvm-profdata reads what rustc's LLVM writes.
profdata="$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
if ! [ -x "$profdata" ]; then
  rustup component add llvm-tools || true
  [ -x "$profdata" ] || {
    echo "llvm-profdata is missing; install it with \`rustup component add llvm-tools\`, or do without a profile:" \
      "cargo build --profile dist -p tollgate-proxy" >&2
    exit 1
  }
fi
for tool in nginx wrk h2load openssl taskset python3; do
  command -v "$tool" >/dev/null || { echo "$tool is missing; scripts/install-deps.sh test installs it" >&2; exit 1; }
done
[ "$(nproc)" -ge 2 ] || { echo "the load needs two cores; there is $(nproc)" >&2; exit 1; }

# build FOLDER FLAG: `--target` keeps the flag out of build scripts and procedural macros.
build() {
  CARGO_TARGET_DIR="$folder/$1" CARGO_ENCODED_RUSTFLAGS="$2" \
    cargo build --profile dist --target "$host" -p tollgate-proxy --bin tollgate-proxy
}

mkdir -p "$folder"
rm -f "$built"
build generate "-Cprofile-generate=$folder/raw"
instrumented="$folder/generate/$host/dist/tollgate-proxy"
profile="$folder/$(sha256sum "$instrumented" | cut -c 1-16).profdata"
if ! [ -s "$profile" ]; then
  cargo build --release -p tollgate-collector --example null-collector
  rm -rf "$folder/raw"
  (
    # A file for each process: by default they add to one, and the lack of one would not be seen.
    export LLVM_PROFILE_FILE="$folder/raw/%p.profraw"
    ulimit -n "$(ulimit -Hn)"
    python3 bench/proxy/main.py --proxy "$instrumented" --collector "$target/release/examples/null-collector" \
      --only tollgate --seconds 2 --rounds 1 keepalive http2 tls handshake-full handshake-resumed large
  )
  # One of the proxy with records, one of that without; each is written when it ends.
  found=$(find "$folder/raw" -name '*.profraw' -size +0 | wc -l)
  [ "$found" -ge 2 ] || { echo "there are $found profiles where there should be 2: a proxy did not end by itself" >&2; exit 1; }
  "$profdata" merge -o "$profile.new" "$folder"/raw/*.profraw
  rm -f "$folder"/*.profdata
  mv "$profile.new" "$profile"
fi
# The profile's name is part of the flag, so that every crate is rebuilt for another profile.
build use "-Cprofile-use=$profile"
install -m 755 "$folder/use/$host/dist/tollgate-proxy" "$built"
echo "$built"
