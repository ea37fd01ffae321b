"""Find the links of a chained Ogg file: files joined end to end, each with its own streams (RFC 3533, section 4)."""

from collections.abc import Iterator

PAGE_START = b"OggS\0"
"""The first bytes of a page: the capture pattern and the version."""
FLAGS_AT = 5
"""The offset of a page's flags."""
BEGINS_STREAM = 2
"""The flag of a stream's first page."""
SEGMENTS_AT = 26
"""The offset of the number of segments. Their lengths follow, a byte each, and then their content."""


def ogg_links(data: bytes) -> Iterator[bytes]:
    """Yield the links of an Ogg file, in order; all of `data` if there is only one.

    A link begins with the first pages of all its streams, before any other page.
    """
    start, is_beginning = 0, True
    for at in _pages(data):
        begins_stream = bool(data[at + FLAGS_AT] & BEGINS_STREAM)
        if begins_stream and not is_beginning:
            yield data[start:at]
            start = at
        is_beginning = begins_stream
    yield data[start:]


def _pages(data: bytes) -> Iterator[int]:
    """Yield the offset of each page. After damage, it goes on at the next bytes that look like a page."""
    at = data.find(PAGE_START)
    while 0 <= at < len(data) - SEGMENTS_AT:
        yield at
        content_at = at + SEGMENTS_AT + 1 + data[at + SEGMENTS_AT]
        end = content_at + sum(data[at + SEGMENTS_AT + 1 : content_at])
        at = end if data.startswith(PAGE_START, end) else data.find(PAGE_START, at + 1)
