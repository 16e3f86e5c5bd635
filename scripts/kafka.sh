#!/usr/bin/env bash
# A real Apache Kafka for tests, demonstrations and benchmarks: one KRaft node, installed from Maven Central.
#
#   scripts/kafka.sh install
#   scripts/kafka.sh start --dir D --port P [options]    returns when the broker answers
#   scripts/kafka.sh stop --dir D [--kill]
#   scripts/kafka.sh consume --port P --topic T [--max N]
#
# Options of start:
#   --controller-port Q      KRaft controller (default: P + 1)
#   --fast                   compile it fully, as a broker that works for long does: slower to start, half the CPU later
#   --while-pid PID          stop the broker when this process has ended, however it ended
#   --set KEY=VALUE          one more line of server.properties; repeatable
#   --tls-port R             a second listener with TLS; needs the next three, all PEM
#   --tls-cert F --tls-key F --tls-ca F
#   --tls-client-auth        the TLS listener requires a client certificate of that CA
#   --sasl-user U --sasl-password-file F    the TLS listener (or a plain one, see --sasl-port) asks for SASL PLAIN
#   --sasl-port S            a listener without TLS that asks for SASL PLAIN
#
# stop sends SIGTERM and waits; with --kill it sends SIGKILL, as a power cut would. Both keep the data: a start with the
# same directory goes on from it. The broker's jars live in ${TOLLGATE_TOOLS:-<repository>/.cache/tools}/kafka.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${TOLLGATE_TOOLS:-$(dirname "$here")/.cache/tools}
libs=$tools/kafka/libs
stamp=$tools/kafka/pom.sha256
start_wait_s=90
stop_wait_s=30

fail() {
    echo "kafka.sh: $*" >&2
    exit 1
}

# --- install ----------------------------------------------------------------------------------------------------------

install() {
    "$here/install-deps.sh" kafka
    if installed; then
        echo "kafka is installed in $libs"
        return
    fi
    mkdir -p "$tools/kafka"
    exec 9>"$tools/kafka/.lock"
    command -v flock >/dev/null && flock 9
    if ! installed; then
        local fresh
        fresh=$(mktemp -d "$tools/kafka/libs.XXXXXX")
        mvn -B -q -ntp -f "$here/kafka/pom.xml" dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$fresh"
        rm -rf "$libs"
        mv "$fresh" "$libs"
        chmod 755 "$libs"
        pom_sha256 >"$stamp"
    fi
    exec 9>&-
    echo "kafka is installed in $libs"
}

pom_sha256() {
    sha256sum <"$here/kafka/pom.xml"
}

installed() {
    [ -d "$libs" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(pom_sha256)" ]
}

# --- start ------------------------------------------------------------------------------------------------------------

write_properties() {
    local listeners="PLAINTEXT://127.0.0.1:$port" protocols="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    local tls_protocol=SSL
    [ -n "$sasl_user" ] && [ -z "$sasl_port" ] && tls_protocol=SASL_SSL
    if [ -n "$tls_port" ]; then
        listeners+=",TLS://127.0.0.1:$tls_port"
        protocols+=",TLS:$tls_protocol"
    fi
    if [ -n "$sasl_port" ]; then
        listeners+=",SASL://127.0.0.1:$sasl_port"
        protocols+=",SASL:SASL_PLAINTEXT"
    fi
    cat <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listeners=$listeners,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=$listeners
listener.security.protocol.map=$protocols
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
EOF
    [ -n "$tls_port" ] && tls_properties
    [ -n "$sasl_user" ] && sasl_properties
    [ ${#extra[@]} -eq 0 ] || printf '%s\n' "${extra[@]}"
}

tls_properties() {
    # One PEM file with key and chain is what the broker calls a key store.
    (umask 077 && cat "$tls_key" "$tls_cert" >"$dir/tls-keystore.pem")
    cat <<EOF
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location=$dir/tls-keystore.pem
listener.name.tls.ssl.truststore.type=PEM
listener.name.tls.ssl.truststore.location=$tls_ca
listener.name.tls.ssl.client.auth=$tls_client_auth
EOF
}

sasl_properties() {
    local listener=tls
    [ -n "$sasl_port" ] && listener=sasl
    cat <<EOF
listener.name.$listener.sasl.enabled.mechanisms=PLAIN
listener.name.$listener.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$sasl_user="$(cat "$sasl_password_file")";
EOF
}

write_logging() {
    cat <<EOF
appender.file.type=File
appender.file.name=file
appender.file.fileName=$dir/server.log
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
EOF
}

kafka_java() {
    local main=$1
    shift
    # Compiled once and lightly: a test broker lives for seconds, and the time to start is what counts.
    exec java -Xmx384m -XX:+UseSerialGC ${fast--XX:TieredStopAtLevel=1} -Djava.awt.headless=true \
        "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$libs/*" "$main" "$@"
}

running_pid() {
    local pid
    pid=$(cat "$dir/kafka.pid" 2>/dev/null) || return 1
    # The pid may have been given to another process since: its command line must be this broker's.
    case $(ps -p "$pid" -o args= 2>/dev/null) in
        *"kafka.Kafka $dir/server.properties"*) echo "$pid" ;;
        *) return 1 ;;
    esac
}

answers() {
    timeout 5 kcat -L -b "127.0.0.1:$port" -m 2 2>/dev/null | grep -q 'broker 1 at '
}

cluster_id() {
    # 16 random bytes as unpadded base64url; the first letter is fixed, since a leading dash would read as an option.
    echo "T$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)"
}

format_storage() {
    [ -f "$dir/data/meta.properties" ] && return
    (kafka_java kafka.tools.StorageTool format -t "$(cluster_id)" -c "$dir/server.properties") \
        >"$dir/format.log" 2>&1 || fail "formatting the storage failed: $(tail -3 "$dir/format.log")"
}

await_answer() {
    local pid=$1 deadline=$((SECONDS + start_wait_s))
    until answers; do
        kill -0 "$pid" 2>/dev/null || fail "the broker ended: $(tail -5 "$dir/kafka.out") (see $dir/server.log)"
        [ $SECONDS -lt $deadline ] || fail "no answer on port $port after $start_wait_s s (see $dir/server.log)"
        sleep 0.2
    done
}

watch_process() {
    local watched=$1
    # Detached from every stream and signal of the caller; ends with the broker, or ends it.
    (
        while kill -0 "$watched" 2>/dev/null; do
            running_pid >/dev/null || exit 0
            sleep 1
        done
        stop KILL
    ) </dev/null >/dev/null 2>&1 &
    disown
}

check_options() {
    if [ -n "$tls_port" ]; then
        [ -r "$tls_cert" ] && [ -r "$tls_key" ] && [ -r "$tls_ca" ] ||
            fail "--tls-port needs readable --tls-cert, --tls-key and --tls-ca"
    fi
    if [ -n "$sasl_user$sasl_port" ]; then
        [ -n "$sasl_user" ] && [ -r "$sasl_password_file" ] || fail "SASL needs --sasl-user and a readable --sasl-password-file"
        [ -n "$tls_port$sasl_port" ] || fail "--sasl-user needs --tls-port or --sasl-port"
    fi
}

start() {
    [ -n "$dir" ] && [ -n "$port" ] || fail "start needs --dir and --port"
    installed || fail "run '$0 install' first"
    check_options
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    local pid
    if pid=$(running_pid); then
        await_answer "$pid"
        echo "kafka already runs on 127.0.0.1:$port (pid $pid)"
        return
    fi
    write_properties >"$dir/server.properties"
    write_logging >"$dir/log4j2.properties"
    format_storage
    (kafka_java kafka.Kafka "$dir/server.properties") </dev/null >"$dir/kafka.out" 2>&1 &
    pid=$!
    disown
    echo "$pid" >"$dir/kafka.pid"
    await_answer "$pid"
    [ -z "$while_pid" ] || watch_process "$while_pid"
    echo "kafka runs on 127.0.0.1:$port (pid $pid)"
}

# --- stop and consume -------------------------------------------------------------------------------------------------

stop() {
    local signal=$1 pid deadline=$((SECONDS + stop_wait_s))
    [ -n "$dir" ] || fail "stop needs --dir"
    [ -d "$dir" ] && dir=$(cd "$dir" && pwd)
    if ! pid=$(running_pid); then
        rm -f "$dir/kafka.pid"
        return
    fi
    kill "-$signal" "$pid"
    while running_pid >/dev/null; do
        [ $SECONDS -lt $deadline ] || kill -KILL "$pid"
        sleep 0.1
    done
    rm -f "$dir/kafka.pid"
}

consume() {
    [ -n "$port" ] && [ -n "$topic" ] || fail "consume needs --port and --topic"
    # From the beginning to the present end (-e): one JSON document a message, one message a line, headers first.
    kcat -C -q -e -b "127.0.0.1:$port" -t "$topic" ${max:+-c "$max"} -J
}

# --- command line -----------------------------------------------------------------------------------------------------

command=${1:-}
[ $# -gt 0 ] && shift
dir='' port='' controller_port='' while_pid='' topic='' max='' signal=TERM extra=()
unset fast
tls_port='' tls_cert='' tls_key='' tls_ca='' tls_client_auth=none sasl_port='' sasl_user='' sasl_password_file=''
while [ $# -gt 0 ]; do
    case $1 in
        --kill) signal=KILL && shift && continue ;;
        --fast) fast='' && shift && continue ;;
        --tls-client-auth) tls_client_auth=required && shift && continue ;;
    esac
    [ $# -ge 2 ] || fail "$1 needs a value"
    case $1 in
        --dir) dir=$2 ;;
        --port) port=$2 ;;
        --controller-port) controller_port=$2 ;;
        --while-pid) while_pid=$2 ;;
        --set) extra+=("$2") ;;
        --tls-port) tls_port=$2 ;;
        --tls-cert) tls_cert=$2 ;;
        --tls-key) tls_key=$2 ;;
        --tls-ca) tls_ca=$2 ;;
        --sasl-port) sasl_port=$2 ;;
        --sasl-user) sasl_user=$2 ;;
        --sasl-password-file) sasl_password_file=$2 ;;
        --topic) topic=$2 ;;
        --max) max=$2 ;;
        *) fail "unknown option $1" ;;
    esac
    shift 2
done
controller_port=${controller_port:-$((${port:-0} + 1))}

case $command in
    install) install ;;
    start) start ;;
    stop) stop "$signal" ;;
    consume) consume ;;
    *) fail "usage: kafka.sh install|start|stop|consume (see the head of the script)" ;;
esac
