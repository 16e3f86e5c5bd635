#!/usr/bin/env bash
# Builds the proxy as it is shipped, `dist-profiled/tollgate-proxy` in the target folder: optimised over all crates at once,
# and laid out by a profile of itself under load (https://doc.rust-lang.org/rustc/profile-guided-optimization.html). Two
# builds and a minute of load on loopback between them, about a quarter of an hour on two cores. The load is that of
# bench/proxy/main.py with the proxy alone: HTTP/1.1, HTTP/2, TLS, handshakes and large answers, with records and without.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
host=$(rustc -vV | sed -n 's/^host: //p')
tool() { echo "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"; }
built="$target/dist-profiled/tollgate-proxy"
mkdir -p "$target/dist-profiled"

# Only rustc's own llvm-profdata reads what rustc's LLVM writes.
if ! [ -x "$(tool)" ] && ! { rustup component add llvm-tools && [ -x "$(tool)" ]; }; then
  echo "WITHOUT A PROFILE: llvm-profdata is missing; install it with \`rustup component add llvm-tools\`" >&2
  cargo build --profile dist -p tollgate-proxy --bin tollgate-proxy
  cp "$target/dist/tollgate-proxy" "$built"
  exit
fi

# build FOLDER FLAG: `--target` keeps the flag out of build scripts and procedural macros.
build() {
  RUSTFLAGS="${RUSTFLAGS:-} $2" CARGO_TARGET_DIR="$target/$1" \
    cargo build --profile dist --target "$host" -p tollgate-proxy --bin tollgate-proxy
}

profile="$target/profile"
rm -rf "$profile"
mkdir -p "$profile"
cargo build --release -p tollgate-collector --example null-collector
build profiling "-Cprofile-generate=$profile"
(
  ulimit -n "$(ulimit -Hn)"
  python3 bench/proxy/main.py --proxy "$target/profiling/$host/dist/tollgate-proxy" \
    --collector "$target/release/examples/null-collector" --only tollgate --seconds 2 --rounds 1 \
    keepalive http2 tls handshake-full handshake-resumed large
)
"$(tool)" merge -o "$profile/merged.profdata" "$profile"/*.profraw
build profiled "-Cprofile-use=$profile/merged.profdata"
cp "$target/profiled/$host/dist/tollgate-proxy" "$built"
echo "$built"
