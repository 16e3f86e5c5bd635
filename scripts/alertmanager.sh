#!/usr/bin/env bash
# Alertmanager with Tollgate's routing, for one machine, a demonstration or a test.
#
#   scripts/alertmanager.sh install
#   scripts/alertmanager.sh start --dir D --port P [options]    returns when it answers; again: reads its configuration again
#   scripts/alertmanager.sh stop --dir D
#
# Options of start:
#   --webhook URL        takes everything, pages and tickets     (default: http://127.0.0.1:9095/ticket)
#   --pager URL          takes the pages                         (default: the webhook)
#   --address A          listen here                             (default: 127.0.0.1)
#   --external-url URL   how people reach it                     (default: http://A:P)
#   --while-pid PID      stop when this process has ended, however it ended
#
# Data, configuration, log and pid file are in D. The template is dashboards/alertmanager/alertmanager.yml.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
template=$(dirname "$here")/dashboards/alertmanager/alertmanager.yml
program=alertmanager
start_wait_s=30
. "$here/monitoring/daemon.sh"

literal() {
    printf '%s' "$1" | sed 's/[\\&|]/\\&/g'
}

write_configuration() {
    local edits=(-e "s|http://127.0.0.1:9095/ticket|$(literal "$webhook")|")
    if [ -n "$pager" ] && [ "$pager" != "$webhook" ]; then
        edits+=(-e "s|http://127.0.0.1:9095/page|$(literal "$pager")|")
    else
        # Without a pager of its own, the webhook must not hear of every page twice.
        edits+=(-e '/- url: http:..127.0.0.1:9095.page/,+1d')
    fi
    sed "${edits[@]}" "$template" >"$dir/alertmanager.yml"
    amtool check-config "$dir/alertmanager.yml" >"$dir/check.log" 2>&1 || fail "wrong configuration: $(cat "$dir/check.log")"
}

start() {
    [ -n "$dir" ] && [ -n "$port" ] || fail "start needs --dir and --port"
    need prometheus-alertmanager && need amtool && need curl
    mkdir -p "$dir/data"
    dir=$(cd "$dir" && pwd)
    marker="--config.file=$dir/alertmanager.yml"
    write_configuration
    address=$host:$port
    # An empty cluster address: one alone, without the gossip port.
    start_program "http://$address/-/ready" prometheus-alertmanager "--config.file=$dir/alertmanager.yml" \
        "--storage.path=$dir/data" "--web.listen-address=$address" \
        "--web.external-url=${external_url:-http://$address}" --cluster.listen-address= --log.level=warn
}

stop() {
    [ -n "$dir" ] || fail "stop needs --dir"
    [ -d "$dir" ] || return 0
    dir=$(cd "$dir" && pwd)
    marker="--config.file=$dir/alertmanager.yml"
    stop_program
}

command=${1:-}
[ $# -gt 0 ] && shift
dir='' port='' webhook=http://127.0.0.1:9095/ticket pager='' host=127.0.0.1 external_url='' while_pid=''
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case $1 in
        --dir) dir=$2 ;;
        --port) port=$2 ;;
        --webhook) webhook=$2 ;;
        --pager) pager=$2 ;;
        --address) host=$2 ;;
        --external-url) external_url=$2 ;;
        --while-pid) while_pid=$2 ;;
        *) fail "unknown option $1" ;;
    esac
    shift 2
done

case $command in
    install) exec "$here/install-deps.sh" monitoring ;;
    start) start ;;
    stop) stop ;;
    *) fail "usage: alertmanager.sh install|start|stop (see the head of the script)" ;;
esac
