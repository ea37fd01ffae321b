"""Eviction."""

from collections.abc import Iterable
from typing import Any, Protocol

CLOSING, SILENT, COMING = 0, 1, 2
"""In which order connections give way to new ones: those that are closed, those without a request, those whose request
has not come, or whose answer is not taken."""


class Evictable(Protocol):
    is_cut: bool
    waiting_since: float

    @property
    def standing(self) -> int | None: ...

    def cut(self) -> None: ...


def make_room(connections: Iterable[Any], most: int, newest: Evictable) -> None:
    """Close connections that the server waits for, those first that have kept it waiting longest, down to `most`.

    Some more are closed, more of those without a request, so that there is room for the next ones too: to look through
    thousands of connections takes milliseconds. Where no other connection can be closed, the newest is.
    """
    living: list[Evictable] = [each for each in connections if not each.is_cut]
    waiting = [(each.standing, each.waiting_since, each) for each in living if each.standing is not None]
    waiting = sorted((each for each in waiting if each[2] is not newest), key=lambda each: each[:2])
    too_many = len(living) - most
    if too_many <= 0:
        return
    if not waiting:
        newest.cut()
    for place, (standing, _, each) in enumerate(waiting[: too_many + most // 10]):
        if place < too_many + most // 100 or standing != COMING:
            each.cut()
