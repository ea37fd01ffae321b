"""A clock that a test sets."""


class ManualClock:
    """A monotonic clock in seconds that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s
