"""Settings: what is wrong is said with its key, and secrets that are still references are no mistake."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from turnwise.tools.kinds.settings import SettingsError, problems, read_settings


class Settings(msgspec.Struct, frozen=True):
    name: str
    count: Annotated[int, msgspec.Meta(ge=1)] = 1
    headers: dict[str, dict[str, str]] = {}


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({}, "name", "is missing"),
        ({"name": 1}, "name", "expected `str`, got `int`"),
        ({"name": "a", "count": 0}, "count", "expected `int` >= 1"),
        ({"name": "a", "nmae": 1}, "nmae", "is unknown"),
        ({"name": "a", "headers": {"b": {"c": 1}}}, "headers[...][...]", "expected `str`, got `int`"),
    ],
)
def test_what_is_wrong(settings: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(Settings, settings)
    assert (caught.value.key, caught.value.message) == (key, message)
    assert list(problems(lambda found: read_settings(Settings, found), settings)) == [
        (key, message, "Known keys: count, headers, name, and those of every server.")
    ]


def test_references_to_secrets_are_no_mistake() -> None:
    settings = {"name": {"secret": "env:NAME"}, "headers": {"a": {"b": {"secret": "env:KEY"}}}}
    assert list(problems(lambda found: read_settings(Settings, found), settings)) == []
    with pytest.raises(SettingsError):
        read_settings(Settings, settings)
    assert list(problems(lambda found: read_settings(Settings, found), {"name": {"secret": "x", "y": 1}}))
