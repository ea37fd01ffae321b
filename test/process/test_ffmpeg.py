"""Damage in the middle of a file of half a minute costs little of its audio."""

import numpy as np
import pytest
from media import clip, encode, likeness, resampled, wav
from media_files import decoded

HALF_A_MINUTE = clip("long-30s")


LONG = {
    "wav": lambda: wav(HALF_A_MINUTE),
    "flac": lambda: wav(HALF_A_MINUTE, container="FLAC"),
    "mp3": lambda: wav(HALF_A_MINUTE, container="MP3", subtype="MPEG_LAYER_III"),
    "ogg vorbis": lambda: wav(HALF_A_MINUTE, container="OGG", subtype="VORBIS"),
    "webm": lambda: encode(resampled(HALF_A_MINUTE, 48000), "webm", "libopus", 48000),
    "m4a": lambda: encode(HALF_A_MINUTE, "mp4", "aac"),
    "aac without container": lambda: encode(HALF_A_MINUTE, "adts", "aac"),
    "mkv": lambda: encode(HALF_A_MINUTE, "matroska", "flac", video=True),
    "mpeg-ts with video": lambda: encode(resampled(HALF_A_MINUTE, 48000), "mpegts", "aac", 48000, video=True),
    "wma": lambda: encode(resampled(HALF_A_MINUTE, 44100), "asf", "wmav2", 44100),
}


@pytest.mark.parametrize("name", LONG)
def test_damage_in_the_middle_of_a_file_affects_only_the_audio_near_it(name):
    data = LONG[name]()
    middle, size = len(data) // 2, len(data) // 50
    got = decoded(data[:middle] + np.random.default_rng(1).bytes(size) + data[middle + size :])
    part = len(HALF_A_MINUTE) * 4 // 10
    assert likeness(got[:part], HALF_A_MINUTE[:part]) > 0.97
    assert likeness(got[-part:], HALF_A_MINUTE[-part:]) > 0.97
