#!/usr/bin/env bash
# Runs the service in the foreground.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash scripts/setup.sh
use_settings
refuse_second_start
make_log_dir
exec 9>>"$pid_file" # stays open, and thereby locked, in the process that this one becomes
flock --timeout 1 9 || refuse_second_start
echo $$ >"$pid_file"
exec "$python" -m src
