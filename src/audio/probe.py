"""Tell what kind of media file bytes are by how they begin, as the name of FFmpeg's demuxer for them.

The one format that most clients send, PCM16 in a WAV file without quirks, is found out in full: `plain_wav`.
"""

import re
import struct
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

PROBE_BYTES = 1 << 14
"""How far into a file the first MP3 or AAC frame may lie, behind the rest of one that a cut went through."""
CHAINED_FRAMES = 4
"""Frame headers, each where the one before says, that tell MP3 or AAC from PCM, which holds single ones by chance."""
MAX_HEADERS = 1024
"""Of those, so many are looked at: bytes that are nothing else would take 8 ms. A real file has a chain among them."""
ADTS_HEADER = re.compile(rb"\xff[\xf0\xf1\xf8\xf9](?=[\x00-\x33\x40-\x73\x80-\xb3\xc0-\xf3])")
"""How an AAC frame begins: its sync word, layer 0, and a rate that exists (ISO/IEC 14496-3, 1.A.2)."""
MPEG_HEADER = re.compile(
    rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd](?=["
    rb"\x10-\x1b\x20-\x2b\x30-\x3b\x40-\x4b\x50-\x5b\x60-\x6b\x70-\x7b"
    rb"\x80-\x8b\x90-\x9b\xa0-\xab\xb0-\xbb\xc0-\xcb\xd0-\xdb\xe0-\xeb])"
)
"""How an MP3 or MP2 frame begins: a version, layer, bit rate and rate that exist (ISO/IEC 11172-3, 2.4)."""

MAX_TAG_CHUNKS = 16
"""Chunks of tags before the audio of a plain WAV. Files have one or two; to walk over millions takes seconds."""

MPEG_WAV = re.compile(rb"RIFF.{4}WAVE(?>.*?fmt ).{4}[\x50\x55]\x00", re.DOTALL)
"""WAV around MP2 or MP3, by its format tag (RFC 2361)."""

PLAIN_WAV = struct.Struct("<4sI4s4sIHHIIHH")
"""How PCM in a WAV file begins as a rule: the RIFF header, and a `fmt ` chunk of 16 bytes."""

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
"""FFmpeg's demuxers, by the first bytes of the files that they read."""


class PlainPcm(NamedTuple):
    """PCM16 samples, little-endian, channels interleaved."""

    rate: int
    """Sample rate in Hz."""
    channels: int
    data: bytes | memoryview


def plain_wav(data: bytes) -> PlainPcm | None:
    """Read a PCM16 WAV file whose header is canonical, every size in it right, with nothing but tags before the audio.

    None for any other, be it damaged, unfinished or in another format: there is a library for those.
    """
    if len(data) < PLAIN_WAV.size:
        return None
    header = PLAIN_WAV.unpack_from(data)
    channels, rate = header[6:8]
    frame_bytes = 2 * channels
    sound = (b"RIFF", len(data) - 8, b"WAVE", b"fmt ", 16, 1, channels, rate, frame_bytes * rate, frame_bytes, 16)
    if not channels or header != sound:
        return None
    at = PLAIN_WAV.size
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
    """Return whether `data` begins like a media file that `decode` knows; PCM without a header does not."""
    return demuxer_name(data) is not None


def demuxer_name(data: bytes) -> str | None:
    """Name FFmpeg's demuxer for `data` by its first bytes, or None where it is no media file."""
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
    """Return whether `data` begins like WAV around MP2 or MP3."""
    return bool(MPEG_WAV.match(data[:PROBE_BYTES]))


def _id3_bytes(data: bytes) -> int:
    """Return the size of the ID3v2 tag that `data` begins with, 0 where it has none (id3.org/id3v2.4.0-structure)."""
    tag = re.match(rb"ID3[\x02-\x04].([\x00-\xff])([\x00-\x7f]{4})", data, re.DOTALL)
    if tag is None:
        return 0
    has_footer = tag[1][0] & 0x10
    size: int = sum(byte << shift for byte, shift in zip(tag[2], (21, 14, 7, 0), strict=True))
    return 10 + size + (10 if has_footer else 0)


def _has_frames(data: bytes, header: re.Pattern[bytes], frame_bytes: Callable[[bytes], int]) -> bool:
    """Return whether frames follow one another somewhere in `data`, or two or three are all of it."""
    chains: dict[int, tuple[int, int]] = {}  # by where they begin, how many frames and where the last one ends
    for found in reversed(list(islice(header.finditer(data), MAX_HEADERS))):  # backwards, so each is looked at once
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
    """Return the length of the AAC frame whose `header`, the first 6 bytes, this is; 0 where there is no such frame."""
    if len(header) < 6:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0


def _mpeg_frame_bytes(header: bytes) -> int:
    """Return the length of the MP3 or MP2 frame whose `header`, the first 4 bytes or more, this is."""
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
