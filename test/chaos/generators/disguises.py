"""Files that are not what they claim: by their name, by their first bytes, or because they are two things at once."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from random import Random

from hostile import HostileFile
from media import clip, pcm16
from packing import atom, chunk, fmt, id3, wave
from recordings import SPEECH

MAGICS = {
    "wav": b"RIFF\xff\xff\0\0WAVEfmt ",
    "rf64.wav": b"RF64\xff\xff\xff\xffWAVEds64",
    "w64": b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0",
    "aiff": b"FORM\0\1\0\0AIFF",
    "aifc": b"FORM\0\1\0\0AIFC",
    "au": b".snd",
    "caf": b"caff\0\1\0\0",
    "voc": b"Creative Voice File\x1a",
    "nist": b"NIST_1A\n   1024\n",
    "flac": b"fLaC",
    "ogg": b"OggS\0\2",
    "wv": b"wvpk",
    "tta": b"TTA1",
    "amr": b"#!AMR\n",
    "awb": b"#!AMR-WB\n",
    "mp4": b"\0\0\0\x20ftypisom",
    "mov": b"\0\0\0\x08wide\0\0\0\x08mdat",
    "webm": b"\x1a\x45\xdf\xa3",
    "wma": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c",
    "flv": b"FLV\x01\x05\0\0\0\x09",
    "avi": b"RIFF\xff\xff\0\0AVI LIST",
    "rm": b".RMF\0\0\0\x12",
    "mpg": b"\0\0\1\xba",
    "mp3": b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\x64",
    "aac": b"\xff\xf1\x50\x80\x2e\x7f\xfc",
}
"""The first bytes of each format's files, by suffix."""

FALSE_TYPES = [
    "text/html",
    "image/png",
    "audio/pcm;rate=8000;channels=8",
    "audio/pcm;rate=-1;channels=nan",
    "audio/l16",
    "application/json",
    "video/unheard-of",
    ';;;="',
    "x" * 500,
]
"""False media types that are declared for an MP3 file."""

JOINED = [
    ("16bit.wav", "plain.mp3"),
    ("plain.mp3", "16bit.wav"),
    ("plain.flac", "vorbis.ogg"),
    ("vorbis.ogg", "plain.flac"),
    ("plain.opus", "vorbis.ogg"),
    ("aac.m4a", "aac.m4a"),
    ("aac.m4a", "plain.webm"),
    ("plain.webm", "film.mkv"),
    ("plain.aac", "plain.mp3"),
    ("film.ts", "film.mpg"),
    ("plain.amr", "plain.aac"),
    ("16bit.wav", "float.wav"),
]
"""Files that are joined end to end and sent as one."""


def disguises(recordings: Mapping[str, bytes], random: Random) -> Iterator[HostileFile]:
    """Yield files with false names or false first bytes, files of several formats, and files that are not audio."""
    yield from _mislabelled(recordings)
    for suffix, magic in MAGICS.items():
        yield HostileFile(f"noise.{suffix}", magic + random.randbytes(20_000))
        yield HostileFile(f"magic-alone.{suffix}", magic)
    for first, second in JOINED:
        yield HostileFile(f"{first}+{second}", recordings[first] + recordings[second])
    for name, data in (_polyglots(recordings) | _no_audio(random)).items():
        yield HostileFile(name, data)


def _mislabelled(recordings: Mapping[str, bytes]) -> Iterator[HostileFile]:
    names = ["16bit.wav", "plain.flac", "plain.mp3", "vorbis.ogg", "aac.m4a", "plain.webm", "plain.aac", "film.avi"]
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        yield HostileFile(f"called-{other}", recordings[name])
    yield HostileFile("../../../../etc/passwd", recordings["16bit.wav"])
    yield HostileFile("C:\\con\0\r\nx-evil: 1.wav", recordings["16bit.wav"])
    yield HostileFile("\u202e3pm.exe", recordings["plain.mp3"])
    yield HostileFile("x" * 5_000 + ".wav", recordings["16bit.wav"])
    for number, kind in enumerate(FALSE_TYPES):
        yield HostileFile(f"said-to-be-other-{number}.mp3", recordings["plain.mp3"], kind)


def _polyglots(recordings: Mapping[str, bytes]) -> dict[str, bytes]:
    sound = chunk(b"data", pcm16(clip(SPEECH)))
    page = b"<html><script>alert(1)</script></html>"
    return {
        "wav-and-zip.wav": recordings["16bit.wav"] + _zip(),
        "page-in-tag.mp3": id3(page) + recordings["plain.mp3"],
        "page-in-list.wav": wave(fmt(), chunk(b"LIST", b"INFO" + chunk(b"ICMT", page)), sound),
        "pdf-in-list.wav": wave(fmt(), chunk(b"LIST", b"%PDF-1.7\n%%EOF"), sound),
        "wav-in-free.mp4": atom(b"free", recordings["16bit.wav"]) + recordings["fronted.mp4"],
        "tag-before-flac.flac": id3(b"TIT2") + recordings["plain.flac"],
        "tag-before-wav.wav": id3(b"TIT2") + recordings["16bit.wav"],
        "tag-before-mp4.mp4": id3(b"TIT2") + recordings["fronted.mp4"],
        "mp3-in-flac-picture.flac": b"fLaC\x06"
        + len(recordings["plain.mp3"]).to_bytes(3, "big")
        + recordings["plain.mp3"],
        "wav.gz": gzip.compress(recordings["16bit.wav"], mtime=0),
        "zeros-before.wav": bytes(4_096) + recordings["16bit.wav"],
        "zeros-before.mp3": bytes(20_000) + recordings["plain.mp3"],
    }


def _no_audio(random: Random) -> dict[str, bytes]:
    return {
        "empty.wav": b"",
        "one-byte.wav": b"R",
        "zeros.bin": bytes(50_000),
        "ones.bin": b"\xff" * 50_000,
        "noise.bin": random.randbytes(50_000),
        "text.txt": b"The free lunch is over.\n" * 500,
        "utf-16.txt": ("The free lunch is over.\n" * 100).encode("utf-16"),
        "page.html": b"<!DOCTYPE html><html><body>404</body></html>",
        "text.json": json.dumps({"file": "none"}).encode(),
        "deep.json": b'{"a":' * 50_000,
        "archive.zip": _zip(),
        "archive.tar": _tar(),
        "program.exe": b"MZ\x90\0" + bytes(56) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0" + random.randbytes(2_000),
        "program.elf": b"\x7fELF\x02\x01\x01" + random.randbytes(2_000),
        "picture.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde" + bytes(1_000),
        "picture.jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01" + random.randbytes(5_000),
        "picture.gif": b"GIF89a\x01\0\x01\0\0\0\0;",
        "picture.webp": b"RIFF\x24\0\0\0WEBPVP8 " + bytes(100),
        "paper.pdf": b"%PDF-1.7\n" + bytes(5_000),
        "notes.mid": b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk" + bytes(100),
        "script.sh": b"#!/bin/sh\nreboot\n",
        "data.sqlite": b"SQLite format 3\0" + bytes(500),
    }


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("zeros"), bytes(1 << 20))
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    return file.getvalue()
