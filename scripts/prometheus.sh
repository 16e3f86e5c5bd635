#!/usr/bin/env bash
# Prometheus with Tollgate's rules, for one machine, a demonstration or a test.
#
#   scripts/prometheus.sh install
#   scripts/prometheus.sh start --dir D --port P [options]    returns when it answers; again: reads its configuration again
#   scripts/prometheus.sh stop --dir D
#
# Options of start:
#   --proxy HOST:PORT          admin address of a proxy; repeatable     (default: 127.0.0.1:9901)
#   --collector HOST:PORT      admin address of a collector; repeatable (default: 127.0.0.1:9902)
#   --alertmanager HOST:PORT   where alerts go                          (default: 127.0.0.1:9093)
#   --query-url URL            HTTP door of the queries, for the evidence link of an alert (default: http://127.0.0.1:8088)
#   --runbook-url URL          where the runbooks are (default: the files beside these rules)
#   --interval T               scrape and evaluate every T              (default: 5s; tests: 1s)
#   --address A                listen here                              (default: 127.0.0.1)
#   --external-url URL         how people reach it                      (default: http://A:P)
#   --retention T              keep samples so long                     (default: 15d)
#   --while-pid PID            stop when this process has ended, however it ended
#
# Data, configuration, log and pid file are in D. The template is dashboards/prometheus/prometheus.yml.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dashboards=$(dirname "$here")/dashboards
program=prometheus
start_wait_s=60
. "$here/monitoring/daemon.sh"

quoted_list() {
    local item list=''
    for item in "$@"; do list+="${list:+, }\"$item\""; done
    echo "$list"
}

# Values go into the template literally, whatever characters they hold.
literal() {
    printf '%s' "$1" | sed 's/[\\&|]/\\&/g'
}

write_configuration() {
    local rules
    rules=$(literal "$dashboards/prometheus/rules")
    sed -e "s|\[\"127.0.0.1:9901\"\]|[$(literal "$(quoted_list "${proxies[@]}")")]|" \
        -e "s|\[\"127.0.0.1:9902\"\]|[$(literal "$(quoted_list "${collectors[@]}")")]|" \
        -e "s|\[\"127.0.0.1:9093\"\]|[\"$(literal "$alertmanager")\"]|" \
        -e "s|tollgate_query_url: .*|tollgate_query_url: \"$(literal "$query_url")\"|" \
        -e "s|tollgate_runbook_url: .*|tollgate_runbook_url: \"$(literal "$runbook_url")\"|" \
        -e "s|_interval: 5s|_interval: $interval|" \
        -e "s|- rules/|- $rules/|" \
        "$dashboards/prometheus/prometheus.yml" >"$dir/prometheus.yml"
    promtool check config "$dir/prometheus.yml" >"$dir/check.log" || fail "wrong configuration: $(cat "$dir/check.log")"
}

start() {
    [ -n "$dir" ] && [ -n "$port" ] || fail "start needs --dir and --port"
    need prometheus && need promtool && need curl
    mkdir -p "$dir/data"
    dir=$(cd "$dir" && pwd)
    marker="--config.file=$dir/prometheus.yml"
    [ ${#proxies[@]} -gt 0 ] || proxies=(127.0.0.1:9901)
    [ ${#collectors[@]} -gt 0 ] || collectors=(127.0.0.1:9902)
    write_configuration
    address=$host:$port
    start_program "http://$address/-/ready" prometheus "--config.file=$dir/prometheus.yml" \
        "--storage.tsdb.path=$dir/data" "--storage.tsdb.retention.time=$retention" \
        "--web.listen-address=$address" "--web.external-url=${external_url:-http://$address}" --log.level=warn
}

stop() {
    [ -n "$dir" ] || fail "stop needs --dir"
    [ -d "$dir" ] || return 0
    dir=$(cd "$dir" && pwd)
    marker="--config.file=$dir/prometheus.yml"
    stop_program
}

command=${1:-}
[ $# -gt 0 ] && shift
dir='' port='' proxies=() collectors=() alertmanager=127.0.0.1:9093 query_url=http://127.0.0.1:8088
runbook_url=file://$dashboards/runbooks interval=5s host=127.0.0.1 external_url='' retention=15d while_pid=''
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case $1 in
        --dir) dir=$2 ;;
        --port) port=$2 ;;
        --proxy) proxies+=("$2") ;;
        --collector) collectors+=("$2") ;;
        --alertmanager) alertmanager=$2 ;;
        --query-url) query_url=${2%/} ;;
        --runbook-url) runbook_url=${2%/} ;;
        --interval) interval=$2 ;;
        --address) host=$2 ;;
        --external-url) external_url=$2 ;;
        --retention) retention=$2 ;;
        --while-pid) while_pid=$2 ;;
        *) fail "unknown option $1" ;;
    esac
    shift 2
done

case $command in
    install) exec "$here/install-deps.sh" monitoring ;;
    start) start ;;
    stop) stop ;;
    *) fail "usage: prometheus.sh install|start|stop (see the head of the script)" ;;
esac
