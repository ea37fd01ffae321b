"""The fields of a request, whichever way a client encodes them.

SDKs send lists as `name[]` and objects as `name[key]`, one part for each value; others repeat a plain name, join values
with commas or send JSON. An empty value counts as unset, and a field that nobody asks for is ignored.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from src.documents import MOST_ITEMS
from src.errors import InvalidRequest

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off", "null", "none"})
SHOWN = 60
"""Characters of a wrong value that its error repeats."""


class Fields:
    """Values by name, in the order in which they came.

    Args:
        pairs: the fields of a query or a form.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if value != "":
                self._values.setdefault(name.removesuffix("[]"), []).append(value)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Fields":
        """Take the fields of a JSON object; lists count as repeated fields, objects as JSON text."""
        pairs = []
        for name, value in body.items():
            for item in value if isinstance(value, list) else [value]:
                if item is not None:
                    pairs.append((name, item if isinstance(item, str) else json.dumps(item)))
        return cls(pairs)

    def __or__(self, other: "Fields") -> "Fields":
        """Return the fields of both; where both have one, `other` wins."""
        joined = Fields([])
        joined._values = self._values | other._values
        return joined

    def text(self, name: str) -> str | None:
        """Return the first value of a field, or None."""
        values = self._values.get(name)
        return values[0] if values else None

    def items(self, name: str) -> list[str]:
        """Return the values of a list field, be they repeated, joined by commas or a JSON list; none of them blank.

        Raises:
            InvalidRequest: there are more than any list that is meant.
        """
        items: list[str] = []
        values = self._values.get(name, [])
        if sum(value.count(",") for value in values) > MOST_ITEMS:
            raise InvalidRequest(f"`{name}` has more than {MOST_ITEMS} items.", param=name)
        for value in values:
            listed = _json_strings(value)
            items += value.split(",") if listed is None else listed
        return [item.strip() for item in items if item.strip()]

    def choices(self, name: str, allowed: Iterable[str]) -> frozenset[str]:
        """Return the values of a list field, each of which must be one of `allowed`.

        Raises:
            InvalidRequest: one is not.
        """
        return frozenset(_checked(name, item, allowed) for item in self.items(name))

    def choice(self, name: str, allowed: Iterable[str], default: str) -> str:
        """Return the value of a field that must be one of `allowed`.

        Raises:
            InvalidRequest: it is not.
        """
        value = self.text(name)
        return default if value is None else _checked(name, value, allowed)

    def flag(self, name: str) -> bool:
        """Return a yes-or-no field, no where it is unset.

        Raises:
            InvalidRequest: it is neither.
        """
        value = (self.text(name) or "false").strip().lower()
        if value in TRUE or value in FALSE:
            return value in TRUE
        raise InvalidRequest(f"`{name}` must be true or false, not {value[:SHOWN]!r}.", param=name)

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return a number of at least `low` and at most `high`, or None.

        Raises:
            InvalidRequest: it is no such number.
        """
        value = self.text(name)
        if value is None:
            return None
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if low <= number <= high:
            return number
        raise InvalidRequest(f"`{name}` must be a number of {low:g} to {high:g}, not {value[:SHOWN]!r}.", param=name)

    def whole_number(self, name: str) -> int | None:
        """Return a whole number that is not negative, or None.

        Raises:
            InvalidRequest: it is no such number.
        """
        value = self.text(name)
        if value is None or (value.isascii() and value.isdecimal() and len(value) < 10):
            return None if value is None else int(value)
        raise InvalidRequest(f"`{name}` must be a whole number, not {value[:SHOWN]!r}.", param=name)

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object field, sent as JSON text or as `name[key]` parts; empty where it is unset or plain text."""
        parsed = _json(self.text(name) or "")
        if isinstance(parsed, dict):
            return parsed
        prefix = f"{name}["
        return {
            key[len(prefix) :].rstrip("]"): values[0] for key, values in self._values.items() if key.startswith(prefix)
        }


def _checked(name: str, value: str, allowed: Iterable[str]) -> str:
    if value in (allowed := list(allowed)):
        return value
    raise InvalidRequest(f"`{name}` must be {_either(allowed)}, not {value[:SHOWN]!r}.", param=name)


def _either(allowed: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(allowed[:-1]), allowed[-1]]))


def _json_strings(value: str) -> list[str] | None:
    """Return the strings of a JSON list, or None where `value` is none."""
    parsed = _json(value) if value.lstrip().startswith("[") else None
    return [item for item in parsed if isinstance(item, str)] if isinstance(parsed, list) else None


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
