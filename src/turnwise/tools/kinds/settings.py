"""Settings of a kind of tool server: what a world says of it, read into a type and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

REFERENCE: Final = "secret"
"""Only key of a table that stands for a secret: its value comes when the server is started."""
PLACEHOLDER: Final = "a-secret"

_PLACE: Final = re.compile(r" - at `(?:key in )?\$\.?(?P<key>[^`]*)`$")


class SettingsError(ValueError):
    """Settings that are wrong: of which key, and what to do about it."""

    def __init__(self, key: str, message: str, hint: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message
        self.hint = hint


def read_settings(wanted: type[S], settings: Mapping[str, Any]) -> S:
    """Return `settings` as a `wanted`. Raises `SettingsError`."""
    fields = {field.encode_name for field in msgspec.structs.fields(wanted)}
    known = f"Known keys: {', '.join(sorted(fields))}, and those of every server."
    for key in sorted(settings.keys() - fields):
        raise SettingsError(key, "is unknown", known)
    try:
        return msgspec.convert(dict(settings), wanted)
    except msgspec.ValidationError as error:
        message = str(error)
        place = _PLACE.search(message)
        message = message[: place.start()] if place else message
        missing = re.fullmatch(r"Object missing required field `(\w+)`", message)
        if missing:
            raise SettingsError(missing[1], "is missing", known) from None
        raise SettingsError(place["key"] if place else "", message[:1].lower() + message[1:], known) from None


def problems(
    read: Callable[[Mapping[str, Any]], object], settings: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the settings of a world, in which secrets are still references: key, message, hint."""
    try:
        read(without_secrets(settings))
    except SettingsError as error:
        yield error.key, error.message, error.hint


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of a world with a text in the place of each secret."""
    return {key: _with_placeholders(value) for key, value in settings.items()}


def _with_placeholders(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.keys() == {REFERENCE} and isinstance(value[REFERENCE], str):
            return PLACEHOLDER
        return {key: _with_placeholders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_placeholders(item) for item in value]
    return value
