#!/usr/bin/env bash
# Follows the log of the service in the background.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

use_settings
[[ -f $log_file ]] || fail "There is no log at $log_file yet; start the service first: bash scripts/start_bg.sh"
exec tail -n 100 -F -- "$log_file"
