"""Lists of numbers and recorded numbers in the form in which a journal holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Final

from turnwise.core.withheld import Withheld, is_digest
from turnwise.journal.file.format import INTEGER_MAX

NUMBER_CHARS_MAX: Final = 100_000
"""Longest decimal text of a recorded number that SQLite cannot hold itself."""


WITHHELD_PREFIX: Final = "sha256:"


def runs(numbers: Sequence[int]) -> str:
    """JSON text of the runs of ascending neighbours in `numbers`: (3, 4, 5, 9) is `[[3,5],[9,9]]`.

    A message to everybody has one run whatever their number, and `json_each` reads it in SQL.
    """
    first, last = numbers[0], numbers[-1]
    if last - first == len(numbers) - 1 and (first == last or tuple(numbers) == tuple(range(first, last + 1))):
        return f"[[{first},{last}]]"
    parts = []
    start = before = first
    for number in numbers[1:]:
        if number != before + 1:
            parts.append(f"[{start},{before}]")
            start = number
        before = number
    parts.append(f"[{start},{before}]")
    return f"[{','.join(parts)}]"


def numbers(text: str, *, count_max: int) -> tuple[int, ...]:
    """The list behind `runs`. Each number is at least 0, and there are at most `count_max`.

    Raises ValueError for anything else, before it takes memory for it.
    """
    try:
        parsed = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return numbers_of(parsed, count_max=count_max)


def numbers_of(parsed: object, *, count_max: int) -> tuple[int, ...]:
    """The list behind runs that were parsed. Each number is at least 0; raises ValueError for anything else."""
    if not isinstance(parsed, list) or not parsed:
        raise ValueError("not a list of runs")
    result: list[int] = []
    for run in parsed:
        if not isinstance(run, list) or len(run) != 2 or type(run[0]) is not int or type(run[1]) is not int:
            raise ValueError("a run is not a pair of numbers")
        first, last = run
        if not 0 <= first <= last:
            raise ValueError(f"the run {first} to {last} does not ascend from 0")
        if len(result) + last - first + 1 > count_max:
            raise ValueError(f"more than {count_max} numbers")
        result.extend(range(first, last + 1))
    return tuple(result)


def request_runs(requests: Sequence[tuple[int, int]]) -> str:
    """JSON text of (place, index) pairs, as runs of neighbouring indices: `[[place, first index, last index], …]`."""
    found: list[list[int]] = []
    for place, index in requests:
        if found and found[-1][0] == place and found[-1][2] == index - 1:
            found[-1][2] = index
        else:
            found.append([place, index, index])
    return json.dumps(found, separators=(",", ":"))


def requests_of(text: str, *, count_max: int) -> tuple[tuple[int, int], ...]:
    """The pairs behind `request_runs`, which rise; at most `count_max`. Raises ValueError for anything else."""
    try:
        parsed = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(parsed, list) or not parsed:
        raise ValueError("not a list of runs")
    result: list[tuple[int, int]] = []
    for run in parsed:
        if not isinstance(run, list) or len(run) != 3 or any(type(number) is not int for number in run):
            raise ValueError("a run is not three numbers")
        place, first, last = run
        if place < 0 or not 0 <= first <= last or (result and result[-1] >= (place, first)):
            raise ValueError(f"the run {run} does not rise")
        if len(result) + last - first + 1 > count_max:
            raise ValueError(f"more than {count_max} requests")
        result.extend([(place, index) for index in range(first, last + 1)])
    return tuple(result)


def recorded(value: float | int | str) -> float | int | str | bytes:
    """A recorded value as SQLite holds it exactly: what it would change becomes decimal text in a BLOB.

    That is integers beyond 64 bits, negative zero, and NaN and infinities, should they ever come. A text that was
    taken out is a BLOB, too: `sha256:` and its digest.
    """
    if type(value) is Withheld:
        return f"{WITHHELD_PREFIX}{value.digest}".encode()
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value) if -INTEGER_MAX <= value <= INTEGER_MAX else f"{value:d}".encode()
    if not math.isfinite(value) or (value == 0.0 and math.copysign(1.0, value) < 0):
        return repr(value).encode()
    return value


def recalled(stored: object) -> float | int | str:
    """The value behind `recorded`; ValueError if there is none."""
    if isinstance(stored, (int, float, str)):
        return stored
    if isinstance(stored, bytes) and len(stored) <= NUMBER_CHARS_MAX:
        text = stored.decode("ascii")
        if text.startswith(WITHHELD_PREFIX) and is_digest(digest := text.removeprefix(WITHHELD_PREFIX)):
            return Withheld(digest)
        if text.removeprefix("-").isdecimal():
            return int(text)
        return float(text)
    raise ValueError("neither a number nor a text")
