"""Small files that exhaust a machine: hours of audio, gigabytes of memory, or endless recursion."""

import gzip
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
from hostile import HostileFile
from media import clip, encode, pcm16, wav
from packing import atom, chunk, element, fmt, id3, ogg_page, patched, wave
from recordings import REPEATABLE, SPEECH, vorbis

HOUR_S = 3600
EBML_HEAD = element(0x1A45DFA3, element(0x4282, b"matroska"))
SEGMENT, TRACKS, TRACK, TAGS, TAG, SIMPLE_TAG = 0x18538067, 0x1654AE6B, 0xAE, 0x1254C367, 0x7373, 0x67C8


def bombs(recordings: Mapping[str, bytes]) -> Iterator[HostileFile]:
    """Yield every bomb; some are made from `recordings`, by name."""
    for family in (_hours(), _deep(recordings), _crowded(recordings), _inflated(recordings)):
        for name, data in family.items():
            yield HostileFile(name, data)


def _hours() -> dict[str, bytes]:
    """Hours of silence."""
    mp3_frame = b"\xff\xe3\x18\xc4" + bytes(68)  # 72 ms at 8 kHz
    minute = np.zeros(60 * 16_000, np.float32)
    return {
        "hour.flac": wav(minute, container="FLAC") * 60,
        "hour.mp3": mp3_frame * (HOUR_S * 1000 // 72),
        "ten-hours.opus": _long_opus(10 * HOUR_S),
        "hour.amr": b"#!AMR\n" + b"\x7c" * (HOUR_S * 50),  # frames without data
        "half-an-hour.aac": encode(minute, "adts", "aac", **REPEATABLE) * 30,
        "half-an-hour.ogg": vorbis(minute) * 30,
        "loud-minutes.wav": wave(fmt(tag=7, align=1, bits=8, rate=8_000), chunk(b"data", bytes(8_000 * 400))),
        "half-a-minute-192-khz-8-channels.flac": _wide_flac(),
    }


def _wide_flac() -> bytes:
    return wav(np.zeros((30 * 192_000, 8), np.float32), 192_000, container="FLAC")


def _long_opus(seconds: int) -> bytes:
    """Return an Opus file with two empty frames of 60 ms per byte, 255 times per page."""
    head = b"OpusHead\x01\x01" + bytes(2) + (48_000).to_bytes(4, "little") + bytes(3)
    pages = [ogg_page([head], 0, 0, first=True), ogg_page([b"OpusTags" + bytes(8)], 1, 0)]
    page_samples = 255 * 5760
    for number in range(seconds * 48_000 // page_samples):
        pages.append(ogg_page([b"\x59"] * 255, number + 2, (number + 1) * page_samples))
    return b"".join(pages)


def _deep(recordings: Mapping[str, bytes]) -> dict[str, bytes]:
    """Deeply nested boxes."""
    head = atom(b"ftyp", b"isom", bytes(4))
    return {
        "deep-moov.mp4": head + _nested_atoms(b"moov", 50_000),
        "deep-trak.mp4": head + atom(b"moov", _nested_atoms(b"trak", 50_000)),
        "deep-meta.mp4": head + atom(b"moov", _nested_atoms(b"udta", 50_000)),
        "deep-tags.mka": EBML_HEAD + element(SEGMENT, element(TAGS, element(TAG, _nested_elements(SIMPLE_TAG, 2_000)))),
        "endless-tags.mka": EBML_HEAD
        + element(SEGMENT, b"\x67\xc8\x01\xff\xff\xff\xff\xff\xff\xff" * 50_000, 2**56 - 1),
        "deep-list.wav": wave(fmt(), b"LIST\xff\xff\xff\x7fINFO" * 100_000),
        "deep-list.avi": b"RIFF\xff\xff\xff\x7fAVI " + b"LIST\xff\xff\xff\x7fhdrl" * 100_000,
        "deep-form.aiff": b"FORM\x7f\xff\xff\xffAIFF" * 50_000,
        "deep-script.flv": _deep_script(),
        "tag-in-tag.mp3": id3(b"") * 100_000 + recordings["plain.mp3"],
    }


def _nested_atoms(name: bytes, depth: int) -> bytes:
    sizes = range(8 * depth, 0, -8)
    return b"".join(size.to_bytes(4, "big") + name for size in sizes)


def _nested_elements(name: int, depth: int) -> bytes:
    nested = b""
    for _ in range(depth):
        nested = element(name, nested)
    return nested


def _deep_script() -> bytes:
    """Return a script tag whose value is a deeply nested object."""
    script = b"\x02\0\x0aonMetaData" + b"\x03\0\x01a" * 50_000
    tag = b"\x12" + len(script).to_bytes(3, "big") + bytes(7) + script
    return b"FLV\x01\x05\0\0\0\x09" + bytes(4) + tag + (len(tag)).to_bytes(4, "big")


def _crowded(recordings: Mapping[str, bytes]) -> dict[str, bytes]:
    """Very many parts of which files normally have one."""
    sound = chunk(b"data", pcm16(clip(SPEECH)))
    return {
        "chunks.wav": wave(fmt(), chunk(b"LIST", b"") * 400_000, sound),
        "junk-chunks.wav": wave(fmt(), chunk(b"junk", b"") * 400_000, sound),
        "tracks.mp4": atom(b"ftyp", b"isom", bytes(4)) + atom(b"moov", atom(b"trak") * 300_000),
        "tracks.mka": EBML_HEAD
        + element(SEGMENT, element(TRACKS, element(TRACK, b"\x83\x81\x02\xd7\x81\x01") * 100_000)),
        "streams.avi": _crowded_avi(1_000),
        "streams.ogg": b"".join(
            ogg_page([b"OpusHead\x01\x01" + bytes(9)], 0, 0, first=True, serial=serial) for serial in range(2_000)
        ),
        "programs.ts": _crowded_transport_stream(),
        "pages.ogg": b"".join(ogg_page([b""], number, number) for number in range(5_000)),
        "comments.flac": _with_comments(recordings["plain.flac"], 100_000),
        "seek-points.flac": _with_block(recordings["plain.flac"], 3, b"\xff" * 18 * 50_000),
        "picture.flac": _with_block(recordings["plain.flac"], 6, b"\0\0\0\x03" + b"\xff" * 2_000_000),
        "blocks.voc": b"Creative Voice File\x1a\x1a\0\x0a\x01\x29\x11" + b"\x03\x03\0\0\xff\xff\x80" * 200_000,
        "metadata.aiff": b"FORM\0\x10\0\0AIFF" + b"ANNO\0\0\0\x02ab" * 100_000,
        "half-frames.mp3": b"\xff\xfb\x90\x64" * 500_000,
        "sync-words.aac": b"\xff\xf1\x50\x80\x01\x1f\xfc" * 200_000,
    }


def _crowded_avi(streams: int) -> bytes:
    form = fmt(tag=0x55, bits=0)[8:]
    header = chunk(b"strh", b"auds" + bytes(16) + b"\1\0\0\0\x80\x3e\0\0" + bytes(28)) + chunk(b"strf", form)
    lists = chunk(b"LIST", b"strl" + header) * streams
    main = chunk(b"avih", bytes(24) + streams.to_bytes(4, "little") + bytes(28))
    return chunk(b"RIFF", b"AVI " + chunk(b"LIST", b"hdrl" + main + lists) + chunk(b"LIST", b"movi"))


def _crowded_transport_stream() -> bytes:
    """Return a stream in which a table starts under every packet identifier."""
    packets = (b"\x47" + (0x4000 | pid).to_bytes(2, "big") + b"\x10" + b"\x00\x00\xb0\x0d" for pid in range(8_000))
    return b"".join(packet.ljust(188, b"\xff") for packet in packets)


def _with_block(flac: bytes, kind: int, content: bytes) -> bytes:
    """Insert a metadata block after the first one of a FLAC file."""
    return flac[:42] + bytes([kind]) + len(content).to_bytes(3, "big") + content + flac[42:]


def _with_comments(flac: bytes, count: int) -> bytes:
    comment = (3).to_bytes(4, "little") + b"A=B"
    return _with_block(flac, 4, bytes(4) + count.to_bytes(4, "little") + comment * count)


def _inflated(recordings: Mapping[str, bytes]) -> dict[str, bytes]:
    """Data that decompresses to much more, and headers that declare huge sizes."""
    zeros = bytes(64 << 20)
    packed = zlib.compress(zeros, 9)
    movie = atom(b"cmov", atom(b"dcom", b"zlib"), atom(b"cmvd", (2**31 - 1).to_bytes(4, "big"), packed))
    return {
        "bomb.gz": gzip.compress(zeros, 9, mtime=0),
        "compressed-header.mov": atom(b"ftyp", b"qt  ", bytes(4)) + atom(b"moov", movie),
        "compressed-track.mka": _compressed_matroska(packed),
        "tag-of-256-mb.mp3": id3(b"", 2**28 - 1) + recordings["plain.mp3"],
        "tag-of-256-mb.wav": id3(b"", 2**28 - 1) + recordings["16bit.wav"],
        "picture-of-4-gb.flac": _with_block(recordings["plain.flac"], 6, b"\0\0\0\x03" + b"\xff" * 40),
        "header-2-56.mka": element(0x1A45DFA3, b"", 2**56 - 2) + recordings["flac.mka"],
        "frames-2-32.mp3": patched(recordings["stereo.mp3"], b"Info", 0, b"\0\0\0\x0f" + b"\xff" * 8),
    }


def _compressed_matroska(packed: bytes) -> bytes:
    """Return a PCM track whose only block is compressed."""
    compression = element(0x6D80, element(0x6240, element(0x5034, element(0x4254, b"\0"))))
    audio = element(0xE1, element(0x9F, b"\x01") + element(0x6264, b"\x10"))
    track = element(
        TRACK, b"\xd7\x81\x01\x73\xc5\x81\x01\x83\x81\x02" + element(0x86, b"A_PCM/INT/LIT") + audio + compression
    )
    cluster = element(0x1F43B675, element(0xE7, b"\0") + element(0xA3, b"\x81\0\0\x80" + packed))
    return EBML_HEAD + element(SEGMENT, element(TRACKS, track) + cluster)
