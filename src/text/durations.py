"""Durations in words."""

WHOLE_FROM_S = 10
"""From this many seconds on, a fraction of a second is left out."""


def duration_in_words(seconds: float) -> str:
    """Return a duration as people say it: `5 seconds`, `1 minute and 30 seconds`, `60 minutes`, `2 hours`.

    An hour is `60 minutes`, as in OpenAI's messages. Of hours, only whole ones are named as such.
    """
    if seconds < WHOLE_FROM_S:
        return _counted(float(f"{seconds:.2g}"), "second")
    whole_s = round(seconds)
    if whole_s > 3600 and whole_s % 3600 == 0:
        return _counted(whole_s // 3600, "hour")
    parts = ((whole_s // 60, "minute"), (whole_s % 60, "second"))
    return " and ".join(_counted(number, unit) for number, unit in parts if number)


def _counted(number: float, unit: str) -> str:
    return f"{number:g} {unit}" if number == 1 else f"{number:g} {unit}s"
