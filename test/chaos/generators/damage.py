"""Damage a file as disks, networks and fuzzers do."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

from hostile import HostileFile

HEADER_BYTES = 400
"""The length of most formats' headers, where a wrong byte does most harm."""


def damaged(recordings: Sequence[HostileFile], random: Random) -> Iterator[HostileFile]:
    """Yield every recording once with each kind of damage."""
    for recording in recordings:
        for kind, harm in HARMS.items():
            yield HostileFile(f"{kind}-{recording.name}", harm(recording.data, random))


def header_only(data: bytes, random: Random) -> bytes:
    """Cut a file off within its header."""
    return data[: random.randrange(4, 120)]


def cut_short(data: bytes, random: Random) -> bytes:
    """Cut a file off anywhere."""
    return data[: random.randrange(len(data))]


def beheaded(data: bytes, random: Random) -> bytes:
    """Remove the start of a file."""
    return data[random.randrange(1, len(data)) :]


def few_bits(data: bytes, random: Random) -> bytes:
    """Flip a few bits near the start."""
    return _flipped(data, [random.randrange(min(len(data), HEADER_BYTES)) for _ in range(4)], random)


def many_bits(data: bytes, random: Random) -> bytes:
    """Flip a bit in one byte of a hundred."""
    return _flipped(data, [random.randrange(len(data)) for _ in range(len(data) // 100 + 1)], random)


def removed(data: bytes, random: Random) -> bytes:
    """Remove bytes, so that the rest comes too early."""
    at = random.randrange(len(data))
    return data[:at] + data[at + random.randrange(1, 300) :]


def inserted(data: bytes, random: Random) -> bytes:
    """Insert bytes, so that the rest comes too late."""
    at = random.randrange(len(data))
    return data[:at] + random.randbytes(random.randrange(1, 300)) + data[at:]


def zeroed(data: bytes, random: Random) -> bytes:
    """Overwrite a sector with zeros."""
    return _overwritten(data, bytes(512), random)


def overwritten(data: bytes, random: Random) -> bytes:
    """Overwrite a sector with random bytes."""
    return _overwritten(data, random.randbytes(512), random)


HARMS: dict[str, Callable[[bytes, Random], bytes]] = {
    "header-only": header_only,
    "cut-short": cut_short,
    "beheaded": beheaded,
    "few-bits": few_bits,
    "many-bits": many_bits,
    "removed": removed,
    "inserted": inserted,
    "zeroed": zeroed,
    "overwritten": overwritten,
}


def _flipped(data: bytes, places: Sequence[int], random: Random) -> bytes:
    flipped = bytearray(data)
    for at in places:
        flipped[at] ^= 1 << random.randrange(8)
    return bytes(flipped)


def _overwritten(data: bytes, patch: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    return (data[:at] + patch + data[at + len(patch) :])[: len(data)]
