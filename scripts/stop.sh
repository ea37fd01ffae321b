#!/usr/bin/env bash
# Stops the service and its supervisor: SIGTERM, then SIGKILL when they have not ended within the grace period.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

use_settings
service=$(service_pid) || service=""
supervisor=$(supervisor_pid) || supervisor=""
if [[ -z $service$supervisor ]]; then
    echo "No service is running."
    exit 0
fi
exec 8>>"$supervisor_file" 9>>"$pid_file"

have_ended() { # seconds to wait for it
    flock --timeout "$1" 8 && flock --timeout "$1" 9
}

tell_to_stop() { # a supervisor passes it on and starts nothing from then on
    local pid=${supervisor:-$service}
    kill -TERM "$pid" 2>/dev/null || have_ended 0 || fail "Process $pid could not be told to stop."
}

kill_them() { # the supervisor's process group is all that it has started
    kill -KILL -- "${supervisor:+-}${supervisor:-$service}" 2>/dev/null || true
}

pid=${service:-$supervisor}
[[ ${PARAKEET_SHUTDOWN_GRACE_S:-20} =~ ^[0-9]* ]]
patience_s=$((10#0${BASH_REMATCH[0]} + 10)) # answers that are ready may take a while to be read
tell_to_stop
if ! have_ended "$patience_s"; then
    echo "Process $pid has not ended within $patience_s s; it is killed."
    kill_them
    have_ended 10 || fail "Process $pid could not be killed."
fi
: >"$supervisor_file"
: >"$pid_file"
if [[ -n $service ]]; then
    echo "Stopped (process $service)."
else
    echo "Stopped (process $supervisor, which was about to start the service)."
fi
