#!/usr/bin/env bash
# Stops the service: SIGTERM, then SIGKILL when it has not ended within its grace period.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

use_settings
if ! pid=$(service_pid); then
    echo "No service is running."
    exit 0
fi

[[ ${PARAKEET_SHUTDOWN_GRACE_S:-20} =~ ^[0-9]* ]]
patience_s=$((10#0${BASH_REMATCH[0]} + 10)) # answers that are ready may take a while to be read
kill -TERM "$pid" || fail "Process $pid could not be told to stop."
exec 9>>"$pid_file"
if ! flock --timeout "$patience_s" 9; then
    echo "Process $pid has not ended within $patience_s s; it is killed."
    kill -KILL "$pid"
    flock --timeout 10 9 || fail "Process $pid could not be killed."
fi
: >"$pid_file"
echo "Stopped (process $pid)."
