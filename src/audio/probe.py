"""Detect a media file's format from its first bytes, as the name of FFmpeg's demuxer for it.

`plain_wav` also parses the format that most clients send: a PCM16 WAV file with a canonical header.
"""

import re
import struct
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

PROBE_BYTES = 1 << 14
"""How far into a file the first MP3 or AAC frame may lie: a file that was cut may begin in the middle of a frame."""
CHAINED_FRAMES = 4
"""Consecutive frame headers, each where the previous one says, that identify MP3 or AAC. PCM holds single headers by
chance."""
MAX_HEADERS = 1024
"""Headers that are examined; a real file has a chain among them. Without this limit, bytes that are nothing but headers
would take 8 ms."""
ADTS_HEADER = re.compile(rb"\xff[\xf0\xf1\xf8\xf9](?=[\x00-\x33\x40-\x73\x80-\xb3\xc0-\xf3])")
"""The start of an AAC frame: sync word, layer 0, and a valid sample rate (ISO/IEC 14496-3, 1.A.2)."""
MPEG_HEADER = re.compile(
    rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd](?=["
    rb"\x10-\x1b\x20-\x2b\x30-\x3b\x40-\x4b\x50-\x5b\x60-\x6b\x70-\x7b"
    rb"\x80-\x8b\x90-\x9b\xa0-\xab\xb0-\xbb\xc0-\xcb\xd0-\xdb\xe0-\xeb])"
)
"""The start of an MP3 or MP2 frame: a valid version, layer, bit rate and sample rate (ISO/IEC 11172-3, 2.4)."""

MAX_TAG_CHUNKS = 16
"""Tag chunks before the audio of a plain WAV. Files have one or two; walking over millions would take seconds."""

MPEG_WAV = re.compile(rb"RIFF.{4}WAVE(?>.*?fmt ).{4}[\x50\x55]\x00", re.DOTALL)
"""A WAV file that contains MP2 or MP3, by its format tag (RFC 2361)."""

WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH")
"""The canonical start of a PCM WAV file: the RIFF header and a `fmt ` chunk of 16 bytes."""

SIGNATURES = {
    demuxer: re.compile(magic, re.DOTALL)
    for demuxer, magic in {
        "wav": rb"(?:RIFF|RIFX|RF64|BW64).{4}WAVE",
        "w64": rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
        "aiff": rb"FORM.{4}AIF[FC]",
        "au": rb"\.snd",
        "caf": rb"caff\x00",
        "voc": rb"Creative Voice File\x1a",
        "nistsphere": rb"NIST_1A\n",
        "flac": rb"fLaC",
        "ogg": rb"OggS\x00",
        "wv": rb"wvpk",
        "tta": rb"TTA1",
        "amr": rb"#!AMR(?:-WB)?\n",
        "mov": rb".{4}(?:ftyp|styp|moov|moof|mdat|wide|free|skip|pnot)",
        "matroska": rb"\x1a\x45\xdf\xa3",
        "asf": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
        "flv": rb"FLV\x01",
        "avi": rb"RIFF.{4}AVI ",
        "rm": rb"\.RMF",
        "mpeg": rb"\x00\x00\x01\xba",
        "mpegts": rb"(?:G.{187}){3}G|.{4}(?:G.{191}){3}G",
    }.items()
}
"""FFmpeg's demuxers, each with the first bytes of its files."""


class PlainPcm(NamedTuple):
    """PCM16 samples, little-endian, channels interleaved."""

    rate: int
    """Sample rate in Hz."""
    channels: int
    data: bytes | memoryview


def plain_wav(data: bytes) -> PlainPcm | None:
    """Parse a PCM16 WAV file with a canonical header, correct sizes, and only tags before the audio.

    Returns its samples as a view of `data`, or None for any other file: damaged, unfinished or in another format. A
    library reads those.
    """
    if len(data) < WAV_HEADER.size:
        return None
    header = WAV_HEADER.unpack_from(data)
    channels, rate = header[6:8]
    frame_bytes = 2 * channels
    expected = (b"RIFF", len(data) - 8, b"WAVE", b"fmt ", 16, 1, channels, rate, frame_bytes * rate, frame_bytes, 16)
    if not channels or header != expected:
        return None
    at = WAV_HEADER.size
    for _ in range(MAX_TAG_CHUNKS):
        if data[at : at + 4] != b"LIST":
            break
        length = _chunk_bytes(data, at)
        at += 8 + length + length % 2
    length = _chunk_bytes(data, at)
    pcm = memoryview(data)[at + 8 : at + 8 + length]
    is_whole = 0 < length == len(pcm) and length % frame_bytes == 0
    return PlainPcm(rate, channels, pcm) if data[at : at + 4] == b"data" and is_whole else None


def _chunk_bytes(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 4 : at + 8], "little")


def is_container(data: bytes) -> bool:
    """Return whether `data` begins like a supported media file. Headerless PCM does not."""
    return demuxer_name(data) is not None


def demuxer_name(data: bytes) -> str | None:
    """Return the name of FFmpeg's demuxer for `data`, by its first bytes; None if it is not a media file."""
    start = _id3_bytes(data)
    head = data[start : start + PROBE_BYTES]
    for demuxer, magic in SIGNATURES.items():
        if magic.match(head):
            return demuxer
    if _has_frames(head, ADTS_HEADER, _adts_frame_bytes):
        return "aac"
    if start or _has_frames(head, MPEG_HEADER, _mpeg_frame_bytes):
        return "mp3"
    return None


def is_mpeg_wav(data: bytes) -> bool:
    """Return whether `data` begins like a WAV file that contains MP2 or MP3."""
    return bool(MPEG_WAV.match(data[:PROBE_BYTES]))


def _id3_bytes(data: bytes) -> int:
    """Return the size of the ID3v2 tag at the start of `data`, 0 if there is none (id3.org/id3v2.4.0-structure)."""
    tag = re.match(rb"ID3[\x02-\x04].([\x00-\xff])([\x00-\x7f]{4})", data, re.DOTALL)
    if tag is None:
        return 0
    has_footer = tag[1][0] & 0x10
    size: int = sum(byte << shift for byte, shift in zip(tag[2], (21, 14, 7, 0), strict=True))
    return 10 + size + (10 if has_footer else 0)


def _has_frames(data: bytes, header: re.Pattern[bytes], frame_bytes: Callable[[bytes], int]) -> bool:
    """Return whether `data` has `CHAINED_FRAMES` consecutive frames somewhere, or consists of two or three."""
    chains: dict[int, tuple[int, int]] = {}  # start of a chain -> number of its frames, end of its last frame
    for found in reversed(list(islice(header.finditer(data), MAX_HEADERS))):  # backwards: each header is seen once
        at = found.start()
        length = frame_bytes(data[at : at + 6])
        if not length:
            continue
        count, end = chains.get(at + length, (0, at + length))
        if count + 1 == CHAINED_FRAMES:
            return True
        chains[at] = (count + 1, end)
    count, end = chains.get(0, (0, 0))
    return count >= 2 and end >= len(data)


def _adts_frame_bytes(header: bytes) -> int:
    """Return the length of an AAC frame by its first 6 bytes; 0 if they are not a frame header."""
    if len(header) < 6:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0


def _mpeg_frame_bytes(header: bytes) -> int:
    """Return the length of an MP3 or MP2 frame by its first 4 bytes, which match `MPEG_HEADER`."""
    version, layer = (header[1] >> 3) & 3, (header[1] >> 1) & 3
    bit_rate, rate = header[2] >> 4, (header[2] >> 2) & 3
    is_mpeg1, is_layer3 = version == 3, layer == 1
    if not is_mpeg1:
        kbps = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    elif is_layer3:
        kbps = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    else:
        kbps = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
    hertz = (44_100, 48_000, 32_000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    samples = 576 if is_layer3 and not is_mpeg1 else 1152
    return samples // 8 * kbps[bit_rate - 1] * 1000 // hertz + ((header[2] >> 1) & 1)
