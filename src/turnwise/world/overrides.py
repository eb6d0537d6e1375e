"""Options that change a world for one run: `--seed 7`, `--set agents.narrator.args.mood=sad`, `--model NAME=PATH`."""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from turnwise.world.document import Document
from turnwise.world.problems import KeyPath, Problems, dotted, listed, nearest, quoted, said

_SETTING_EXAMPLE: Final = "Write --set agents.narrator.count=3."
_CHOSEN: Final = ("agents", "models")
"""Tables whose keys are names that the user chose: an option may change an entry, and never makes one."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is to be different from the world file.

    `settings` are `KEY.PATH=VALUE`, the value as TOML or else as text. `models` maps names of models to folders,
    relative to the current folder. `rounds` is `rounds_max`.
    """

    settings: Sequence[str] = ()
    seed: int | None = None
    schedule: str | None = None
    rounds: int | None = None
    models: Mapping[str, str | os.PathLike[str]] = field(default_factory=dict)


def apply_overrides(document: Document, overrides: Overrides, problems: Problems) -> Document:
    """A changed copy of the document. Problems that come of an option, now or later, are blamed on it."""
    document = copy.deepcopy(document)
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
        _put(document, ("models", name, "path"), Path(path).absolute(), option, problems)
    return document


def _set(document: Document, setting: str, problems: Problems) -> None:
    option = f"--set {_short(setting)}"
    key, equals, text = setting.partition("=")
    path = _key_path(key)
    if not equals or path is None:
        problems.add_option(option, "is not KEY.PATH=VALUE", _SETTING_EXAMPLE)
        return
    _put(document, path, _value(text), option, problems)


def _key_path(key: str) -> KeyPath | None:
    """The keys of a dotted TOML key; those that are whole numbers in decimal may index lists."""
    if not key.strip() or any(character in key for character in "\n\r#="):
        return None
    try:
        table: Any = tomllib.loads(f"{key} = true")
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    path: list[str] = []
    while isinstance(table, dict):
        name, table = next(iter(table.items()))
        path.append(name)
    return tuple(path)


def _value(text: str) -> object:
    """The text as a TOML value, or as itself."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # TOMLDecodeError is a ValueError
        return text
    return document["value"] if len(document) == 1 else text


def _put(document: Document, path: KeyPath, value: object, option: str, problems: Problems) -> None:
    """Sets the value at the path, and makes tables on the way where there are none."""
    place: Any = document
    taken: list[str | int] = []
    for index, key in enumerate(path):
        at_end = index == len(path) - 1
        if isinstance(place, list):
            position = int(key) if isinstance(key, str) and key.isdecimal() and key.isascii() and len(key) < 10 else -1
            if not 0 <= position < len(place):
                hint = f"Write a number from 0 to {len(place) - 1}." if place else "The list is empty."
                problems.add_option(option, f"{dotted(tuple(taken))} has no entry {quoted(str(key))}", hint)
                return
            key = position
        elif not isinstance(place, dict):
            hint = "Set the key itself, or correct the path."
            problems.add_option(option, f"{dotted(tuple(taken))} is {said(place)}, which has no keys inside", hint)
            return
        elif taken and len(taken) == 1 and taken[0] in _CHOSEN and key not in place:
            _unknown_entry(str(taken[0]), str(key), place, option, problems)
            return
        taken.append(key)
        if at_end:
            place[key] = value
        elif isinstance(place, list):
            place = place[int(key)]
        else:
            place = place.setdefault(key, {})
    problems.mark(tuple(taken), option)


def _unknown_entry(table: str, name: str, entries: Mapping[str, object], option: str, problems: Problems) -> None:
    what = "model" if table == "models" else "kind of agent"
    meant = nearest(name, entries)
    start = f"Did you mean {meant}? " if meant else ""
    problems.add_option(option, f"there is no {what} {quoted(name)}", f"{start}The world has: {listed(list(entries))}.")


def _short(setting: str) -> str:
    return quoted(setting)[1:-1]
