"""The fields of a request, whichever way a client encodes them.

SDKs send lists as `name[]` or numbered, `name[0]`, and objects as `name[key]`, one part for each value, some with the
brackets escaped; others repeat a plain name, join values with commas or send JSON. A value that stands for none
(`src.text.unset.none_if_unset`) counts as unset, and a field that nobody asks for is ignored.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from src.errors import InvalidRequest
from src.text.unset import none_if_unset

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})
MAX_CHARACTERS = 65_536
"""Of one field that is asked for, all its values together; all that may be meant is a sixth of it."""
SHOWN = 60
"""Characters of a wrong value that its error repeats."""
PLACE_IN_LIST = re.compile(r"\[\d*\]\Z")


class Fields:
    """Values by name, in the order in which they came.

    Args:
        pairs: the fields of a query or a form.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(field_name(name), []).append(value)
        self._values = {name: each for name, each in values.items() if any(map(none_if_unset, each))}

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
        """Return the first value of a field, without white space around it, or None.

        Raises:
            InvalidRequest: the field is longer than any that is meant.
        """
        return next((value.strip() for value in self._bounded(name) if none_if_unset(value)), None)

    def hint(self, name: str) -> str | None:
        """Return as `text` does, but the beginning of what is too long."""
        return next(
            (value[:MAX_CHARACTERS].strip() for value in self._values.get(name, ()) if none_if_unset(value)), None
        )

    def items(self, name: str) -> list[str]:
        """Return the values of a list field, be they repeated, joined by commas or a JSON list; none of them blank.

        A word that stands for no value may be an item: somebody may listen for "none".

        Raises:
            InvalidRequest: the field is longer than any that is meant.
        """
        items: list[str] = []
        for value in self._bounded(name):
            listed = _json_strings(value)
            items += value.split(",") if listed is None else listed
        return [item.strip() for item in items if item.strip()]

    def _bounded(self, name: str) -> list[str]:
        values = self._values.get(name, [])
        if sum(map(len, values)) > MAX_CHARACTERS:
            raise InvalidRequest(f"`{name}` has more than {MAX_CHARACTERS} characters.", param=name)
        return values

    def choices(self, name: str, allowed: Iterable[str]) -> frozenset[str]:
        """Return the values of a list field, each of which must be one of `allowed`.

        Raises:
            InvalidRequest: one is not.
        """
        return frozenset(_checked(name, item, allowed) for item in self.items(name) if none_if_unset(item))

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
        value = (self.text(name) or "false").lower()
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

    def mapping(self, name: str, plain: str) -> dict[str, Any]:
        """Return what is set of an object field, sent as JSON text or in parts `name[key]`; other text is `plain`'s."""
        text = self.text(name)
        if text is None:
            prefix = f"{name}["
            keys = [key for key in self._values if key.startswith(prefix)]
            return {key[len(prefix) :].rstrip("]"): self.text(key) for key in keys}
        parsed = _json(text)
        if not isinstance(parsed, dict):
            return {plain: text}
        return {key: value for key, value in parsed.items() if none_if_unset(str(value))}


def field_name(name: str) -> str:
    """Return the name of a field without its place in a list, as in `name[]`, `name[0]`, `name%5B%5D`."""
    return name if name.isidentifier() else PLACE_IN_LIST.sub("", unquote(name).strip())


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
