"""Options that change a world for one run: `--seed 7`, `--set agents.narrator.args.mood=sad`, `--model NAME=PATH`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from turnwise.demo import is_builtin
from turnwise.world.problems import KeyPath, Problems, dotted, listed, nearest, quoted, said
from turnwise.world.written.document import Document
from turnwise.world.written.toml import parse_toml
from turnwise.world.written.types import URL_KEYS

_SETTING_EXAMPLE: Final = "Write --set agents.narrator.count=3."
_INDEX: Final = re.compile(r"[0-9]{1,9}")
_CHOSEN: Final = ("agents", "models")
"""Tables whose keys are names that the user chose: an option may change an entry, and never makes one."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """Changes to a world file for one run."""

    settings: Sequence[str] = ()
    """Changes `KEY.PATH=VALUE`, the value as TOML or else as text."""
    seed: int | None = None
    """Seed of the run, if another."""
    schedule: str | None = None
    """Schedule of the run, if another."""
    rounds: int | None = None
    """`rounds_max` of the run, if another."""
    models: Mapping[str, str | os.PathLike[str]] = field(default_factory=dict)
    """Folders of models by name, relative to the current folder."""


def apply_overrides(document: Document, overrides: Overrides, problems: Problems) -> Document:
    """Return a changed copy of the document. Problems that come of an option, now or later, are blamed on it."""
    document = dict(document)
    for setting in overrides.settings:
        _set(document, setting, problems)
    values = {"seed": overrides.seed, "schedule": overrides.schedule, "rounds": overrides.rounds}
    for option, value in values.items():
        if value is not None:
            _put(document, ("world", "rounds_max" if option == "rounds" else option), value, f"--{option}", problems)
    for name, path in overrides.models.items():
        option = f"--model {name}={os.fspath(path)}"
        if not os.fspath(path):
            problems.add_option(option, "names no folder", "Write --model NAME=PATH.")
            continue
        place = os.fspath(path) if is_builtin(path) else Path(path).absolute()
        _put(document, ("models", name, "path"), place, option, problems)
        _without_url(document, name)
    return document


def _without_url(document: Document, name: str) -> None:
    """Take out of a model that a folder replaces what says where it was behind a URL. The table is a copy already."""
    model = document["models"].get(name) if isinstance(document.get("models"), dict) else None
    if isinstance(model, dict) and "url" in model:
        for key in URL_KEYS:
            model.pop(key, None)


def _set(document: Document, setting: str, problems: Problems) -> None:
    option = f"--set {_short(setting)}"
    key, equals, text = setting.partition("=")
    path = _key_path(key)
    if not equals or path is None:
        problems.add_option(option, "is not KEY.PATH=VALUE", _SETTING_EXAMPLE)
        return
    _put(document, path, _value(text), option, problems)


def setting_of(text: str) -> tuple[tuple[str, ...], Any] | None:
    """Return the keys and the value of a setting `KEY.PATH=VALUE`; None if the text is none."""
    key, equals, value = text.partition("=")
    path = _key_path(key)
    return None if not equals or path is None else (tuple(map(str, path)), _value(value))


def _key_path(key: str) -> KeyPath | None:
    """Return the keys of a dotted TOML key; those that are whole numbers in decimal may index lists."""
    if not key.strip() or any(character in key for character in "\n\r#="):
        return None
    try:
        table: Any = parse_toml(f"{key} = true")
    except (ValueError, RecursionError):  # both of its errors are a ValueError
        return None
    path: list[str] = []
    while isinstance(table, dict):
        name, table = next(iter(table.items()))
        path.append(name)
    return tuple(path)


def _value(text: str) -> object:
    """Return the text as a TOML value, or as itself."""
    try:
        document = parse_toml(f"value = {text}")
    except (ValueError, RecursionError):  # whatever is wrong with it is a ValueError
        return text
    return document["value"] if len(document) == 1 else text


def _put(document: Document, path: KeyPath, value: object, option: str, problems: Problems) -> None:
    """Set the value at the path, and makes tables on the way where there are none.

    What lies on the way is copied, so that the document that was given stays as it is.
    """
    place: Any = document
    taken: list[str | int] = []
    for name in path:
        if len(taken) == 1 and taken[0] in _CHOSEN and isinstance(place, dict) and name not in place:
            _unknown_entry(str(taken[0]), str(name), place, option, problems)
            return
        key: Any = _index(name, place, tuple(taken), option, problems) if isinstance(place, list) else name
        if key is None:
            return
        if not isinstance(place, dict | list):
            hint = "Set the key itself, or correct the path."
            problems.add_option(option, f"{dotted(tuple(taken))} is {said(place)}, which has no keys inside", hint)
            return
        taken.append(key)
        if len(taken) == len(path):
            place[key] = value
        else:
            if isinstance(place, dict) and key not in place:
                place[key] = {}
                problems.mark(tuple(taken), option)
            place[key] = _copied(place[key])
            place = place[key]
    problems.mark(tuple(taken), option)


def _index(name: str | int, place: list[Any], taken: KeyPath, option: str, problems: Problems) -> int | None:
    """The entry of a list that a key names, from 0."""
    if _INDEX.fullmatch(str(name)) and int(name) < len(place):
        return int(name)
    hint = f"Write a number from 0 to {len(place) - 1}." if place else "The list is empty."
    problems.add_option(option, f"{dotted(taken)} has no entry {quoted(str(name))}", hint)
    return None


def _copied(place: object) -> object:
    if isinstance(place, Mapping):
        return dict(place)
    return list(place) if isinstance(place, list | tuple) else place


def _unknown_entry(table: str, name: str, entries: Mapping[str, object], option: str, problems: Problems) -> None:
    what = "model" if table == "models" else "kind of agent"
    meant = nearest(name, entries)
    start = f"Did you mean {meant}? " if meant else ""
    problems.add_option(option, f"there is no {what} {quoted(name)}", f"{start}The world has: {listed(list(entries))}.")


def _short(setting: str) -> str:
    return quoted(setting)[1:-1]
