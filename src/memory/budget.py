"""A byte budget shared by many holders: together they never reserve more than it has."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """A number of bytes that holders reserve parts of. Budgets and reservations may be used from any thread.

    A holder that is alone may reserve any amount: what the other limits allow can be done, if only by itself.

    Args:
        max_bytes: what all holders may reserve together.
        shares: number of holders that can be guaranteed a share. Shares are equal, and together half of `max_bytes`.
    """

    def __init__(self, max_bytes: int, shares: int = 0) -> None:
        self._shares = shares
        self._share_bytes = max_bytes // 2 // shares if shares else 0
        self._free_bytes = max_bytes - shares * self._share_bytes  # for what anybody reserves beyond a share
        self._lock = threading.Lock()
        self._reservations: set[Reservation] = set()
        self._overdrawn: Reservation | None = None
        self._times_shrunk = 0

    @property
    def reserved_bytes(self) -> int:
        """Bytes that all holders reserve together."""
        with self._lock:
            return sum(each.bytes for each in self._reservations)

    @property
    def times_shrunk(self) -> int:
        """How many times a reservation has become smaller since the start."""
        return self._times_shrunk

    def reserve(self, *, guaranteed: bool = False) -> "Reservation":
        """Return an empty reservation, to be resized and at the end released.

        With `guaranteed` it has a share of its own, if one is left.
        """
        with self._lock:
            has_share = guaranteed and sum(each.guaranteed_bytes > 0 for each in self._reservations) < self._shares
            reservation = Reservation(self, self._share_bytes if has_share else 0)
            self._reservations.add(reservation)
            return reservation

    @contextmanager
    def reserved(self, *, guaranteed: bool = False) -> Iterator["Reservation"]:
        """Return an empty reservation as `reserve` does, and release it at the end of the block."""
        reservation = self.reserve(guaranteed=guaranteed)
        try:
            yield reservation
        finally:
            reservation.release()

    def release(self, reservation: "Reservation") -> None:
        """Release a reservation: see `Reservation.release`."""
        with self._lock:
            if reservation in self._reservations:
                self._set_size(reservation, 0)
                self._reservations.remove(reservation)

    def resize(self, reservation: "Reservation", to_bytes: int, *, overdraw: bool = False) -> bool:
        """Resize a reservation: see `Reservation.resize` and `Reservation.overdraw`."""
        with self._lock:
            if reservation not in self._reservations:  # released, while a thread was still at work for its holder
                return True
            if max(to_bytes, reservation.bytes) <= reservation.guaranteed_bytes:  # in its own share
                self._times_shrunk += to_bytes < reservation.bytes
                reservation.bytes = to_bytes
                return True
            fits = self._growth(reservation, to_bytes) <= max(0, self._free_bytes)
            if not fits and overdraw and self._overdrawn in (None, reservation):
                self._overdrawn = reservation
            elif not fits and any(each.bytes for each in self._reservations if each is not reservation):
                return False
            self._set_size(reservation, to_bytes)
            return True

    def _growth(self, reservation: "Reservation", to_bytes: int) -> int:
        """Return how much more of what is for all a reservation takes if it is resized."""
        return reservation.beyond_guarantee(to_bytes) - reservation.beyond_guarantee(reservation.bytes)

    def _set_size(self, reservation: "Reservation", to_bytes: int) -> None:
        """Set the size of a reservation, with the lock held."""
        self._free_bytes -= self._growth(reservation, to_bytes)
        if self._free_bytes >= 0:
            self._overdrawn = None
        self._times_shrunk += to_bytes < reservation.bytes
        reservation.bytes = to_bytes


class Reservation:
    """One holder's part of a budget.

    Args:
        budget: what it is a part of.
        guaranteed_bytes: size of its share, which nobody else can reserve; 0 for none.
    """

    def __init__(self, budget: Budget, guaranteed_bytes: int) -> None:
        self._budget = budget
        self.guaranteed_bytes = guaranteed_bytes
        """Size of its share, which nobody else can reserve; 0 for none."""
        self.bytes = 0
        """Its size."""

    @property
    def exceeds_guarantee(self) -> bool:
        """Whether it is larger than its share."""
        return self.bytes > self.guaranteed_bytes

    def beyond_guarantee(self, size_bytes: int) -> int:
        """Return how much of a reservation of `size_bytes` comes from the part of the budget that is for all."""
        return max(0, size_bytes - self.guaranteed_bytes)

    def resize(self, to_bytes: int) -> bool:
        """Set the size and return True, or return False if the budget has no room. Shrinking always succeeds."""
        return self._budget.resize(self, to_bytes)

    def overdraw(self, to_bytes: int) -> bool:
        """Resize beyond the budget, and return whether that is allowed: to one holder, until the total fits again.

        So holders that each have a part of what they need, and wait for each other, finish one by one.
        """
        return self._budget.resize(self, to_bytes, overdraw=True)

    def release(self) -> None:
        """Give all bytes back, and the share. From then on, it reserves nothing."""
        self._budget.release(self)
