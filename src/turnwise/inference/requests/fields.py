"""The members of a request, each read once with its type and bounds. A Refusal names the member that is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from turnwise.core.canonical import canonical
from turnwise.inference.requests.refusal import Refusal


class Fields:
    """A request's members. A member that is null counts as absent, unless it is read as `given`."""

    def __init__(self, body: str) -> None:
        """Raises Refusal if the text is not a JSON object."""
        try:
            request = json.loads(body, parse_constant=_constant)
            body.encode()
        except (ValueError, RecursionError) as error:
            raise Refusal("refused", "the request is not JSON text") from error
        if not isinstance(request, dict):
            refuse("the request must be a JSON object")
        self._values: dict[str, Any] = request

    def check_known(self, known: frozenset[str], expected: str) -> None:
        """Check that there is no other member; `expected` names those that there may be. Raises Refusal."""
        unknown = min(self._values.keys() - known, default=None)
        if unknown is not None:
            refuse(f"unknown key {shown(unknown)}: {expected}")

    def given(self, name: str) -> bool:
        return name in self._values

    def value(self, name: str) -> Any:
        """Read a member as it stands; None if it is absent."""
        return self._values.get(name)

    def integer(self, name: str, low: int, high: int) -> int | None:
        value = self._values.get(name)
        return None if value is None else whole(name, value, low, high)

    def number(self, name: str, low: float, high: float, expected: str, *, above: bool = False) -> float | None:
        """Read a finite number from `low` (`above`: greater than it) to `high`, as a float."""
        value = self._values.get(name)
        return None if value is None else real(name, value, low, high, expected, above=above)

    def text(self, name: str, chars_max: int) -> str | None:
        """Read a text of 1 to `chars_max` characters."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            refuse(f"{name} must be text, not {kind(value)}")
        if not value:
            refuse(f"{name} must not be empty")
        check_chars(name, len(value), chars_max)
        check_unicode(name, value)
        return value

    def items(self, name: str, what: str, count_max: int) -> list[Any]:
        """Read a list of at most `count_max` entries; empty if it is absent."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            refuse(f"{name} must be a list of {what}, not {kind(value)}")
        check_count(name, len(value), count_max)
        return value

    def table(self, name: str, chars_max: int) -> Mapping[str, Any] | None:
        """Read an object of at most `chars_max` characters as canonical JSON."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            refuse(f"{name} must be an object, not {kind(value)}")
        try:
            text = canonical(value)
        except (ValueError, RecursionError):
            refuse(f"{name} holds a number that is not finite, or is nested too deeply")
        check_chars(name, len(text), chars_max)
        check_unicode(name, text)
        return value


def whole(name: str, value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        refuse(f"{name} must be a whole number from {low} to {high}, not {shown(value)}")
    return value


def real(name: str, value: object, low: float, high: float, expected: str, *, above: bool = False) -> float:
    if type(value) not in (int, float):
        refuse(f"{name} must be {expected}, not {kind(value)}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not (low <= number <= high and not (above and number == low)):
        refuse(f"{name} must be {expected}, not {shown(value)}")
    return number


def check_count(name: str, count: int, count_max: int) -> None:
    if count > count_max:
        refuse(f"{name} has {count} entries, at most {count_max} are allowed")


def check_chars(name: str, count: int, chars_max: int) -> None:
    if count > chars_max:
        refuse(f"{name} has {count} characters, at most {chars_max} are allowed")


def check_unicode(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(f"{name} holds a surrogate that stands alone, which is not Unicode text")


def refuse(message: str) -> NoReturn:
    raise Refusal("refused", message)


def kind(value: object) -> str:
    """Return the type of a JSON value, for people."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "null")


def shown(value: object) -> str:
    """Return a value as a message shows it: cut to 60 characters."""
    text = canonical(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _constant(name: str) -> NoReturn:
    raise ValueError(name)
