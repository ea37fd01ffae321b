"""Multipart bodies, as forms are sent in (RFC 7578, on RFC 2046), and the parameters of their headers.

A body is read as a whole, by one search for its boundary, and only what stands between two is looked at. So a preamble,
a missing end and lines that end in a bare LF do no harm, and the time is bounded whatever the body holds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from src.errors import InvalidRequest

MAX_PARTS = 400
"""Parts of a form, and places where one seems to begin."""
MAX_HEADERS_BYTES = 64 * 1024
"""Headers of all parts of a form together: to read them takes some milliseconds."""
FIND_BYTES = 4 * 1024 * 1024
"""How far one search goes, a few milliseconds; other threads come in between."""

BEHIND_BOUNDARY = re.compile(rb"--|[ \t]{0,64}(\r?\n|\Z)")
"""What stands behind a boundary: the two hyphens of the last one, or the end of the line."""
FOLD = re.compile(rb"\r?\n[ \t]+")
PARAMETER = re.compile(rb';\s*([^\s=;"]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^;]*))', re.DOTALL)
"""A parameter of a header, with its value as a quoted string or a token."""
ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form."""

    name: bytes
    is_file: bool
    """Whether it has a file name, in any form; the name itself never matters."""
    content_type: bytes
    """As declared, with its parameters; empty where it is not."""
    start: int
    end: int
    """Where in the body its content is."""


def parse_form(body: bytes, boundary: bytes) -> list[Part]:
    """Return the parts of a multipart body that have a name, in their order. The last one may have no end.

    Raises:
        InvalidRequest: nothing begins with the boundary, or there is too much of something.
    """
    parts = []
    left = MAX_HEADERS_BYTES
    for span in _spans(body, boundary):
        blank_line = 2 * span.line_end
        before = span.start - len(span.line_end)  # without headers, the blank line is that of the boundary
        head_end = body.find(blank_line, before, min(span.end + len(span.line_end), before + left))
        if head_end >= 0:
            left -= head_end - before
            start = min(head_end + len(blank_line), span.end)
            parts += [part] if (part := _part(body[span.start : head_end], start, span.end)) else []
        elif span.end - before >= left:
            raise _unreadable("the headers of its parts are too long.")
        # Otherwise the body breaks off within the headers.
    return parts


def parse_parameters(header: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the value of a header such as Content-Type, and its parameters, values unquoted; both names in lower case.

    Of parameters of the same name the last one counts.
    """
    value, _, _ = header.partition(b";")
    parameters = {
        name.lower(): ESCAPE.sub(rb"\1", quoted) or token.strip() for name, quoted, token in PARAMETER.findall(header)
    }
    return value.strip().lower(), parameters


class _Span(NamedTuple):
    """Where a part is, its headers included, and how lines end there."""

    start: int
    end: int
    line_end: bytes


def _spans(body: bytes, boundary: bytes) -> Iterator[_Span]:
    """Yield what is between two boundaries, and what is behind the last one where the end is missing."""
    start, line_end = None, b""
    for at, behind in _boundaries(body, boundary):
        if start is not None:
            yield _Span(start, at - (2 if body[at - 2 : at] == line_end else 1), line_end)
        if behind.group() == b"--":
            return
        start, line_end = behind.end(), behind[1]
    if start is None:
        raise _unreadable("no part of it begins with the boundary that its content type names.")
    yield _Span(start, len(body), line_end)


def _boundaries(body: bytes, boundary: bytes) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Yield where each boundary begins, its two hyphens included, and what is behind it."""
    mark = b"--" + boundary
    at = 0 if body.startswith(mark) else _line_with(mark, body, 0)
    for _ in range(MAX_PARTS):
        if at is None:
            return
        behind = BEHIND_BOUNDARY.match(body, at + len(mark))
        if behind:
            yield at, behind
        at = _line_with(mark, body, at + len(mark))
    raise _unreadable(f"it has more than {MAX_PARTS} parts.")


def _line_with(mark: bytes, body: bytes, start: int) -> int | None:
    """Return where the next line that begins with `mark` begins, after a line end at or behind `start`."""
    for at in range(start, len(body), FIND_BYTES):
        found = body.find(b"\n" + mark, at, at + FIND_BYTES + len(mark))
        if found >= 0:
            return found + 1
    return None


def _part(head: bytes, start: int, end: int) -> Part | None:
    """Return a part with these headers and its content from `start` to `end`, or None where they give it no name."""
    lines = (line.partition(b":") for line in FOLD.sub(b" ", head).splitlines())
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    _, parameters = parse_parameters(headers.get(b"content-disposition", b""))
    if b"name" not in parameters:
        return None
    is_file = any(name.startswith(b"filename") for name in parameters)
    return Part(parameters[b"name"], is_file, headers.get(b"content-type", b""), start, end)


def _unreadable(why: str) -> InvalidRequest:
    return InvalidRequest(f"The multipart body cannot be read: {why}")
