#!/usr/bin/env bash
# Starts the service on the bundled checkpoint at a free port, sends it a bundled clip and stops it.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

clip=test/clips/piper-joe-1.flac
reference=$(awk -F '\t' -v file="$(basename "$clip")" '$1 == file { print $4 }' test/clips/transcripts.tsv)

bash scripts/setup.sh
forget_settings
work=$(mktemp -d)
pid=""
clean_up() {
    [[ -z $pid ]] || { kill "$pid" && wait "$pid"; } 2>/dev/null || true
    rm -rf -- "${work:?}"
}
trap clean_up EXIT

PARAKEET_PORT=$("$python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
export PARAKEET_MODEL_ID=tiny PARAKEET_HOST=127.0.0.1 PARAKEET_PORT PARAKEET_LOG_DIR=$work
url=$(base_url)/v1/audio/transcriptions

echo "Starting the service on the bundled checkpoint at $(base_url)"
(cd -- "$work" && PYTHONPATH=$root exec "$python" -m src) </dev/null >"$work/server.log" 2>&1 & # out of reach of .env
pid=$!
if ! wait_until_ready "$pid" "$work/server.log"; then
    tail -n 20 -- "$work/server.log" >&2
    fail "The service did not start."
fi

"$python" - "$url" "$clip" "$reference" <<'EOF'
import sys
from pathlib import Path

import httpx

url, clip, reference = sys.argv[1:]
print(f"Sent:      curl -F file=@{clip} {url}")
answer = httpx.post(url, files={"file": (Path(clip).name, Path(clip).read_bytes())}, timeout=120, trust_env=False)
print(f"Answer:    {answer.text}")
print(f"Reference: {reference}")
if answer.status_code != 200 or answer.json()["text"] != reference:
    sys.exit("The answer is not the reference.")
EOF
