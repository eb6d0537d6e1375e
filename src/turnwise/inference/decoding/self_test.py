"""Finds out in a few seconds whether a model gives the same bits whatever runs beside it, on this machine.

Some token sequences are run alone, and again: in batches of several sizes, their prompts in pieces, with another number
of threads. The logits of every step must be the same to the last bit. Rules are tried from the one that the form of the
graph promises to stricter ones (`forms.rules_from`), and the first that holds is taken.

What was found is remembered under everything that could change it: the model, the provider, the versions, the CPU, the
threads. It is an observation, not a proof: other tokens and lengths are not tried.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec
from numpy.typing import NDArray

from turnwise.core.canonical import canonical
from turnwise.inference.decoding.graph_form import RULES, Rule, rules_from
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS
from turnwise.inference.plans.batching import Batching, is_equal
from turnwise.system.user_folders import cache_folder

NumericClass = Literal["batch-invariant", "plan-bound", "none"]
"""Equal bits whatever the batch; equal bits for the same batches and threads; or not even that."""

BATCHES: Final = (13, 8, 5, 2, 1)
"""Rows of the steps, one after the other. Row i has a prompt of i + 2 tokens, or all have one of as many."""

BATCHES_OF_LARGE: Final = (5, 2, 1)
LARGE_BYTES_MIN: Final = 1 << 30
PIECES: Final = (2, 3, 8, 17, 33, 16)
PIECES_OF_LARGE: Final = (2, 3, 8, 11)
CACHE_ENTRIES_MAX: Final = 256
_FORMAT: Final = 3


class Runner(Protocol):
    """What is tried: a decoder."""

    def begin_rows(self, rows: int, room: int) -> int:
        """Forget everything, make room for rows; how many there are."""
        ...

    def prefill(self, row: int, ids: Sequence[int]) -> NDArray[Any]: ...

    def decode(self, tokens: Sequence[int]) -> Sequence[NDArray[Any]]: ...


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was observed. `checks` by name; a check that a rule makes needless is not there."""

    numeric_class: NumericClass
    rule: Rule
    checks: dict[str, bool]


Make = Callable[[Rule, bool], Runner | None]
"""A runner for a rule; with True on another number of threads than the model will have, None if there is no such."""


def self_test(
    make: Make, vocabulary: int, context_length: int, weights_bytes: int, first: Rule, *, stricter: bool = True
) -> SelfTest:
    """Try the rules from `first` on. The result's rule is the first under which all checks hold, else the last.

    Not `stricter`: `first` is kept whatever is observed.
    """
    large = weights_bytes >= LARGE_BYTES_MIN
    batches, pieces = (BATCHES_OF_LARGE, PIECES_OF_LARGE) if large else (BATCHES, PIECES)
    tokens = _Tokens(vocabulary, max(1, context_length - len(batches)))
    found = None
    for rule in rules_from(first) if stricter else (first,):
        try:
            checks = _try(make, rule, tokens, batches, pieces)
        except RUNTIME_ERRORS:  # its embedding is smaller than its vocabulary, for example
            return SelfTest("none", RULES[-1] if stricter else first, {"takes any token": False})
        found = SelfTest(_class(checks), rule, checks)
        if found.numeric_class != "plan-bound":
            break
    assert found is not None
    return found


def _class(checks: dict[str, bool]) -> NumericClass:
    if not checks["run = run"]:
        return "none"
    return "batch-invariant" if all(checks.values()) else "plan-bound"


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Arbitrary tokens, always the same. `equal`: how many each prompt has, None where they have different numbers."""

    vocabulary: int
    length_max: int
    equal: int | None = None

    def of(self, row: int) -> list[int]:
        """The prompt of a row."""
        return self.prompt(row, row + 2 if self.equal is None else self.equal)

    def prompt(self, row: int, length: int) -> list[int]:
        return [self.token(row, place) for place in range(min(length, self.length_max))]

    def token(self, row: int, place: int) -> int:
        digest = hashlib.blake2b(b"%d %d" % (row, place), digest_size=8).digest()
        return int.from_bytes(digest, "little") % self.vocabulary


def _try(make: Make, rule: Rule, tokens: _Tokens, batches: Sequence[int], pieces: Sequence[int]) -> dict[str, bool]:
    runner = make(rule, False)
    assert runner is not None
    tokens = replace(tokens, equal=batches[0] if is_equal(rule.batching) else None)
    rows = 1 if rule.batching == "single" else runner.begin_rows(batches[0], _room(batches))
    batches = [min(batch, rows) for batch in batches]
    alone = [_alone(runner, tokens, row, sum(batch > row for batch in batches)) for row in range(rows)]
    checks = {"run = run": _alone(runner, tokens, rows - 1, len(alone[-1]) - 1) == alone[-1]}
    if rows > 1:
        checks["alone = in a batch"] = _holds(lambda: _together(runner, tokens, batches) == alone)
    whole = _whole(runner, tokens, [sum(pieces)])
    if rule.chunked:
        checks["whole = in pieces"] = _holds(lambda: _whole(runner, tokens, pieces) == whole)
    if (other := make(rule, True)) is not None:
        checks["1 = 2 threads"] = _whole(other, tokens, [sum(pieces)]) == whole and all(
            _alone(other, tokens, row, len(alone[row]) - 1) == alone[row] for row in {0, rows - 1}
        )
    return checks


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except RUNTIME_ERRORS:  # a graph that takes no batch, or no second piece, is run without
        return False


def _room(batches: Sequence[int]) -> int:
    return 2 * batches[0] + len(batches) + 2


def _alone(runner: Runner, tokens: _Tokens, row: int, steps: int) -> list[bytes]:
    """Logits of a sequence by itself: of its prompt, then of each step."""
    prompt = tokens.of(row)
    runner.begin_rows(1, len(prompt) + steps + 2)
    found = [runner.prefill(0, prompt).tobytes()]
    after = (tokens.token(row, len(prompt) + step) for step in range(steps))
    return found + [runner.decode([token])[0].tobytes() for token in after]


def _together(runner: Runner, tokens: _Tokens, batches: Sequence[int]) -> list[list[bytes]]:
    """The same of all sequences, as many in each step as `batches` says."""
    rows = batches[0]
    runner.begin_rows(rows, _room(batches))
    prompts = [tokens.of(row) for row in range(rows)]
    found = [[runner.prefill(row, prompt).tobytes()] for row, prompt in enumerate(prompts)]
    for step, batch in enumerate(batches):
        logits = runner.decode([tokens.token(row, len(prompts[row]) + step) for row in range(batch)])
        for row in range(batch):
            found[row].append(logits[row].tobytes())
    return found


def _whole(runner: Runner, tokens: _Tokens, pieces: Sequence[int]) -> list[bytes]:
    """Logits after a prompt that was appended in pieces, and of the step after it."""
    prompt = tokens.prompt(0, sum(pieces))
    runner.begin_rows(1, len(prompt) + 2)
    start, logits = 0, b""
    for stop in [*(stop for stop in accumulate(pieces) if stop < len(prompt) - 1), len(prompt)]:
        logits = runner.prefill(0, prompt[start:stop]).tobytes()
        start = stop
    return [logits, runner.decode([tokens.token(0, len(prompt))])[0].tobytes()]


# -- remembered --------------------------------------------------------------------------------------------------


class _Stored(msgspec.Struct):
    numeric_class: NumericClass
    batching: Batching
    chunked: bool
    checks: dict[str, bool]


def remembered(key: dict[str, object], test: Callable[[], SelfTest], *, cache: Path | None = None) -> SelfTest:
    """What was observed under `key` before; else the test is made, and remembered."""
    path = (cache or cache_folder()) / "self-tests.json"
    name = hashlib.sha256(canonical({"format": _FORMAT, **key}).encode()).hexdigest()
    entries = _read(path)
    if name in entries:
        known = entries[name]
        return SelfTest(known.numeric_class, Rule(known.batching, known.chunked), known.checks)
    found = test()
    entries = _read(path)
    entries[name] = _Stored(found.numeric_class, found.rule.batching, found.rule.chunked, found.checks)
    kept = dict(list(entries.items())[-CACHE_ENTRIES_MAX:])
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):  # without a cache everything works, slower
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.write_bytes(msgspec.json.encode(kept))
        draft.replace(path)
    return found


def _read(path: Path) -> dict[str, _Stored]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Stored])
    except (OSError, msgspec.DecodeError):
        return {}


def cpu() -> dict[str, str]:
    """What this machine's processor is: kernels are chosen by its features."""
    found = {"machine": platform.machine(), "system": platform.system(), "processor": platform.processor()}
    with contextlib.suppress(OSError):
        for line in _processor_lines(Path("/proc/cpuinfo")):
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "flags", "Features", "CPU part", "CPU implementer"):
                found.setdefault(key.strip(), value.strip())
    return found


def _processor_lines(path: Path) -> Iterator[str]:
    """Lines about the first processor."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                return
            yield line
