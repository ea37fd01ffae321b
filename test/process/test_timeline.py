"""Long files: silence where the file has a gap, and nowhere else."""

import io

import av
import pytest
from films import AUDIO, RATE, SPEECH, begins_s, film
from media import SAMPLE_RATE, clip, encode, resampled

from src.audio.decode import decode


@pytest.mark.parametrize("container", ["mpegts", "webm", "ogg", "flv", "mp4", "mp3", "adts"])
def test_no_silence_is_inserted_into_an_ordinary_file(container):
    codec = {"ogg": "libopus", "mp3": "libmp3lame", "adts": "aac"} | AUDIO
    rate = 44_100 if container == "flv" else RATE
    data = encode(resampled(clip("long-30s"), rate), container, codec[container], rate)
    with av.open(io.BytesIO(data)) as file:
        samples = sum(frame.samples for frame in file.decode(audio=0))
    assert len(decode(data)) == -(-samples * SAMPLE_RATE // rate)


def test_a_long_gap_in_a_broadcast_whose_pictures_go_on_is_silence(tmp_path):
    got = decode(film([(0, SPEECH), (150, SPEECH)], "mpegts", tmp_path, pictures_s=160))
    middle = len(got) // 2
    assert abs(begins_s(got[middle:]) + middle / SAMPLE_RATE - 150) < 0.15
