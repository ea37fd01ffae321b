#!/usr/bin/env bash
# Everything that CI checks; arguments go to pytest.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash scripts/setup.sh
forget_settings
bin=$root/.venv/bin
"$bin/ruff" check
"$bin/ruff" format --check
"$bin/mypy"
"$bin/shellcheck" scripts/*.sh .ci/run
exec "$python" -m pytest "$@"
