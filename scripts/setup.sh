#!/usr/bin/env bash
# Makes .venv and installs the project into it, in the versions that constraints.txt names.
# PYTHON=python3.12 chooses the interpreter.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# nemo_toolkit[asr] 3.0.0 needs nv_one_logger_pytorch_lightning_integration, whose Requires-Python is < 3.14.
supported="3.11 3.12 3.13"
stamp=$root/.venv/setup.stamp # written after success only, so an interrupted installation is made anew

# Prints 3.11; or 3.11.2, which is too old, as NeMo reads no checkpoint there; or nothing where this is no working python.
python_version() {
    "$1" -S -c 'import sys
version = sys.version_info[:3]
print(".".join(map(str, version[:2] if version >= (3, 11, 4) else version)))' 2>/dev/null || true
}

venv_identity() { # an environment that was moved, or whose python was replaced, is made anew
    echo "$root: Python $(python_version "$python")"
}

has_wanted_python() {
    [[ -x $python && (-z ${PYTHON:-} || $(python_version "$PYTHON") == "$(python_version "$python")") ]]
}

is_of_this_project() {
    [[ -f $stamp ]] && has_wanted_python && [[ $(head -n 1 -- "$stamp") == "$(venv_identity)" ]]
}

requirements() { # what .venv is made from
    cat -- pyproject.toml scripts/constraints.txt
}

is_set_up() {
    is_of_this_project && [[ $(tail -n +2 -- "$stamp") == "$(requirements)" ]]
}

find_python() { # prints a supported python that can make an environment, or fails with what to install
    local candidate version candidates=(python3 python3.13 python3.12 python3.11)
    local found="none was found; install it, for example: apt-get install python3 python3-venv"
    if [[ -n ${PYTHON:-} ]]; then
        candidates=("$PYTHON")
        found="PYTHON=$PYTHON is no working python"
    fi
    for candidate in "${candidates[@]}"; do
        version=$(python_version "$candidate")
        [[ -n $version ]] || continue
        if [[ " $supported " == *" $version "* ]]; then
            "$candidate" -c 'import venv; from ensurepip import bootstrap' 2>/dev/null ||
                fail "$candidate has no venv module; install it, for example: apt-get install python$version-venv"
            echo "$candidate"
            return
        fi
        found="$candidate is Python $version; install one, for example: apt-get install python3.12 python3.12-venv"
    done
    fail "Python 3.11.4 or a later 3.11, 3.12 or 3.13 is needed, but $found"
}

make_venv() {
    local chosen output
    chosen=$(find_python)
    echo "Making .venv and installing the project into it; this takes some minutes the first time."
    rm -f -- "$stamp"
    output=$("$chosen" -m venv --clear .venv 2>&1) || fail "$output"
}

packages_without_dependencies() { # prints those of pyproject.toml whose dependencies are not wanted
    "$python" -c 'import tomllib
own = tomllib.load(open("pyproject.toml", "rb")).get("tool", {}).get("parakeet", {})
print("\n".join(own.get("without-dependencies", [])))'
}

install_project() {
    local output packages
    rm -f -- "$stamp"
    output=$("$python" -m pip install --quiet --disable-pip-version-check \
        --constraint scripts/constraints.txt --editable '.[test]' 2>&1) || fail "$output"
    mapfile -t packages < <(packages_without_dependencies | grep .)
    if ((${#packages[@]})); then
        output=$("$python" -m pip install --quiet --disable-pip-version-check --no-deps "${packages[@]}" 2>&1) ||
            fail "$output"
    fi
    { venv_identity && requirements; } >"$stamp.new"
    mv -- "$stamp.new" "$stamp"
}

wait_for_other_setup() {
    exec 9>>"$root/scripts/setup.sh" # a lock on this script, since .venv comes and goes
    if ! flock --nonblock 9; then
        echo "Another set-up is at work; waiting for it."
        flock 9
    fi
}

install() {
    if is_of_this_project; then
        echo "The requirements have changed: bringing .venv up to date."
    else
        make_venv
    fi
    install_project
}

if ! is_set_up; then
    wait_for_other_setup
    is_set_up || install
fi
echo ".venv is ready." || true # a log on a full disk keeps no service from starting
