#!/usr/bin/env bash
# Proves the service on this machine's GPU, in at most eight minutes: its texts, the speed of the engine, the speed of
# the service. Arguments go to test/benches/gpu_check.py, which says what the exit codes mean.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

has_everything() { # python: whether it has what the project needs, so that there is nothing to install or to fetch
    "$1" - <<'EOF' 2>/dev/null
import sys
from importlib.util import find_spec

needed = "torch nemo fastapi uvicorn uvloop httptools websockets pydantic_settings soundfile soxr"
tests_need = "aiohttp httpx pytest"
sys.exit(None in map(find_spec, f"{needed} {tests_need}".split()))
EOF
}

if [[ ! -x $python ]] && has_everything "${PYTHON:-python3}"; then
    python=${PYTHON:-python3}
else
    bash scripts/setup.sh
fi
forget_settings
exec "$python" test/benches/gpu_check.py "$@"
