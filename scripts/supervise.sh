#!/usr/bin/env bash
# Runs the service, and runs it again after a fatal fault (exit code 70) and after a signal that was no request to stop.
# start_bg.sh starts this and makes a file once the service has become ready; until then, its end is the end of this
# too, so that whoever waits for the first start hears that it failed. SIGTERM (stop.sh), SIGINT and SIGHUP stop the
# service, then this. No signal says that it is ready: one that comes just as the service ends would be taken for its
# exit code.
#
# The wait before a start doubles from 1 s to 60 s. It is 1 s again after a service that was up for
# PARAKEET_RESTART_RESET_S seconds, 300 by default.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

use_settings
first_wait_s=1
longest_wait_s=60
reset_s=${PARAKEET_RESTART_RESET_S:-300}
has_worked=0
is_stopping=0
child=""

stop() {
    is_stopping=1
    [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}

run() { # command: runs it where `stop` reaches it, and returns its exit code
    local code
    "$@" 8>&- & # the lock is this process's alone
    child=$!
    ((!is_stopping)) || stop
    while :; do
        code=0
        wait "$child" 2>/dev/null || code=$?
        kill -0 "$child" 2>/dev/null || break # being told to stop ends `wait` early
    done
    child=""
    return "$code"
}

log() { # level, sentence: a line in the form of the service's own; a full disk costs the line only
    printf '%s %-7s %s\n' "$(date '+%F %T,%3N')" "$1" "$2" || true
}

how_it_ended() { # exit code
    local signal
    if (($1 > 128)) && signal=$(kill -l "$1" 2>/dev/null); then
        echo "was ended by SIG$signal (exit code $1)"
    else
        echo "ended with exit code $1"
    fi
}

may_be_mended() { # exit code: by another start
    case $1 in
        70) true ;;
        129 | 130 | 143) false ;; # SIGHUP, SIGINT, SIGTERM: somebody wants it to end
        *) (($1 > 128)) ;;
    esac
}

supervise() {
    local code started_s wait_s=$first_wait_s
    while ((!is_stopping)); do
        code=0
        started_s=$SECONDS
        run bash scripts/start.sh || code=$?
        ((!is_stopping)) || break
        [[ ! -e $ready_file ]] || has_worked=1
        if ((SECONDS - started_s >= reset_s)); then
            has_worked=1
            wait_s=$first_wait_s
        fi
        if ((!has_worked)); then
            log ERROR "The service $(how_it_ended "$code") before it was ready; it is not started again."
            return "$code"
        elif ! may_be_mended "$code"; then
            log WARNING "The service $(how_it_ended "$code"); it is not started again."
            return "$code"
        fi
        log WARNING "The service $(how_it_ended "$code"); it is started again in $wait_s s."
        run sleep "$wait_s" || true
        wait_s=$((wait_s * 2 < longest_wait_s ? wait_s * 2 : longest_wait_s))
    done
}

trap stop TERM INT
trap '((is_stopping)) || stop' HUP # a second one is no wish to end at once
make_log_dir
exec 8>>"$supervisor_file" # stays open, and thereby locked, for as long as this process lives
flock --timeout 1 8 || fail "Another supervisor is at work; stop it first: bash scripts/stop.sh"
rm -f -- "$ready_file"
echo $$ >"$supervisor_file"
supervise
