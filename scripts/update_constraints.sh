#!/usr/bin/env bash
# Resolves the versions of all packages anew, for every supported Python and platform, into scripts/constraints.txt.
# setup.sh installs exactly these, so the same commit gives the same service at any time. Run bash scripts/test.sh after it.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash scripts/setup.sh
tools=$(mktemp -d)
trap 'rm -rf -- "$tools"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --target "$tools" uv
"$tools/bin/uv" pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
    --no-annotate --no-header --quiet --output-file scripts/constraints.txt
git diff --stat -- scripts/constraints.txt 2>/dev/null || true
