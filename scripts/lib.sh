# shellcheck shell=bash disable=SC2034 # the variables are for the scripts that source this
# What the scripts share. Sourcing it makes the project's top level the current directory and names it `$root`.
set -euo pipefail

unset CDPATH
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$root"
python=$root/.venv/bin/python

fail() { # sentence
    echo "$1" >&2
    exit 1
}

# Reads the settings and names the service's files. The process that wrote its pid keeps the file locked for as long
# as it lives, so neither what a crash left behind nor a pid that was given out again is ever taken for a running one.
use_settings() {
    source "$root/scripts/env.sh"
    case $PARAKEET_LOG_DIR in
        /*) log_dir=$PARAKEET_LOG_DIR ;;
        *) log_dir=$root/$PARAKEET_LOG_DIR ;;
    esac
    pid_file=$log_dir/server.pid
    supervisor_file=$log_dir/supervisor.pid
    ready_file=$log_dir/supervisor.ready # there once the service that it supervises has been ready
    log_file=$log_dir/server.log
}

forget_settings() { # demo and tests start from the defaults, whatever the user's shell has exported
    unset "${!PARAKEET_@}"
}

make_log_dir() {
    { mkdir -p -- "$log_dir" && [[ -w $log_dir ]]; } 2>/dev/null ||
        fail "The log folder $log_dir cannot be written; set PARAKEET_LOG_DIR to one that can."
}

running_pid() { # pid file: prints the pid of the process that holds it; fails when there is none
    [[ -s $1 ]] && ! flock --nonblock --shared "$1" true && cat -- "$1"
}

service_pid() {
    running_pid "$pid_file"
}

supervisor_pid() {
    running_pid "$supervisor_file"
}

refuse_second_start() {
    local pid
    if pid=$(service_pid); then
        fail "The service runs already (process $pid); stop it first: bash scripts/stop.sh"
    fi
    if pid=$(supervisor_pid) && ((pid != PPID)); then # unless the supervisor itself makes this start
        fail "The service is being started or restarted (by process $pid); stop it first: bash scripts/stop.sh"
    fi
}

polled_host() { # where a client on this machine reaches PARAKEET_HOST
    local host=${PARAKEET_HOST#[}
    host=${host%]}
    case $host in
        0.0.0.0 | '*') echo 127.0.0.1 ;;
        *[!0:]*) echo "$host" ;;
        *) echo 127.0.0.1 ;; # `::`, also written as `::0`, is IPv4 too, even on a machine that has nothing else
    esac
}

base_url() {
    local host
    host=$(polled_host)
    [[ $host != *:* ]] || host="[$host]"
    echo "http://$host:$PARAKEET_PORT"
}

is_ready() { # bash speaks HTTP itself, since a slim machine has no curl
    local status
    # shellcheck disable=SC2016 # the inner bash expands these
    status=$(
        timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1" || exit
            printf "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3
            read -r status <&3 && cat <&3 >/dev/null && echo "$status"' "$(polled_host)" "$PARAKEET_PORT" 2>/dev/null
    ) || return
    [[ $status == "HTTP/1.1 200"* ]]
}

wait_until_ready() { # pid, log: returns once /readyz is true; fails when the process has ended
    local pid=$1 log=$2 started_s=$SECONDS told_s=$SECONDS
    until is_ready; do
        kill -0 "$pid" 2>/dev/null || return 1
        if ((SECONDS - told_s >= 30)); then
            told_s=$SECONDS
            echo "Still starting after $((SECONDS - started_s)) s: $(tail -c 300 -- "$log" | tr '\r' '\n' | tail -n 1)"
        fi
        sleep 0.5
    done
    kill -0 "$pid" 2>/dev/null
}
