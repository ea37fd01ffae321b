"""Multipart bodies of forms (RFC 7578, RFC 2046), and the parameters of their headers.

The parser searches the whole body for its boundary and reads only what is between two boundaries. So it accepts a
preamble, a missing end and lines that end in a bare LF, and it takes a bounded time on any body.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from src.errors import InvalidRequest

MAX_PARTS = 400
"""Parts of a form, and boundaries that begin no part."""
MAX_HEADERS_BYTES = 64 * 1024
"""Size of the headers of all parts together. Reading so many takes some milliseconds."""
SEARCH_BYTES = 4 * 1024 * 1024
"""Length of one search, which takes a few milliseconds. Other threads run between two."""

AFTER_BOUNDARY = re.compile(rb"--|[ \t]{0,64}(\r?\n|\Z)")
"""What follows a boundary: the two hyphens of the last one, or the end of the line."""
FOLD = re.compile(rb"\r?\n[ \t]+")
PARAMETER = re.compile(rb';\s*([^\s=;"]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^;]*))', re.DOTALL)
"""A parameter of a header; its value is a quoted string or a token."""
ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form."""

    name: bytes
    is_file: bool
    """Whether it has a file name, in any form. The name itself is ignored."""
    content_type: bytes
    """As declared, with its parameters; empty if it is not declared."""
    start: int
    end: int
    """`start` and `end` delimit its content in the body."""


def parse_form(body: bytes, boundary: bytes) -> list[Part]:
    """Return the parts of a multipart body that have a name. The end of the last one may be missing.

    Raises:
        InvalidRequest: the body has no boundary, or too many parts or headers.
    """
    parts = []
    left = MAX_HEADERS_BYTES
    for span in _spans(body, boundary):
        blank_line = 2 * span.line_end
        before = span.start - len(span.line_end)  # without headers, the boundary's line end is half of the blank line
        head_end = body.find(blank_line, before, min(span.end + len(span.line_end), before + left))
        if head_end >= 0:
            left -= head_end - before
            start = min(head_end + len(blank_line), span.end)
            parts += [part] if (part := _part(body[span.start : head_end], start, span.end)) else []
        elif span.end - before >= left:
            raise _unreadable("the headers of its parts are too long.")
        # Otherwise the body ends within the headers.
    return parts


def parse_parameters(header: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the value of a header such as Content-Type, in lower case, and its parameters by name.

    Names of parameters are in lower case and their values unquoted. Of parameters with one name, the last one counts.
    """
    value, _, _ = header.partition(b";")
    parameters = {
        name.lower(): ESCAPE.sub(rb"\1", quoted) or token.strip() for name, quoted, token in PARAMETER.findall(header)
    }
    return value.strip().lower(), parameters


class _Span(NamedTuple):
    """The position of a part with its headers, and how its lines end."""

    start: int
    end: int
    line_end: bytes


def _spans(body: bytes, boundary: bytes) -> Iterator[_Span]:
    """Yield what is between two boundaries, and what follows the last one if the end is missing."""
    start, line_end = None, b""
    for at, after in _boundaries(body, boundary):
        if start is not None:
            yield _Span(start, at - (2 if body[at - 2 : at] == line_end else 1), line_end)
        if after.group() == b"--":
            return
        start, line_end = after.end(), after[1]
    if start is None:
        raise _unreadable("no part of it begins with the boundary that its content type names.")
    yield _Span(start, len(body), line_end)


def _boundaries(body: bytes, boundary: bytes) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Yield where each boundary begins, with its two hyphens, and what follows it."""
    mark = b"--" + boundary
    at = 0 if body.startswith(mark) else _line_with(mark, body, 0)
    for _ in range(MAX_PARTS):
        if at is None:
            return
        after = AFTER_BOUNDARY.match(body, at + len(mark))
        if after:
            yield at, after
        at = _line_with(mark, body, at + len(mark))
    raise _unreadable(f"it has more than {MAX_PARTS} parts.")


def _line_with(mark: bytes, body: bytes, start: int) -> int | None:
    """Return the start of the next line that begins with `mark`, or None. Searches from `start` for its line break."""
    for at in range(start, len(body), SEARCH_BYTES):
        found = body.find(b"\n" + mark, at, at + SEARCH_BYTES + len(mark))
        if found >= 0:
            return found + 1
    return None


def _part(head: bytes, start: int, end: int) -> Part | None:
    """Return the part with the headers `head` and its content from `start` to `end`; None if it has no name."""
    lines = (line.partition(b":") for line in FOLD.sub(b" ", head).splitlines())
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    _, parameters = parse_parameters(headers.get(b"content-disposition", b""))
    if b"name" not in parameters:
        return None
    is_file = any(name.startswith(b"filename") for name in parameters)
    return Part(parameters[b"name"], is_file, headers.get(b"content-type", b""), start, end)


def _unreadable(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The multipart body cannot be read: {reason}")
