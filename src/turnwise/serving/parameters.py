"""The members of a request, each read once by name, so that what is left over has been asked for and not been done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from turnwise.inference.requests.fields import kind, shown
from turnwise.serving.api_error import ApiError, refuse, unsupported

NAME_CHARS_MAX: Final = 100


class Parameters:
    """Parameters of one JSON object. One that is null counts as absent; `where` is the path to the object."""

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        self._left = {name: value for name, value in values.items() if value is not None}
        self._where = where

    @classmethod
    def read(cls, body: bytes) -> Parameters:
        """Read a request's body. Raises ApiError if it is not a JSON object."""
        try:
            values = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ApiError(400, f"the body is not JSON: {error}") from error
        if not isinstance(values, dict):
            refuse(f"the body must be a JSON object, not {kind(values)}")
        return cls(values)

    def path(self, name: str) -> str:
        """Return the path to a member, as errors name it."""
        return f"{self._where}.{name}" if self._where else name

    def given(self, name: str) -> bool:
        """Return True if the member is there and was not read."""
        return name in self._left

    def peek(self, name: str) -> Any:
        """Return a member that is read later, or None if it is absent."""
        return self._left.get(name)

    def take(self, name: str) -> Any:
        """Read a member of any type; None if it is absent."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            refuse(f"{self.path(name)} must be text, not {kind(value)}", self.path(name))
        return value

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if not value:
            refuse(f"{self.path(name)} is required", self.path(name), "missing_required_parameter")
        return value

    def boolean(self, name: str, default: bool = False) -> bool:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            refuse(f"{self.path(name)} must be true or false, not {kind(value)}", self.path(name))
        return value

    def integer(self, name: str, low: int, high: int) -> int | None:
        value = self.take(name)
        if value is None:
            return None
        if type(value) is not int or not low <= value <= high:
            expected = f"a whole number from {low} to {high}"
            refuse(f"{self.path(name)} must be {expected}, not {shown(value)}", self.path(name), "invalid_value")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.take(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not low <= value <= high:
            expected = f"a number from {low:g} to {high:g}"
            refuse(f"{self.path(name)} must be {expected}, not {shown(value)}", self.path(name), "invalid_value")
        return float(value)

    def items(self, name: str, count_max: int) -> list[Any] | None:
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, list):
            refuse(f"{self.path(name)} must be a list, not {kind(value)}", self.path(name))
        if len(value) > count_max:
            refuse(f"{self.path(name)} has {len(value)} entries, at most {count_max} are allowed", self.path(name))
        return value

    def table(self, name: str) -> dict[str, Any] | None:
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            refuse(f"{self.path(name)} must be an object, not {kind(value)}", self.path(name))
        return value

    def members(self, name: str) -> Parameters | None:
        """Read a member that is an object, to be read in turn; `done` is called on it by who reads it."""
        value = self.table(name)
        return None if value is None else Parameters(value, self.path(name))

    def only(self, name: str, allowed: Collection[Any], why: str) -> None:
        """Read a member that may be there if it asks for nothing: one of `allowed`. Raises ApiError that says `why`."""
        value = self.take(name)
        if value is not None and not any(type(value) is type(one) and value == one for one in allowed):
            unsupported(self.path(name), why)

    def ignored(self, *names: str) -> None:
        """Read members that ask for nothing, whatever they say."""
        for name in names:
            self._left.pop(name, None)

    def done(self) -> None:
        """Check that everything has been read. Raises ApiError that names what has not."""
        left = min(self._left, default=None)
        if left is not None:
            name = self.path(left if len(left) <= NAME_CHARS_MAX else left[:NAME_CHARS_MAX] + "…")
            refuse(f"unknown parameter: {name} (nothing is ignored here)", name, "unknown_parameter")
