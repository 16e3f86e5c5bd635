# Sourced by prometheus.sh and alertmanager.sh: one program in the background, known by its pid file.
# The sourcing script sets: program, dir, marker (a part of its command line that no other process has), start_wait_s.

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || fail "$1 is missing: run scripts/install-deps.sh monitoring"
}

running_pid() {
    local pid
    pid=$(cat "$dir/$program.pid" 2>/dev/null) || return 1
    # The pid may have been given to another process since: its command line must be ours.
    case $(ps -p "$pid" -o args= 2>/dev/null) in
        *"$marker"*) echo "$pid" ;;
        *) return 1 ;;
    esac
}

await_ready() {
    local pid=$1 url=$2 deadline=$((SECONDS + start_wait_s))
    until curl -sf -m 2 -o /dev/null "$url"; do
        kill -0 "$pid" 2>/dev/null || fail "$program ended: $(tail -3 "$dir/$program.log")"
        [ $SECONDS -lt $deadline ] || fail "$program does not answer at $url after $start_wait_s s (see $dir/$program.log)"
        sleep 0.1
    done
}

watch_process() {
    local watched=$1
    # Detached from every stream and signal of the caller; ends with the program, or ends it.
    (
        while kill -0 "$watched" 2>/dev/null; do
            running_pid >/dev/null || exit 0
            sleep 1
        done
        stop_program
    ) </dev/null >/dev/null 2>&1 &
    disown
}

# start_program READY_URL COMMAND...
start_program() {
    local url=$1 pid
    shift
    if pid=$(running_pid); then
        kill -HUP "$pid"
        await_ready "$pid" "$url"
        echo "$program already runs, its configuration was read again (pid $pid)"
        return
    fi
    # Somebody else's answer on this port must not be taken for ours.
    if (exec 3<>"/dev/tcp/${address%:*}/${address##*:}") 2>/dev/null; then
        fail "something else listens on $address"
    fi
    "$@" </dev/null >"$dir/$program.log" 2>&1 &
    pid=$!
    disown
    echo "$pid" >"$dir/$program.pid"
    await_ready "$pid" "$url"
    [ -z "$while_pid" ] || watch_process "$while_pid"
    echo "$program runs on $address (pid $pid)"
}

stop_program() {
    local pid deadline=$((SECONDS + 20))
    if ! pid=$(running_pid); then
        rm -f "$dir/$program.pid"
        return
    fi
    kill -TERM "$pid"
    while running_pid >/dev/null; do
        [ $SECONDS -lt $deadline ] || kill -KILL "$pid" 2>/dev/null || true
        sleep 0.1
    done
    rm -f "$dir/$program.pid"
}
