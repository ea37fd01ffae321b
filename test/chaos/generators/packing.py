"""Build the parts of media files: chunks, atoms, elements, pages and tags with any content."""


def chunk(name: bytes, content: bytes, declared_bytes: int | None = None) -> bytes:
    """Return a RIFF chunk; `declared_bytes` is a false size."""
    size = len(content) if declared_bytes is None else declared_bytes
    return name + size.to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


def wave(*chunks: bytes, declared_bytes: int | None = None) -> bytes:
    """Return a WAV file of chunks."""
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks), declared_bytes)


def fmt(
    tag: int = 1, channels: int = 1, rate: int = 16_000, align: int = 2, bits: int = 16, extra: bytes = b""
) -> bytes:
    """Return the `fmt ` chunk of a WAV file."""
    fields = ((tag, 2), (channels, 2), (rate, 4), (rate * align % 2**32, 4), (align, 2), (bits, 2))
    return chunk(b"fmt ", b"".join(value.to_bytes(size, "little") for value, size in fields) + extra)


def atom(name: bytes, *contents: bytes) -> bytes:
    """Return an atom of QuickTime or MP4."""
    content = b"".join(contents)
    return (8 + len(content)).to_bytes(4, "big") + name + content


def element(name: int, content: bytes, declared_bytes: int | None = None) -> bytes:
    """Return a Matroska element with its size in eight bytes; `declared_bytes` is a false size."""
    size = len(content) if declared_bytes is None else declared_bytes
    head = name.to_bytes((name.bit_length() + 7) // 8, "big")
    return head + (1 << 56 | size).to_bytes(8, "big") + content


def ogg_page(packets: list[bytes], number: int, granule: int, *, first: bool = False, serial: int = 1) -> bytes:
    """Return an Ogg page of whole packets of less than 255 bytes each."""
    head = b"OggS\0" + bytes([2 if first else 0]) + granule.to_bytes(8, "little")
    numbers = serial.to_bytes(4, "little") + number.to_bytes(4, "little") + bytes(4)
    return _with_checksum(head + numbers + bytes([len(packets), *map(len, packets)]) + b"".join(packets))


def with_serial(ogg: bytes, serial: int) -> bytes:
    """Return an Ogg file with another serial number for its stream."""
    pages = []
    at = 0
    while at < len(ogg):
        segments = ogg[at + 26]
        end = at + 27 + segments + sum(ogg[at + 27 : at + 27 + segments])
        pages.append(_with_checksum(ogg[at : at + 14] + serial.to_bytes(4, "little") + ogg[at + 18 : end]))
        at = end
    return b"".join(pages)


def id3(content: bytes, declared_bytes: int | None = None) -> bytes:
    """Return an ID3 tag; its size has seven bits per byte."""
    size = len(content) if declared_bytes is None else declared_bytes
    return b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + content


def patched(data: bytes, marker: bytes, offset: int, patch: bytes) -> bytes:
    """Overwrite the bytes at `offset` after the first `marker`."""
    at = data.index(marker) + len(marker) + offset
    return data[:at] + patch + data[at + len(patch) :]


def _with_checksum(page: bytes) -> bytes:
    """Return an Ogg page with its checksum (RFC 3533, 6)."""
    crc = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return page[:22] + crc.to_bytes(4, "little") + page[26:]
