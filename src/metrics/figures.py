"""Numbers and times as people read them."""

from datetime import UTC, datetime

MISSING = "-"
_UNITS = ((86400, "day"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float | None, decimals: int = 1) -> str:
    """Return a number with `decimals`; a dash for None."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def seconds(value: float | None) -> str:
    """Return seconds with up to three decimals, fewer if the text would exceed five characters."""
    decimals = 3
    while value is not None and decimals and round(value, decimals) >= 10 ** (4 - decimals):
        decimals -= 1
    return number(value, decimals)


def shortened(text: str, most: int = 40) -> str:
    """Return the beginning of a text, with an ellipsis if it has more than `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def share(part: int, whole: int) -> str:
    """Return a share in percent, rounded down, so that 100% means all; a dash if there is nothing to share."""
    if not whole:
        return MISSING
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def length(value_s: float) -> str:
    """Return a length of time in words, such as `15 min`, `1.5 h` or `2 days`, to one decimal."""
    size, unit = next(((size, unit) for size, unit in _UNITS if value_s >= size), _UNITS[-1])
    text = f"{value_s / size:.1f}".removesuffix(".0")
    return f"{text} {unit}{'s' * (unit == 'day' and text != '1')}"


def moment(ts: float) -> str:
    """Return a time such as `Thu 26 Nov 2026, 14:05:10 UTC`, without the seconds if they are 0."""
    at = datetime.fromtimestamp(round(ts), UTC)
    return f"{at:%a %-d %b %Y}, {clock(ts)} UTC"


def period(start_s: float, end_s: float) -> str:
    """Return a time span such as `18 Nov, 05:13:12 to 05:58:20 UTC`."""
    same_day = day(start_s) == day(end_s)
    return f"{day(start_s)}, {clock(start_s)} to {'' if same_day else f'{day(end_s)}, '}{clock(end_s)} UTC"


def clock(ts: float) -> str:
    """Return the time of day in UTC, with the seconds if they are not 0."""
    at = datetime.fromtimestamp(round(ts), UTC)
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"


def day(ts: float) -> str:
    """Return a day such as `26 Nov`."""
    return f"{datetime.fromtimestamp(round(ts), UTC):%-d %b}"
