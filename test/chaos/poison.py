"""Broken files that the soak test sends among the valid ones."""

import random

MAGICS = {
    "ogg": b"OggS\0\2",
    "flac": b"fLaC\0\0\0\x22",
    "webm": b"\x1a\x45\xdf\xa3",
    "wav": b"RIFF\xff\xff\xff\xffWAVEfmt ",
}
NOISE_BYTES = 20_000


def files(mp4: bytes, flac: bytes) -> dict[str, bytes]:
    """Return broken files by name, made from two valid ones and from noise; the same each time."""
    chance = random.Random(0)
    noise = {f"noise.{name}": magic + chance.randbytes(NOISE_BYTES) for name, magic in MAGICS.items()}
    return {
        **noise,
        "truncated.mp4": mp4[: len(mp4) // 2],
        "truncated.flac": flac[: len(flac) // 2],
        "flipped.flac": _flipped(flac, chance),
        "page.html": b"<!doctype html><html><body>502 Bad Gateway</body></html>\n" * 20,
        "one-byte.mp3": b"\xff",
    }


def _flipped(content: bytes, chance: random.Random) -> bytes:
    """Return `content` with one bit of a thousand bytes flipped."""
    result = bytearray(content)
    for place in chance.sample(range(len(result)), len(result) // 1000):
        result[place] ^= 1 << chance.randrange(8)
    return bytes(result)
