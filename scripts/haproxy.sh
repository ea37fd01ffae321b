#!/bin/sh
# Ray starts this in place of HAProxy (RAY_SERVE_HAPROXY_BINARY_PATH): src/fleet/haproxy.py adds to the configuration that
# Ray has written, and becomes HAProxy.
PYTHONPATH=$(dirname -- "$0")/..${PYTHONPATH:+:$PYTHONPATH} exec "${PARAKEET_FLEET_PYTHON:-python3}" -m src.fleet.haproxy "$@"
