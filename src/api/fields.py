"""The fields of a request, in any encoding that clients use.

SDKs send a list as parts `name[]` or `name[0]` and an object as parts `name[key]`, some with escaped brackets. Other
clients repeat a plain name, join values with commas or send JSON. A value that stands for none
(`src.text.unset.none_if_unset`) counts as unset, and unknown fields are ignored.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from src.errors import InvalidRequest
from src.text.unset import none_if_unset
from src.wire.json_limits import MAX_VALUES, has_too_many_values

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})
MAX_FIELD_CHARACTERS = 65_536
"""Characters of all values of a field together; six times what the longest valid field has."""
MAX_SHOWN = 60
"""Characters of an invalid value that its error message quotes."""
LIST_INDEX = re.compile(r"\[\d*\]\Z")


class Fields:
    """The values of each field, in their order.

    Args:
        pairs: names and values of a query or a form.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(field_name(name), []).append(value)
        self._values = {name: each for name, each in values.items() if any(map(none_if_unset, each))}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Fields":
        """Return the fields of a JSON object. A list becomes a repeated field, an object JSON text."""
        pairs = []
        for name, value in body.items():
            for item in value if isinstance(value, list) else [value]:
                if item is not None:
                    pairs.append((name, item if isinstance(item, str) else json.dumps(item)))
        return cls(pairs)

    def __or__(self, other: "Fields") -> "Fields":
        """Return the fields of both. `other` has precedence."""
        joined = Fields([])
        joined._values = self._values | other._values
        return joined

    def text(self, name: str) -> str | None:
        """Return the first value of a field, stripped, or None if it is unset.

        Raises:
            InvalidRequest: the field is longer than any valid one.
        """
        return next((value.strip() for value in self._bounded(name) if none_if_unset(value)), None)

    def hint(self, name: str) -> str | None:
        """Return what `text` returns, but cut a value that is too long."""
        return next(
            (value[:MAX_FIELD_CHARACTERS].strip() for value in self._values.get(name, ()) if none_if_unset(value)), None
        )

    def texts(self, name: str, max_characters: int = MAX_FIELD_CHARACTERS) -> list[str]:
        """Return the items of a list field whose items may hold commas, stripped: repeated, or one JSON list.

        Raises:
            InvalidRequest: the field is longer than any valid one, or its JSON has more values.
        """
        values = self._bounded(name, max_characters)
        if has_too_many_values("".join(filter(_may_be_list, values))):
            raise InvalidRequest(f"`{name}` has more than {MAX_VALUES} values.", param=name)
        texts: list[str] = []
        for value in values:
            listed = _json_strings(value)
            texts += [value] if listed is None else listed
        return [text.strip() for text in texts]

    def items(self, name: str) -> list[str]:
        """Return the items of a list field that are not blank. They may be repeated, joined by commas or a JSON list.

        A word that stands for no value may be an item: "none" may be a keyword.

        Raises:
            InvalidRequest: the field is longer than any valid one.
        """
        items: list[str] = []
        for value in self._bounded(name):
            listed = _json_strings(value)
            items += value.split(",") if listed is None else listed
        return [item.strip() for item in items if item.strip()]

    def _bounded(self, name: str, max_characters: int = MAX_FIELD_CHARACTERS) -> list[str]:
        values = self._values.get(name, [])
        if sum(map(len, values)) > max_characters:
            raise InvalidRequest(f"`{name}` has more than {max_characters} characters.", param=name)
        return values

    def choices(self, name: str, allowed: Iterable[str]) -> frozenset[str]:
        """Return the items of a list field.

        Raises:
            InvalidRequest: an item is not one of `allowed`.
        """
        return frozenset(_checked(name, item, allowed) for item in self.items(name) if none_if_unset(item))

    def choice(self, name: str, allowed: Iterable[str], default: str) -> str:
        """Return the value of a field, or `default` if it is unset.

        Raises:
            InvalidRequest: the value is not one of `allowed`.
        """
        value = self.text(name)
        return default if value is None else _checked(name, value, allowed)

    def flag(self, name: str) -> bool:
        """Return the value of a boolean field; False if it is unset.

        Raises:
            InvalidRequest: the value is not a boolean.
        """
        value = (self.text(name) or "false").lower()
        if value in TRUE or value in FALSE:
            return value in TRUE
        raise InvalidRequest(f"`{name}` must be true or false, not {value[:MAX_SHOWN]!r}.", param=name)

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return the value of a number field, or None if it is unset.

        Raises:
            InvalidRequest: the value is not a number from `low` to `high`.
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
        message = f"`{name}` must be a number of {low:g} to {high:g}, not {value[:MAX_SHOWN]!r}."
        raise InvalidRequest(message, param=name)

    def whole_number(self, name: str) -> int | None:
        """Return the value of an integer field, or None if it is unset.

        Raises:
            InvalidRequest: the value is not an integer from 0 to 999,999,999.
        """
        value = self.text(name)
        if value is None or (value.isascii() and value.isdecimal() and len(value) < 10):
            return None if value is None else int(value)
        raise InvalidRequest(f"`{name}` must be a whole number, not {value[:MAX_SHOWN]!r}.", param=name)

    def mapping(self, name: str, plain: str) -> dict[str, Any]:
        """Return the set values of an object field, sent as JSON text or as parts `name[key]`.

        Text that is not a JSON object is the value of the key `plain`.
        """
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
    """Return the name of a field without its list index, as in `name[]`, `name[0]`, `name%5B%5D`."""
    return name if name.isidentifier() else LIST_INDEX.sub("", unquote(name).strip())


def _checked(name: str, value: str, allowed: Iterable[str]) -> str:
    if value in (allowed := list(allowed)):
        return value
    raise InvalidRequest(f"`{name}` must be {_alternatives(allowed)}, not {value[:MAX_SHOWN]!r}.", param=name)


def _alternatives(allowed: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(allowed[:-1]), allowed[-1]]))


def _may_be_list(value: str) -> bool:
    """Return whether a value may be a JSON list."""
    return value.lstrip().startswith("[")


def _json_strings(value: str) -> list[str] | None:
    """Return the strings of a JSON list; None if `value` is not a JSON list."""
    parsed = _json(value) if _may_be_list(value) else None
    return [item for item in parsed if isinstance(item, str)] if isinstance(parsed, list) else None


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
