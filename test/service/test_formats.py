"""Every bundled clip over HTTP, and one clip in every format that people send."""

import media
import numpy as np
import pytest
import soundfile
from media import CLIPS
from running_service import Service

NAMES = sorted(path.name for path in CLIPS.glob("*.flac"))
SPOKEN = "piper-joe-1"
RATE = media.SAMPLE_RATE


@pytest.fixture(scope="module")
def stored_texts(tiny) -> dict[str, str]:
    """What the checkpoint itself makes of each clip."""
    texts = {}
    for name in NAMES:
        samples, _ = soundfile.read(CLIPS / name, dtype="float32")
        texts[name] = tiny.transcribe(tiny.collate([samples]))[0].text
    return texts


@pytest.mark.parametrize("name", NAMES)
def test_each_clip_gives_the_text_of_the_checkpoint_as_flac_and_as_wav(service: Service, stored_texts, name):
    flac = (CLIPS / name).read_bytes()
    wav = media.wav(soundfile.read(CLIPS / name, dtype="float32")[0])
    assert service.upload(flac).json()["text"] == service.upload(wav).json()["text"] == stored_texts[name]


def speech() -> np.ndarray:
    return media.clip(SPOKEN)


def at(rate: int) -> np.ndarray:
    return media.resampled(speech(), rate)


FORMATS = {
    "ogg vorbis": lambda: media.wav(speech(), subtype="VORBIS", container="OGG"),
    "ogg opus": lambda: media.encode(at(48_000), "ogg", "libopus", 48_000),
    "mp3": lambda: media.encode(at(44_100), "mp3", "libmp3lame", 44_100),
    "m4a": lambda: media.encode(at(44_100), "ipod", "aac", 44_100, 2),
    "mp4 with video": lambda: media.encode(at(48_000), "mp4", "aac", 48_000, 2, video=True),
    "webm with opus": lambda: media.encode(at(48_000), "webm", "libopus", 48_000),
    "webm with video": lambda: media.encode(at(48_000), "webm", "libopus", 48_000, video=True),
    "matroska": lambda: media.encode(speech(), "matroska", "flac"),
    "wma": lambda: media.encode(at(44_100), "asf", "wmav2", 44_100),
    "aac": lambda: media.encode(at(44_100), "adts", "aac", 44_100),
    "8 kHz mu-law wav": lambda: media.wav(at(8_000), 8_000, subtype="ULAW"),
    "8 kHz a-law wav": lambda: media.wav(at(8_000), 8_000, subtype="ALAW"),
    "48 kHz stereo wav": lambda: media.wav(at(48_000), 48_000, channels=2),
    "192 kHz 24-bit wav of 8 channels": lambda: media.wav(at(192_000), 192_000, channels=8, subtype="PCM_24"),
    "8-bit wav": lambda: media.wav(at(22_050), 22_050, subtype="PCM_U8"),
    "float wav": lambda: media.wav(speech(), subtype="FLOAT"),
    "double wav": lambda: media.wav(at(11_025), 11_025, subtype="DOUBLE"),
    "24-bit flac": lambda: media.wav(at(96_000), 96_000, subtype="PCM_24", container="FLAC"),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_clip_gives_its_text_in_any_format_by_either_way_of_sending_it(service: Service, stored_texts, kind):
    data = FORMATS[kind]()
    expected = stored_texts[f"{SPOKEN}.flac"]
    assert service.upload(data).json()["text"] == expected
    assert service.post(data, "application/octet-stream").json()["text"] == expected


def test_each_channel_counts_the_same(service: Service, stored_texts):
    one_sided = np.stack([np.zeros_like(speech()), speech()], axis=1)
    assert service.upload(media.wav(one_sided, channels=2)).json()["text"] == stored_texts[f"{SPOKEN}.flac"]
