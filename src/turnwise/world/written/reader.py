"""Reading one table: every key is asked for with its type and bounds, and what nobody asked for is unknown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from turnwise.world.limits import NAMES_MAX
from turnwise.world.problems import KeyPath, Problems, dotted, nearest, quoted, said

_ABSENT: Final = object()
_Choice = TypeVar("_Choice", bound=str)


class Reader:
    """Read a table; a value that is wrong is reported, and its default taken, so that reading can go on."""

    __slots__ = ("_asked", "_usable", "_values", "path", "problems")

    def __init__(self, value: object, path: KeyPath, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._asked: list[str] = []
        self._usable = isinstance(value, Mapping)
        self._values: Mapping[Any, Any] = value if isinstance(value, Mapping) else {}
        if not self._usable:
            self._wrong(path, "a table", value, f"Write it as a table: [{dotted(path)}] and one key = value a line.")

    def present(self, key: str) -> bool:
        return key in self._values

    def value(self, key: str) -> Any:
        """Return the value as it stands, of any type; None if it is absent."""
        self._asked.append(key)
        return self._values.get(key)

    def text(self, key: str, default: str | None = None, *, example: str) -> str:
        """A text. Without a default the key is required; if it is missing or wrong, the result is empty."""
        value = self._take(key)
        if value is _ABSENT:
            if default is None:
                self._missing(key, example)
            return default or ""
        if not isinstance(value, str):
            self._wrong((*self.path, key), "a text", value, f"Write a text in quotes: {key} = {example}.")
            return default or ""
        return self._clean((*self.path, key), value)

    def choice(self, key: str, default: _Choice, choices: tuple[_Choice, ...]) -> _Choice:
        found = self.choice_or_none(key, choices)
        return default if found is None else found

    def choice_or_none(self, key: str, choices: tuple[_Choice, ...]) -> _Choice | None:
        """Return one of the choices; None if it is absent or wrong."""
        value = self._take(key)
        if value is _ABSENT:
            return None
        for choice in choices:
            if isinstance(value, str) and value == choice:
                return choice
        wanted = " or ".join(quoted(choice) for choice in choices)
        self.problems.add((*self.path, key), f"is {said(value)}", f"Write {key} = {wanted}.")
        return None

    def boolean(self, key: str, default: bool) -> bool:
        value = self._take(key)
        if value is _ABSENT:
            return default
        if not isinstance(value, bool):
            self._wrong((*self.path, key), "true or false", value, f"Write {key} = true or {key} = false.")
            return default
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        value = self.integer_or_none(key, low, high)
        return default if value is None else value

    def integer_or_none(self, key: str, low: int, high: int) -> int | None:
        """Return a whole number within bounds, both included; None if it is absent or wrong."""
        value = self._take(key)
        if value is _ABSENT:
            return None
        hint = f"Write a whole number from {low} to {high}."
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong((*self.path, key), "a whole number", value, hint)
            return None
        if not low <= value <= high:
            self.problems.add((*self.path, key), f"is {said(value)}, out of range", hint)
            return None
        return int(value)

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self._take(key)
        if value is _ABSENT:
            return default
        hint = f"Write a number from {low} to {high}."
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong((*self.path, key), "a number", value, hint)
            return default
        if not low <= value <= high:  # false for NaN too
            self.problems.add((*self.path, key), f"is {said(value)}, out of range", hint)
            return default
        return value

    def instant(self, key: str, default: datetime) -> datetime:
        """Return a date and time with its offset from UTC."""
        value = self._take(key)
        if value is _ABSENT:
            return default
        if not isinstance(value, datetime) or value.utcoffset() is None:
            what = "a date and time without an offset" if isinstance(value, datetime) else said(value)
            self.problems.add(
                (*self.path, key),
                f"must be a date and time with an offset from UTC, and is {what}",
                f"Write {key} = 2000-01-01T00:00:00Z, without quotes.",
            )
            return default
        return value

    def texts(self, key: str, *, example: str) -> tuple[str, ...]:
        """Return a list of texts. Entries that are none are reported and left out."""
        value = self._take(key)
        if value is _ABSENT:
            return ()
        path = (*self.path, key)
        if not isinstance(value, list | tuple):
            self._wrong(path, "a list of texts", value, f"Write a list, even of one: {key} = {example}.")
            return ()
        if len(value) > NAMES_MAX:
            self.problems.add(
                path, f"has {len(value)} entries", f"At most {NAMES_MAX} are allowed: use a group or a pattern."
            )
            return ()
        found: list[str] = []
        for index, item in enumerate(value):
            if isinstance(item, str):
                found.append(self._clean((*path, index), item))
            else:
                self._wrong((*path, index), "a text", item, f"Write texts in quotes: {key} = {example}.")
        return tuple(found)

    def file(self, key: str) -> str | os.PathLike[str] | None:
        """Return a path: a text that is not empty, or a path object. None if it is absent or wrong."""
        value = self._take(key)
        if value is _ABSENT:
            return None
        path = (*self.path, key)
        if not isinstance(value, str | os.PathLike):
            self._wrong(path, "a path", value, f'Write a path in quotes, relative to the world\'s folder: {key} = "…".')
            return None
        text = os.fspath(value)
        if not isinstance(text, str) or not text.isprintable() or not text:
            self.problems.add(path, "is no path", f'Write a path relative to the world\'s folder: {key} = "…".')
            return None
        return value

    def missing(self, key: str, example: str) -> None:
        """Report that a key which must be there is not."""
        if self._usable:
            self._missing(key, example)

    def entries(self) -> Iterator[tuple[str, Any]]:
        """Yield the entries of a table whose keys are names that the user chose."""
        for key, value in self._values.items():
            if isinstance(key, str):
                self._asked.append(key)
                yield key, value

    def count(self) -> int:
        return len(self._values)

    def close(self) -> None:
        """Report every key that was not asked for, with the nearest that could have been meant."""
        known = dict.fromkeys(self._asked)
        for key in self._values:
            if key in known:
                continue
            name = key if isinstance(key, str) else repr(key)
            self.problems.add(
                (*self.path, name), f"unknown key {quoted(name)}", partial(_hint_for_unknown, name, known)
            )

    def _take(self, key: str) -> Any:
        self._asked.append(key)
        return self._values.get(key, _ABSENT)

    def _clean(self, path: KeyPath, text: str) -> str:
        """Text that cannot be encoded (TOML has none, Python may) is reported."""
        try:
            text.encode()
        except UnicodeEncodeError:
            self.problems.add(
                path, "holds a surrogate that stands alone", "Remove it: texts must be encodable as UTF-8."
            )
            return ""
        return text

    def _missing(self, key: str, example: str) -> None:
        if self._usable:
            near = nearest(key, [name for name in self._values if isinstance(name, str) and name not in self._asked])
            start = f"Did you mean {key} where it says {near}? " if near else ""
            self.problems.add((*self.path, key), "is missing", f"{start}Add {key} = {example}.")

    def _wrong(self, path: KeyPath, wanted: str, value: object, hint: str) -> None:
        self.problems.add(path, f"must be {wanted}, and is {said(value)}", hint)


def _hint_for_unknown(name: str, known: Mapping[str, None]) -> str:
    meant = nearest(name, known)
    start = f"Did you mean {meant}? " if meant else ""
    return f"{start}Known keys here: {', '.join(sorted(known))}."
