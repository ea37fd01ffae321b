"""How a session begins, by what its handshake says."""

import pytest
from session_harness import (
    SessionHarness,
    simple_client,
    update,
)

from src.audio.pcm_stream import AudioFormat, Encoding
from src.realtime.config import AudioTranscription, SessionConfig


def test_the_first_event_is_the_session_as_it_is():
    (created,) = SessionHarness(rate=24_000).received
    assert created["type"] == "session.created"
    assert created["session"]["id"] == "sess_1"
    assert created["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert created["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"


@pytest.mark.parametrize("intent", [True, False])
def test_a_beta_client_reads_beta_names_and_the_flat_shape(intent):
    (created,) = SessionHarness(beta=True, intent=intent).received
    assert created["type"] == ("transcription_session.created" if intent else "session.created")
    assert created["session"]["input_audio_format"] == "pcm16"


def test_a_client_of_the_simple_dialect_has_no_turn_detection_until_it_changes_the_session():
    harness = simple_client()
    assert harness.received[0]["session"]["audio"]["input"]["turn_detection"] is None
    (updated,) = harness.send(update({}))
    assert updated["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"


def test_a_session_begins_with_the_configuration_of_its_temporary_key():
    config = SessionConfig(AudioFormat(Encoding.MULAW, 8_000), 24_000, AudioTranscription(model="whisper-1"))
    (created,) = SessionHarness(config=config).received
    assert created["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert created["session"]["audio"]["input"]["transcription"]["model"] == "whisper-1"
    assert created["session"]["audio"]["input"]["turn_detection"] is None


def test_what_beta_calls_pcm16_has_the_rate_of_the_handshake():
    harness = SessionHarness(rate=16_000)
    (updated,) = harness.send(update({"input_audio_format": "pcm16"}))
    assert updated["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
