"""The Azure clients of OpenAI's JavaScript SDK, unchanged, against the service on the bundled checkpoint.

Their WebSockets of browsers show the key in the address. `scripts/test.sh` installs the SDK.
"""

import pytest
from js_sdks import run_program, skip_without_sdks
from keys import KEY
from running_service import Service
from sdk import CLIP, TEXT
from sdk_realtime import COMPLETED, FIRST, GA, PCM16, Speech, commit, texts
from tls import serving_tls

from src.settings import Settings

skip_without_sdks()


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
        authorities = {"NODE_EXTRA_CA_CERTS": str(authority)}
        seen = run_program("azure.mjs", f"https://localhost:{running.port}", stdin=given, env=authorities)
    assert set(seen) == {"key", "token"}
    for each in seen.values():
        assert each.pop("text") == TEXT
        assert len(each) == 4
        for events in each.values():
            assert events[0]["type"] == "session.created"
            assert texts(events) == [speech.text(service)]
