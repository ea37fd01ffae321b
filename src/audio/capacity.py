"""Room that many share, such as memory: who finds none waits for a turn, in the order of asking."""

import threading
from collections import deque


class Capacity:
    """Room of a size, in any unit. Safe from any thread."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._waiting: deque[Place] = deque()
        self._lock = threading.Lock()

    def place(self, size: int) -> "Place":
        """Return a place that is still to be had; one larger than the room takes all of it."""
        return Place(self, min(size, self.size))

    def _ask(self, place: "Place") -> None:
        with self._lock:
            if not place.decided.is_set():  # it may have been left before
                self._waiting.append(place)
                self._give()

    def _take_back(self, place: "Place") -> None:
        with self._lock:
            if place.held:
                place.held = False
                self._free += place.size
            elif place in self._waiting:
                self._waiting.remove(place)
            self._give()

    def _give(self) -> None:
        """Give places to those whose turn it is."""
        while self._waiting and self._waiting[0].size <= self._free:
            place = self._waiting.popleft()
            self._free -= place.size
            place.held = True
            place.decided.set()


class Place:
    """A share of a room: asked for once, then held until it is left."""

    def __init__(self, capacity: Capacity, size: int) -> None:
        self.size = size
        self.held = False
        self.decided = threading.Event()
        self._capacity = capacity

    def taken(self, timeout_s: float) -> bool:
        """Wait for the place, and return whether it is held now; not so after `timeout_s`, or when it was left."""
        self._capacity._ask(self)
        if not self.decided.wait(timeout_s):
            self.leave()
        return self.held

    def leave(self) -> None:
        """Give the place back, or wait for it no longer."""
        self._capacity._take_back(self)
        self.decided.set()
