"""The seeds and values of a sweep, and the combinations that they make. Whatever cannot be is said here."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from turnwise.core.plan import SEED_MAX
from turnwise.errors import UsageError
from turnwise.world.written.overrides import setting_of

RUNS_MAX: Final = 100_000
"""Runs of one sweep."""

Settings = tuple[tuple[str, str], ...]
"""A combination: (key of the world file, value as it is written) for each variable."""

_SEEDS: Final = "Write --seeds 0..99, or --seeds 1,2,5."
_SET: Final = "Write --set agents.NAME.args.mood=sad,merry; put a value that has commas in quotes or brackets."
_OPENING: Final = {"[": "]", "{": "}", "(": ")"}


def seeds_of(text: str) -> list[int]:
    """Read seeds from `0..99`, `1,2,5` or both."""
    found: list[int] = []
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        ends = [first, last] if dots else [first, first]
        if not all(end.isascii() and end.isdigit() and len(end) <= len(str(SEED_MAX)) for end in ends):
            raise UsageError(f"{part.strip()!r} is neither a seed nor a range of seeds", where="--seeds", hint=_SEEDS)
        low, high = map(int, ends)
        if low > high:
            raise UsageError(f"{part.strip()!r} begins after its end", where="--seeds", hint=f"Write {high}..{low}.")
        if high - low >= RUNS_MAX - len(found):
            raise _too_many()
        found += range(low, high + 1)
    return checked_seeds(found)


def checked_seeds(seeds: Iterable[int]) -> list[int]:
    """Return the seeds as a list: at least one, each a seed, none twice."""
    found = list(itertools.islice(seeds, RUNS_MAX + 1))
    if len(found) > RUNS_MAX:
        raise _too_many()
    if not found:
        raise UsageError("there is no seed", where="--seeds", hint=_SEEDS)
    seen: set[int] = set()
    for seed in found:
        if type(seed) is not int or not 0 <= seed <= SEED_MAX:
            raise UsageError(
                f"{seed!r} is no seed", where="--seeds", expected=f"0 to {SEED_MAX}", actual=seed, hint=_SEEDS
            )
        if seed in seen:
            raise UsageError(f"seed {seed} comes twice", where="--seeds", actual=seed, hint="Name each seed once.")
        seen.add(seed)
    return found


def variables_of(options: Sequence[str]) -> dict[str, list[Any]]:
    """Read the values of each key from texts `KEY=A,B,C`."""
    found: dict[str, list[Any]] = {}
    for option in options:
        key, equals, values = option.partition("=")
        if not equals:
            raise UsageError(f"{option!r} is not KEY=VALUE,VALUE", where="--set", hint=_SET)
        if key.strip() in found:
            raise UsageError(f"{key.strip()} is named twice", where="--set", hint="Give all its values at once.")
        found[key.strip()] = [_read(text) for text in _split(values)]
    return found


def _read(text: str) -> Any:
    """Return the value that a text means behind `--set KEY=`."""
    setting = setting_of(f"key={text}")
    return text if setting is None else setting[1]


def written(variables: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Return the values of Python as they are written in a world file."""
    found: dict[str, list[str]] = {}
    for key, values in variables.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise UsageError(
                f"the values of {key} are not a list", where="variables", hint=f'Write variables={{"{key}": [1, 2]}}.'
            )
        try:
            found[key] = [_bare(value) for value in values]
        except (TypeError, RecursionError) as error:
            raise UsageError(
                f"a value of {key} cannot be in a world file: {error}",
                where="variables",
                hint="Give texts, numbers, true or false, and lists and tables of those.",
            ) from None
    return found


def combinations(variables: Mapping[str, Sequence[str]], seeds_count: int) -> list[Settings]:
    """Return each combination of the values; the last variable changes first. One without settings if there is none."""
    keys: dict[tuple[str, ...], str] = {}
    count = seeds_count
    for key, values in variables.items():
        count *= len(values)
        _check(key, values, keys)
    if count > RUNS_MAX:
        raise _too_many(count)
    return [tuple(zip(variables, chosen, strict=True)) for chosen in itertools.product(*variables.values())]


def _check(key: str, values: Sequence[str], keys: dict[tuple[str, ...], str]) -> None:
    if not values:
        raise UsageError(f"{key} has no values", where="--set", hint=_SET)
    for value in values:
        found = setting_of(f"{key}={value}")
        if found is None:
            raise UsageError(f"{key!r} is not the path of a key", where="--set", actual=key, hint=_SET)
        if values.count(value) > 1:
            raise UsageError(f"{key} has the value {value} twice", where="--set", hint="Name each value once.")
    path = found[0] if found else ()
    if path == ("world", "seed"):
        raise UsageError("seeds are no variable", where=f"--set {key}", hint=_SEEDS)
    if path in keys:
        raise UsageError(f"{key} is the same key as {keys[path]}", where="--set", hint="Give all its values at once.")
    keys[path] = key


def _split(text: str) -> list[str]:
    """Split at commas that are neither in quotes nor in brackets."""
    parts, start, open_, quote, escaped = [], 0, 0, "", False
    for place, character in enumerate(text):
        if quote:
            if escaped:
                escaped = False
            elif character == "\\" and quote == '"':
                escaped = True
            elif character == quote:
                quote = ""
        elif character in "\"'" and not text[start:place].strip(" [{(,=:"):
            quote = character
        elif character in _OPENING:
            open_ += 1
        elif character in _OPENING.values():
            open_ -= 1
        elif character == "," and open_ <= 0:
            parts.append(text[start:place].strip())
            start, open_ = place + 1, 0
    return [*parts, text[start:].strip()]


def _bare(value: Any) -> str:
    """Return a value as it is written behind `--set KEY=`: a text without quotes where it means itself."""
    return value if isinstance(value, str) and value and _read(value) == value else _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{value} is no number of JSON")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join([_toml(one) for one in value])}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join([f"{_toml(str(name))} = {_toml(one)}" for name, one in value.items()]) + " }"
    raise TypeError(f"{type(value).__name__} is none of its types")


def _too_many(count: int | None = None) -> UsageError:
    much = f"{RUNS_MAX:,} runs at most"
    has = f"{count:,}" if count is not None else "more"
    return UsageError(
        f"a sweep has {much}, and this one has {has}",
        where="--seeds",
        expected=f"at most {RUNS_MAX}",
        actual=count,
        hint="Take fewer seeds or values, or several sweeps.",
    )
