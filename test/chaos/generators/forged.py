"""Impossible headers around intact speech."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from hostile import HostileFile
from media import clip, pcm16, resampled, wav
from numpy.typing import NDArray
from packing import chunk, fmt, patched, wave
from recordings import SPEECH

MAX_UINT32 = b"\xff" * 4
MAX_INT32 = b"\x7f\xff\xff\xff"
MAX_INT64 = b"\x7f" + b"\xff" * 7

FORMS: dict[str, dict[str, Any]] = {
    "channels-0": {"channels": 0, "align": 0},
    "channels-255": {"channels": 255, "align": 510},
    "channels-65535": {"channels": 65_535, "align": 65_534},
    "rate-0": {"rate": 0},
    "rate-1": {"rate": 1},
    "rate-4-ghz": {"rate": 4_000_000_000},
    "align-0": {"align": 0},
    "align-1": {"align": 1},
    "align-65535": {"align": 65_535},
    "bits-0": {"bits": 0},
    "bits-1": {"bits": 1},
    "bits-7": {"bits": 7},
    "bits-64": {"bits": 64, "align": 8},
    "bits-65535": {"bits": 65_535},
    "unknown-tag": {"tag": 0xBEEF},
    "extensible-without-extension": {"tag": 0xFFFE},
    "extensible-unknown": {"tag": 0xFFFE, "extra": b"\x16\0\x10\0\xff\xff\xff\xff" + b"\xee" * 16},
    "ms-adpcm-without-coefficients": {"tag": 2, "bits": 4, "align": 0, "extra": b"\x20\0\xff\xff\xff\xff"},
    "ima-adpcm-absurd-blocks": {"tag": 0x11, "bits": 4, "align": 65_535, "extra": b"\2\0\xff\xff"},
    "gsm-align-1": {"tag": 0x31, "bits": 0, "align": 1, "extra": b"\2\0\xff\xff"},
    "mp3-tag-on-pcm": {"tag": 0x55, "bits": 0, "align": 1},
    "aac-tag-on-pcm": {"tag": 0xFF, "bits": 16, "extra": b"\2\0\xff\xff"},
    "float-of-16-bits": {"tag": 3},
    "float-of-8-bits": {"tag": 3, "bits": 8, "align": 1},
    "g726-of-9-bits": {"tag": 0x64, "bits": 9, "align": 1},
}
"""Contents of the `fmt ` chunk of a WAV file: arguments of `fmt`."""

PATCHES: dict[str, dict[str, tuple[bytes, int, bytes]]] = {
    "plain.flac": {
        "blocks-of-0.flac": (b"fLaC", 4, bytes(4)),
        "blocks-upside-down.flac": (b"fLaC", 4, b"\xff\xff\0\x10"),
        "8-channels-655350-hz.flac": (b"fLaC", 14, b"\x9f\xff\x6f\xf0"),
        "rate-0.flac": (b"fLaC", 14, b"\0\0\x02"),
        "2-36-samples.flac": (b"fLaC", 17, b"\xff" * 5),
        "header-of-16-mb.flac": (b"fLaC", 1, b"\xff\xff\xff"),
    },
    "plain.aiff": {
        "channels-0.aiff": (b"COMM", 4, b"\0\0"),
        "channels-65535.aiff": (b"COMM", 4, b"\xff\xff"),
        "2-32-frames.aiff": (b"COMM", 6, MAX_UINT32),
        "rate-infinite.aiff": (b"COMM", 12, b"\x7f\xff\x80" + bytes(7)),
        "rate-nan.aiff": (b"COMM", 12, b"\xff" * 10),
        "offset-2-32.aiff": (b"SSND", 4, MAX_UINT32),
    },
    "plain.au": {
        "header-of-0.au": (b".snd", 0, bytes(4)),
        "header-of-4-gb.au": (b".snd", 0, MAX_UINT32),
        "encoding-99.au": (b".snd", 8, b"\0\0\0\x63"),
        "rate-0.au": (b".snd", 12, bytes(4)),
        "channels-2-32.au": (b".snd", 16, MAX_UINT32),
    },
    "plain.caf": {
        "rate-nan.caf": (b"desc", 8, b"\xff" * 8),
        "rate-1e308.caf": (b"desc", 8, b"\x7f\xe0" + bytes(6)),
        "packets-of-0.caf": (b"desc", 24, bytes(8)),
        "channels-2-32.caf": (b"desc", 32, MAX_UINT32),
        "data-of-2-63.caf": (b"data", 0, MAX_INT64),
    },
    "alac.caf": {
        "2-63-packets.caf": (b"pakt", 8, MAX_INT64),
        "alac-frames-of-2-31.caf": (b"kuki", 8, MAX_INT32),
    },
    "plain.opus": {
        "channels-0.opus": (b"OpusHead", 1, b"\0"),
        "channels-255.opus": (b"OpusHead", 1, b"\xff"),
        "pre-skip-65535.opus": (b"OpusHead", 2, b"\xff\xff"),
        "family-255.opus": (b"OpusHead", 10, b"\xff"),
        "granule-2-63.opus": (b"OggS", 2, b"\xff" * 7 + b"\x7f"),
    },
    "vorbis.ogg": {
        "channels-0.ogg": (b"\x01vorbis", 4, b"\0"),
        "channels-255.ogg": (b"\x01vorbis", 4, b"\xff"),
        "rate-0.ogg": (b"\x01vorbis", 5, bytes(4)),
        "blocks-of-0.ogg": (b"\x01vorbis", 21, b"\0"),
        "2-32-comments.ogg": (b"\x03vorbis", 0, MAX_UINT32),
    },
    "plain.tta": {
        "channels-65535.tta": (b"TTA1", 2, b"\xff\xff"),
        "rate-0.tta": (b"TTA1", 6, bytes(4)),
        "2-32-samples.tta": (b"TTA1", 10, MAX_UINT32),
    },
    "plain.wv": {
        "block-of-4-gb.wv": (b"wvpk", 0, MAX_UINT32),
        "2-32-samples-in-a-block.wv": (b"wvpk", 16, MAX_UINT32),
        "flags-all-set.wv": (b"wvpk", 20, MAX_UINT32),
    },
    "fronted.mp4": {
        "stts-2-31.mp4": (b"stts", 8, MAX_INT32 * 2),
        "stts-2-32-entries.mp4": (b"stts", 4, MAX_UINT32),
        "stsz-2-32-samples.mp4": (b"stsz", 4, b"\0\0\0\x01" + MAX_UINT32),
        "stsc-2-31-in-a-chunk.mp4": (b"stsc", 12, MAX_INT32),
        "stco-2-32-chunks.mp4": (b"stco", 4, MAX_UINT32),
        "stco-behind-the-end.mp4": (b"stco", 8, MAX_UINT32),
        "timescale-0.mp4": (b"mdhd", 12, bytes(4)),
        "duration-2-32.mp4": (b"mvhd", 16, MAX_UINT32),
        "channels-65535.mp4": (b"mp4a", 16, b"\xff\xff"),
        "rate-0.mp4": (b"mp4a", 24, bytes(4)),
        "moov-of-4-gb.mp4": (b"isom", -16, MAX_UINT32),
        "descriptor-of-2-28.mp4": (b"esds", 5, b"\xff\xff\xff\x7f"),
    },
    "alac.m4a": {
        "alac-frames-of-2-31.m4a": (b"alac", 40, MAX_INT32),
        "alac-255-channels.m4a": (b"alac", 49, b"\xff"),
    },
    "flac.mka": {
        "channels-2-56.mka": (b"\x9f\x81", 0, b"\xff"),
        "segment-of-2-56.mka": (b"\x18\x53\x80\x67", 0, b"\x01" + b"\xff" * 7),
    },
    "plain.wma": {
        "header-of-2-63.wma": (b"\x62\xce\x6c", 0, b"\xff" * 7 + b"\x7f"),
        "2-32-objects.wma": (b"\x62\xce\x6c", 8, MAX_UINT32),
    },
    "film.avi": {
        "1000-streams.avi": (b"avih", 28, b"\xe8\x03\0\0"),
        "strf-of-4-gb.avi": (b"strf", 0, MAX_UINT32),
        "rate-and-scale-0.avi": (b"auds", 16, bytes(8)),
    },
    "film.flv": {
        "script-of-16-mb.flv": (b"\x12", 0, b"\xff\xff\xff"),
        "2-32-properties.flv": (b"onMetaData", 1, MAX_UINT32),
    },
    "plain.aac": {"frames-of-7-bytes.aac": (b"\xff\xf1", 1, b"\x80\0\xff\xfc")},
    "plain.rm": {"properties-of-4-gb.rm": (b"PROP", 0, MAX_UINT32), "65535-streams.rm": (b"PROP", 42, b"\xff\xff")},
    "sphere.nist": {"channels-2-32.nist": (b"channel_count -i ", 0, b"4294967296")},
    "plain.voc": {"block-of-16-mb.voc": (b"Creative Voice File\x1a", 7, b"\xff\xff\xff")},
}
"""For each recording, the forged files by name: a marker, the offset after it, and the bytes to write there."""


def forged(recordings: Mapping[str, bytes]) -> Iterator[HostileFile]:
    """Yield `recordings`, by name, with forged headers, and WAV files with impossible headers."""
    yield from _forms_of_wav()
    yield from _sizes_of_wav()
    yield from _samples()
    for recording, patches in PATCHES.items():
        for name, patch in patches.items():
            yield HostileFile(name, patched(recordings[recording], *patch))


def _sound() -> bytes:
    return chunk(b"data", pcm16(clip(SPEECH)))


def _forms_of_wav() -> Iterator[HostileFile]:
    for name, form in FORMS.items():
        yield HostileFile(f"{name}.wav", wave(fmt(**form), _sound()))


def _sizes_of_wav() -> Iterator[HostileFile]:
    pcm = pcm16(clip(SPEECH))
    sound, form = _sound(), fmt()
    files = {
        "data-of-4-gb": wave(form, chunk(b"data", pcm, 2**32 - 1)),
        "data-of-2-gb": wave(form, chunk(b"data", pcm, 2**31)),
        "data-of-0": wave(form, chunk(b"data", pcm, 0)),
        "riff-of-4-gb": wave(form, sound, declared_bytes=2**32 - 1),
        "riff-of-0": wave(form, sound, declared_bytes=0),
        "fmt-of-0": wave(chunk(b"fmt ", b""), sound),
        "fmt-of-4-gb": wave(chunk(b"fmt ", form[8:], 2**32 - 1), sound),
        "without-fmt": wave(sound),
        "data-before-fmt": wave(sound, form),
        "two-fmt": wave(form, fmt(channels=2, rate=48_000, align=4), sound),
        "two-data": wave(form, sound, sound),
        "list-of-4-gb": wave(form, chunk(b"LIST", b"INFO", 2**32 - 1), sound),
        "rf64-of-2-63": b"RF64" + wave(chunk(b"ds64", b"\xff" * 28), form, sound)[4:],
        "rf64-without-ds64": b"RF64" + wave(form, sound)[4:],
        "big-endian": b"RIFX" + wave(form, sound)[4:],
        "odd-chunks": wave(form, chunk(b"odd ", b"x"), chunk(b"odd ", b"xyz"), sound),
    }
    for name, data in files.items():
        yield HostileFile(f"{name}.wav", data)


def _samples() -> Iterator[HostileFile]:
    """Yield files with unusual sample values, or unusual numbers of samples."""
    speech = clip(SPEECH)
    for name, value in {"nan": np.nan, "inf": np.inf, "1e38": 1e38, "denormal": 1e-45}.items():
        odd = speech.copy()
        odd[::7] = value
        yield HostileFile(f"{name}.wav", _floats(odd.astype("<f4")))
        yield HostileFile(f"all-{name}.wav", _floats(np.full(16_000, value, "<f4")))
    yield HostileFile("1e300.wav", _floats(np.full(16_000, 1e300, "<f8")))
    yield HostileFile("one-sample.wav", wav(speech[:1]))
    yield HostileFile("192-khz.wav", wav(resampled(speech, 192_000), 192_000))
    yield HostileFile("192-khz-8-channels.flac", wav(resampled(speech, 192_000), 192_000, 8, container="FLAC"))
    yield HostileFile("full-scale-square.wav", wav(np.where(np.arange(32_000) % 2, 1.0, -1.0)))


def _floats(samples: NDArray[np.floating]) -> bytes:
    size = samples.itemsize
    return wave(fmt(tag=3, align=size, bits=8 * size), chunk(b"data", samples.tobytes()))
