#!/usr/bin/env bash
# Starts the service on the bundled checkpoint at a free port, sends it a bundled clip, once as a file and once as if it
# were being spoken, and stops it; with --keep it runs on until Ctrl-C, for a look at its page.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

keep=${1-}
[[ -z $keep || $keep == --keep ]] || fail "usage: bash scripts/demo.sh [--keep]"
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

"$python" - "$(base_url)" "$clip" "$reference" <<'EOF'
import base64
import json
import sys
import threading
import time

import librosa
from websockets.sync.client import connect

base, clip, reference = sys.argv[1:]
url = f"ws{base.removeprefix('http')}/v1/realtime"
samples, _ = librosa.load(clip, sr=16_000)
pcm16 = (samples * 32767).astype("<i2").tobytes()


def speak(socket, started):
    """Send the clip in pieces of 100 ms, each when its time has come, and ask for the text."""
    for start in range(0, len(pcm16), 3200):
        time.sleep(max(0, started + start / 32_000 - time.monotonic()))
        audio = base64.b64encode(pcm16[start : start + 3200]).decode()
        socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
    socket.send(json.dumps({"type": "response.create"}))


print(f"Spoken:    {len(pcm16) / 32_000:.1f} s to {url}")
with connect(url, proxy=None) as socket:
    started = time.monotonic()
    threading.Thread(target=speak, args=(socket, started)).start()
    while True:
        event = json.loads(socket.recv(timeout=120))
        if event["type"] == "conversation.item.input_audio_transcription.delta":
            print(f"{time.monotonic() - started:7.1f} s  {event['delta']}")
        elif event["type"] == "error":
            sys.exit(event["error"]["message"])
        elif event["type"] == "response.completed":
            break
text = event["response"]["output_text"]
print(f"{time.monotonic() - started:7.1f} s  final: {text}")
if text != reference:
    sys.exit("The final text is not the reference.")
EOF

if [[ $keep ]]; then
    trap 'exit 0' INT TERM
    echo "Page:      $(base_url)/ captions speech and transcribes files. The service runs until you press Ctrl-C."
    wait "$pid"
    fail "The service has ended by itself."
fi
echo "Page:      $(base_url)/ captioned speech and transcribed files; the service is stopped now."
echo "To try it: bash scripts/demo.sh --keep"
