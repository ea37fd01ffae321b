"""Intact recordings of speech, one in each container and codec, from which hostile files are made."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from hostile import HostileFile
from media import clip, encode, resampled, wav
from numpy.typing import NDArray
from packing import with_serial

SPEECH = "fsdd-theo-2"

WRITTEN: dict[str, dict[str, Any]] = {
    "16bit.wav": {},
    "8bit.wav": {"subtype": "PCM_U8"},
    "24bit.wav": {"subtype": "PCM_24"},
    "alaw.wav": {"subtype": "ALAW"},
    "ima.wav": {"subtype": "IMA_ADPCM"},
    "ms.wav": {"subtype": "MS_ADPCM"},
    "gsm.wav": {"subtype": "GSM610"},
    "extensible.wav": {"container": "WAVEX", "channels": 2},
    "rf64.wav": {"container": "RF64"},
    "plain.w64": {"container": "W64"},
    "plain.aiff": {"container": "AIFF"},
    "plain.au": {"container": "AU"},
    "plain.caf": {"container": "CAF"},
    "alac.caf": {"container": "CAF", "subtype": "ALAC_16"},
    "sphere.nist": {"container": "NIST"},
    "plain.flac": {"container": "FLAC"},
    "plain.mp3": {"container": "MP3", "subtype": "MPEG_LAYER_III"},
}
"""Files written by libsndfile, by name: options of `wav`."""

ENCODED = {
    "mp3.wav": ("wav", "libmp3lame", 16_000, 1),
    "plain.voc": ("voc", "pcm_u8", 8_000, 1),
    "float.wav": ("wav", "pcm_f32le", 16_000, 1),
    "plain.opus": ("opus", "libopus", 48_000, 1),
    "flac.ogg": ("ogg", "flac", 16_000, 1),
    "plain.mp2": ("mp2", "mp2", 48_000, 2),
    "stereo.mp3": ("mp3", "libmp3lame", 44_100, 2),
    "aac.m4a": ("ipod", "aac", 44_100, 2),
    "alac.m4a": ("mp4", "alac", 16_000, 2),
    "plain.mov": ("mov", "pcm_s24le", 16_000, 1),
    "plain.webm": ("webm", "libopus", 48_000, 1),
    "flac.mka": ("matroska", "flac", 16_000, 2),
    "plain.aac": ("adts", "aac", 16_000, 1),
    "plain.amr": ("amr", "libopencore_amrnb", 8_000, 1),
    "plain.wma": ("asf", "wmav2", 44_100, 2),
    "plain.wv": ("wv", "wavpack", 16_000, 2),
    "plain.tta": ("tta", "tta", 16_000, 1),
    "plain.rm": ("rm", "ac3", 48_000, 2),
}
"""Files written by FFmpeg, by name: container, codec, rate and channels."""

FILMED = {
    "film.mp4": ("mp4", "aac", 48_000, 2),
    "film.3gp": ("3gp", "aac", 16_000, 1),
    "film.mkv": ("matroska", "aac", 22_050, 1),
    "film.flv": ("flv", "aac", 44_100, 2),
    "film.avi": ("avi", "libmp3lame", 44_100, 2),
    "film.ts": ("mpegts", "aac", 48_000, 2),
    "film.mpg": ("mpeg", "mp2", 48_000, 2),
}
"""The same with pictures."""


REPEATABLE: dict[str, Any] = {"fflags": "bitexact"}
"""Keeps FFmpeg's muxers from writing random numbers and dates."""


def recordings() -> Iterator[HostileFile]:
    """Yield every recording, intact."""
    speech = clip(SPEECH)
    for name, form in WRITTEN.items():
        yield HostileFile(name, wav(speech, **form))
    yield HostileFile("vorbis.ogg", vorbis(speech))
    for name, (container, codec, rate, channels) in ENCODED.items():
        yield HostileFile(name, encode(resampled(speech, rate), container, codec, rate, channels, **REPEATABLE))
    for name, (container, codec, rate, channels) in FILMED.items():
        film = encode(resampled(speech, rate), container, codec, rate, channels, video=True, **REPEATABLE)
        yield HostileFile(name, film)
    for name, movflags in {"fronted.mp4": "faststart", "fragmented.mp4": "frag_keyframe+empty_moov"}.items():
        yield HostileFile(name, encode(speech, "mp4", "aac", movflags=movflags, **REPEATABLE))


def vorbis(samples: NDArray[np.float32]) -> bytes:
    """Return 16 kHz samples as Vorbis, which only libsndfile writes here, with a fixed serial number."""
    return with_serial(wav(samples, container="OGG", subtype="VORBIS"), 1)
