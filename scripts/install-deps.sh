#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing.
#   scripts/install-deps.sh build        what compiling needs
#   scripts/install-deps.sh monitoring   Prometheus, Alertmanager, their tools, psql and curl
#   scripts/install-deps.sh kafka        what Kafka runs on and is read with
#   scripts/install-deps.sh test         what the whole-system tests need: all of the above, peers, readers
# Nothing is started: services that a package would start on installation are held back.
set -euo pipefail

build=(build-essential ca-certificates cmake curl libssl-dev perl pkg-config python3 zlib1g-dev)
monitoring=(curl postgresql-client procps prometheus prometheus-alertmanager)
kafka=(default-jre-headless kcat maven procps util-linux)
test=(golang-go haproxy nghttp2-client nginx openssl python3-venv strace systemd valgrind wrk)

case "${1:-}" in
build) wanted=("${build[@]}") ;;
monitoring) wanted=("${monitoring[@]}") ;;
kafka) wanted=("${kafka[@]}") ;;
test) wanted=("${build[@]}" "${monitoring[@]}" "${kafka[@]}" "${test[@]}") ;;
*)
  echo "usage: $0 build|monitoring|kafka|test" >&2
  exit 2
  ;;
esac

# A JDK that is already there serves as well as the packaged runtime; likewise a Maven of one's own.
have() {
  case "$1" in
  default-jre-headless) command -v java >/dev/null && return 0 ;;
  maven) command -v mvn >/dev/null && return 0 ;;
  postgresql-client) command -v psql >/dev/null && return 0 ;;
  prometheus) command -v prometheus >/dev/null && command -v promtool >/dev/null && return 0 ;;
  prometheus-alertmanager) command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null && return 0 ;;
  golang-go) command -v go >/dev/null && return 0 ;;
  nghttp2-client) command -v nghttp >/dev/null && command -v h2load >/dev/null && return 0 ;;
  cmake | curl | haproxy | kcat | nginx | openssl | perl | strace | valgrind | wrk) command -v "$1" >/dev/null && return 0 ;;
  systemd) command -v systemd-socket-activate >/dev/null && return 0 ;;
  python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null && return 0 ;;
  esac
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for package in "${wanted[@]}"; do have "$package" || missing+=("$package"); done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "these packages are missing, and there is no apt-get to install them: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "run as root, or install sudo: apt-get install ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}" >&2

# invoke-rc.d asks policy-rc.d whether a service may start; 101 says no. An existing policy is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
"${as_root[@]}" apt-get update -q >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
