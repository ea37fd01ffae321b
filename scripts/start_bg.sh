#!/usr/bin/env bash
# Starts the service in the background, under a supervisor, and waits until it is ready.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash scripts/setup.sh
use_settings
refuse_second_start
if is_ready; then
    fail "Another service answers at $(base_url) already; set PARAKEET_PORT to a free port."
fi
make_log_dir
[[ ! -f $log_file ]] || mv -f -- "$log_file" "$log_file.1"
SECONDS=0
setsid bash scripts/supervise.sh </dev/null >>"$log_file" 2>&1 &
supervisor=$!

echo "Starting the service (supervisor: process $supervisor, log $log_file)."
if ! wait_until_ready "$supervisor" "$log_file" || ! : >"$ready_file"; then
    tail -n 20 -- "$log_file" >&2
    fail "The service did not start; the lines above are the last of $log_file."
fi
echo "Ready after $SECONDS s at $(base_url)"
