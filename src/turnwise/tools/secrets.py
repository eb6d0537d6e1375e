"""Secrets of tools, by reference: `{ secret = "env:NAME" }` stands in a world where the value of a variable is meant.

A value is looked up when a server is started, and given to its process alone. Where a server shows it, it is masked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from turnwise.errors import UsageError

MEMBER: Final = "secret"
"""Only key of the table that stands for a secret."""

PREFIX: Final = "env:"
"""Beginning of a reference: the name of an environment variable follows."""

MASKED_CHARS_MIN: Final = 4
"""Characters of a secret that is masked; a shorter one would mask what is none."""


def reference_of(value: object) -> str | None:
    """Return the variable that a value refers to; None if it is no reference to a secret."""
    if not isinstance(value, Mapping) or value.keys() != {MEMBER}:
        return None
    reference = value[MEMBER]
    if not isinstance(reference, str) or not reference.startswith(PREFIX) or not reference.removeprefix(PREFIX):
        return None
    return reference.removeprefix(PREFIX)


class Secrets:
    """Secrets of one server, as they are found."""

    def __init__(self, where: str, environment: Mapping[str, str] | None = None) -> None:
        """`where` names the server in errors; None: the environment of this process."""
        self._where = where
        self._environment = os.environ if environment is None else environment
        self._found: dict[str, str] = {}

    def resolved(self, value: Any) -> Any:
        """Return a JSON value with the secrets that it refers to. Raises `UsageError` for one that is not there."""
        name = reference_of(value)
        if name is not None:
            return self._value(name)
        if isinstance(value, Mapping):
            return {key: self.resolved(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.resolved(item) for item in value]
        return value

    def _value(self, name: str) -> str:
        value = self._environment.get(name)
        if not value:
            raise UsageError(
                f"the secret {PREFIX}{name} is not there",
                where=self._where,
                hint=f"Set the environment variable {name} for the process that plays the run.",
            )
        self._found[name] = value
        return value

    def masked(self, text: str) -> str:
        """Return a text in which no secret stands."""
        for name, value in self._found.items():
            if len(value) >= MASKED_CHARS_MIN and value in text:
                text = text.replace(value, f"[secret {PREFIX}{name}]")
        return text

    def masked_value(self, value: Any) -> Any:
        """Return a JSON value in whose texts, names of members included, no secret stands."""
        if not self._found:
            return value
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, dict):
            return {self.masked(key): self.masked_value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.masked_value(item) for item in value]
        return value
