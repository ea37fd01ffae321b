#!/usr/bin/env bash
# Runs the service on several GPUs or machines, by Ray Serve, in the foreground: one replica for each GPU, one address.
# With RAY_ADDRESS it joins the cluster there, whose nodes have been started with what --environment prints.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

usage="usage: bash scripts/fleet.sh [--setup | --loopback | --environment]
  --setup        only install Ray into .venv
  --loopback     run in a network namespace of its own, which nothing outside this machine can reach; needs root
  --environment  print what each node of a cluster needs: eval \"\$(bash scripts/fleet.sh --environment)\"; ray start ..."
mode=${1-}
[[ $# -le 1 && ($mode == "" || $mode == --setup || $mode == --loopback || $mode == --environment) ]] || fail "$usage"

requirements() {
    cat -- .venv/setup.stamp pyproject.toml scripts/constraints.txt
}

install_ray() { # once for each state of the requirements
    local output stamp=$root/.venv/fleet.stamp
    exec 8>>"$root/scripts/fleet.sh" # a lock on this script
    flock 8
    if ! { [[ -f $stamp ]] && requirements | cmp --silent - "$stamp"; }; then
        echo "Installing Ray into .venv; this takes some minutes."
        rm -f -- "$stamp"
        output=$("$python" -m pip install --quiet --disable-pip-version-check \
            --constraint scripts/constraints.txt --editable '.[fleet]' 2>&1) || fail "$output"
        requirements >"$stamp"
    fi
    exec 8>&-
}

has_namespace() {
    ip netns list | cut -d ' ' -f 1 | grep --quiet --line-regexp --fixed-strings -- "$1"
}

run_in_namespace() { # the command; ends with its status, and leaves no namespace behind
    local status name=parakeet
    [[ $EUID == 0 ]] || fail "--loopback needs root, as it makes a network namespace."
    ip netns list >/dev/null 2>&1 || fail "--loopback needs \`ip netns\`; install it, for example: apt-get install iproute2"
    ! has_namespace "$name" || name=parakeet-$$
    ip netns add "$name"
    # shellcheck disable=SC2064 # the name now
    trap "ip netns delete $name" EXIT
    ip -n "$name" link set lo up
    echo "Clients run in the same namespace: ip netns exec $name curl http://127.0.0.1:$PARAKEET_PORT/readyz"
    ip netns exec "$name" "$@" &
    trap 'kill -TERM $! 2>/dev/null' TERM
    trap : INT # the terminal has sent it to the command too
    until wait $!; do
        status=$? # of the command, or of a signal that has interrupted the wait
        kill -0 $! 2>/dev/null || exit "$status"
    done
    exit 0
}

if [[ $mode == --environment ]]; then
    bash scripts/setup.sh >&2
    install_ray >&2
else
    bash scripts/setup.sh
    install_ray
fi
[[ $mode != --setup ]] || exit 0
use_settings
[[ $mode == --environment ]] || make_log_dir
case $mode in
    --loopback) run_in_namespace "$python" -m src.fleet ;;
    *) exec "$python" -m src.fleet ${mode:+"$mode"} ;;
esac
