"""Media files over the port: what a client sees of their timeline and channels."""

import numpy as np
from films import SPEECH, film
from media import SAMPLE_RATE, pcm16, wav


def test_subtitles_of_a_film_whose_sound_begins_late_are_late(service, tmp_path):
    answer = service.upload(film([(4, SPEECH)], "matroska", tmp_path), response_format="srt")
    assert answer.text.splitlines()[1].startswith("00:00:04,")


def test_a_dictation_device_with_crossed_wires_has_its_text(service):
    speech = np.stack([SPEECH, -SPEECH], axis=1)
    usual = service.upload(wav(SPEECH)).json()["text"]
    assert usual
    assert service.upload(wav(speech, container="FLAC")).json()["text"] == usual
    assert service.post(pcm16(speech), "audio/pcm", rate=SAMPLE_RATE, channels=2).json()["text"] == usual
