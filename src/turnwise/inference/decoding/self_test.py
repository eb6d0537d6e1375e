"""Finds out in a few seconds whether a model gives the same bits whatever runs beside it, on this machine.

Some token sequences are run alone, and again: in batches of several sizes, their prompts in pieces, with another number
of threads. The logits of every step must be the same to the last bit. Rules are tried from the one that the form of the
graph promises to stricter ones (`graph_form.rules_from`), and the first that holds is taken.

What was found is remembered under everything that could change it: the model, the provider, the versions, the CPU, the
threads. It is an observation, not a proof: other tokens and lengths are not tried.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec
from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.decoding.graph_form import RULES, Rule, rules_from
from turnwise.inference.decoding.remembered import remembered
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS
from turnwise.inference.plans.batching import Batching, is_equal

NumericClass = Literal["batch-invariant", "plan-bound", "none"]
"""Equal bits whatever the batch; equal bits for the same batches and threads; or not even that."""

BATCHES: Final = (13, 8, 5, 2, 1)
"""Rows of the steps, one after the other. Row i has a prompt of i + 2 tokens, or all have one of as many."""

BATCHES_OF_LARGE: Final = (5, 2, 1)
BATCHES_OF_WINDOWS: Final = (3, 2, 1)
LARGE_BYTES_MIN: Final = 1 << 30
TRIED_TOKENS: Final = 7
"""Room for five tokens and a step."""
PIECES: Final = (2, 3, 8, 17, 33, 16)
PIECES_OF_LARGE: Final = (2, 3, 8, 11)
_FORMAT: Final = 4


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial: steps of so many rows, one after the other, and a prompt in `pieces`.

    Row i has a prompt of 2 + i · `longer` tokens, or all have one of as many.
    """

    batches: tuple[int, ...]
    pieces: tuple[int, ...]
    longer: int = 1
    reuse: bool = False


TRIAL: Final = Trial(BATCHES, PIECES)
TRIAL_OF_LARGE: Final = Trial(BATCHES_OF_LARGE, PIECES_OF_LARGE)
TRIAL_ON_DEVICE: Final = Trial((64, 32, 17, 16, 8, 5, 2, 1), (256, 256, 256, 101), 31, reuse=True)
"""Lengths at which kernels for devices divide their work otherwise."""

STEPS_OF_SLABS: Final = (32, 16, 8, 4, 2, 1)
"""All sizes of steps where those are as many as rows are laid out, up to 32."""


def staged_trial(piece_tokens: int) -> Trial:
    """Return the trial of a model whose steps have as many rows as are laid out; prompts run in pieces of that size."""
    pieces = (*(piece_tokens,) * 3, piece_tokens * 3 // 4 + 1)
    return Trial(STEPS_OF_SLABS, pieces, 13, reuse=True)


def windowed_trial(row_positions: int, piece_tokens: int) -> Trial:
    """Return the trial of a model whose rows of so many positions keep a window: a row and the prompt are longer.

    Pieces are those in which such a prompt runs.
    """
    pieces = (piece_tokens,) * -(-row_positions // piece_tokens)
    return Trial(BATCHES_OF_WINDOWS, (*pieces, piece_tokens - 27), row_positions // 2, reuse=True)


class Runner(Protocol):
    """A decoder that is tried."""

    def begin_rows(self, rows: int, room: int) -> int:
        """Forget everything, make room for rows; how many there are."""
        ...

    def prefill(self, row: int, ids: Sequence[int], whole: int) -> NDArray[Any]: ...

    def begin_again(self, tokens: int, room: int) -> int:
        """Forget all but at most so many tokens of row 0, which the prefix cache gives back; how many those are."""
        ...

    def decode(self, tokens: Sequence[int]) -> Sequence[NDArray[Any]]: ...


@dataclass(frozen=True, slots=True)
class SelfTest:
    """An observation. `checks` by name; a check that a rule makes needless is not there."""

    numeric_class: NumericClass
    rule: Rule
    checks: dict[str, bool]


Make = Callable[[Rule, bool], Runner | None]
"""A runner for a rule, None if there is no room for it; with True on another number of threads than the model will
have, None if there is no such."""


def self_test(
    make: Make, vocabulary: int, context_length: int, trial: Trial, first: Rule, *, stricter: bool = True
) -> SelfTest:
    """Try the rules from `first` on. The result's rule is the first under which all checks hold, else the last.

    Not `stricter`: `first` is kept whatever is observed.
    """
    tokens = _TestTokens(vocabulary, max(1, context_length - len(trial.batches)), trial.longer)
    found = None
    for rule in rules_from(first) if stricter else (first,):
        runner = make(rule, False)
        if runner is None:
            continue
        try:
            checks = _try(runner, make, rule, tokens, trial)
        except RUNTIME_ERRORS:  # its embedding is smaller than its vocabulary, for example
            return SelfTest("none", RULES[-1] if stricter else first, {"takes any token": False})
        found = SelfTest(_class(checks), rule, checks)
        if found.numeric_class != "plan-bound":
            break
    if found is None:
        raise InvariantError("there is no rule to try")
    return found


def first_that_runs(make: Make, vocabulary: int, rules: Sequence[Rule]) -> SelfTest:
    """Take the first rule that the graph does not refuse, where equal bits are given up: of class `none`."""
    first, more = ([token_of(vocabulary, 0, place) for place in range(*span)] for span in ((0, 3), (3, 5)))
    for rule in rules:
        runner = make(rule, False)
        if runner is None:
            raise InvariantError("there is always a runner with the threads that the model has")
        try:
            rows = 1 if rule.batching == "single" else runner.begin_rows(2, TRIED_TOKENS)
            if rows == 1:
                runner.begin_rows(1, TRIED_TOKENS)
            for row in range(rows):
                for piece in (first, more) if rule.chunked else ([*first, *more],):
                    runner.prefill(row, piece, len(first) + len(more))
            runner.decode([token_of(vocabulary, row, len(first) + len(more)) for row in range(rows)])
        except RUNTIME_ERRORS:
            continue
        return SelfTest("none", rule, {})
    return SelfTest("none", rules[-1], {"takes any token": False})


def _class(checks: dict[str, bool]) -> NumericClass:
    if not checks["run = run"]:
        return "none"
    return "batch-invariant" if all(checks.values()) else "plan-bound"


@dataclass(frozen=True, slots=True)
class _TestTokens:
    """Arbitrary tokens, always the same. `equal`: how many each prompt has, None where they have different numbers."""

    vocabulary: int
    length_max: int
    longer: int = 1
    equal: int | None = None

    def of(self, row: int) -> list[int]:
        """The prompt of a row."""
        return self.prompt(row, self.length(row) if self.equal is None else self.equal)

    def length(self, row: int) -> int:
        return min(2 + row * self.longer, self.length_max)

    def prompt(self, row: int, length: int) -> list[int]:
        return [self.token(row, place) for place in range(min(length, self.length_max))]

    def token(self, row: int, place: int) -> int:
        return token_of(self.vocabulary, row, place)


def token_of(vocabulary: int, row: int, place: int) -> int:
    """An arbitrary token, always the same, at a place of a row."""
    digest = hashlib.blake2b(b"%d %d" % (row, place), digest_size=8).digest()
    return int.from_bytes(digest, "little") % vocabulary


def _try(runner: Runner, make: Make, rule: Rule, tokens: _TestTokens, trial: Trial) -> dict[str, bool]:
    batches, pieces = trial.batches, trial.pieces
    tokens = replace(tokens, equal=batches[0] if is_equal(rule.batching) else None)
    rows = 1 if rule.batching == "single" else runner.begin_rows(batches[0], _room(tokens, batches))
    batches = tuple(min(batch, rows) for batch in batches)
    alone = [_alone(runner, tokens, row, sum(batch > row for batch in batches)) for row in range(rows)]
    checks = {"run = run": _alone(runner, tokens, rows - 1, len(alone[-1]) - 1) == alone[-1]}
    if rows > 1:
        checks["alone = in a batch"] = _holds(lambda: _together(runner, tokens, batches) == alone)
    whole = _whole(runner, tokens, [sum(pieces)])
    if rule.chunked:
        checks["whole = in pieces"] = _holds(lambda: _whole(runner, tokens, pieces) == whole)
        if trial.reuse:
            checks["cold = warm"] = _holds(lambda: _warm(runner, tokens, sum(pieces)) == whole)
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


def _room(tokens: _TestTokens, batches: Sequence[int]) -> int:
    return max(tokens.length(batches[0]), tokens.equal or 0) + batches[0] + len(batches) + 2


def _alone(runner: Runner, tokens: _TestTokens, row: int, steps: int) -> list[bytes]:
    """Logits of a sequence by itself: of its prompt, then of each step."""
    prompt = tokens.of(row)
    runner.begin_rows(1, len(prompt) + steps + 2)
    found = [runner.prefill(0, prompt, len(prompt)).tobytes()]
    after = (tokens.token(row, len(prompt) + step) for step in range(steps))
    return found + [runner.decode([token])[0].tobytes() for token in after]


def _together(runner: Runner, tokens: _TestTokens, batches: Sequence[int]) -> list[list[bytes]]:
    """The same of all sequences, as many in each step as `batches` says."""
    rows = batches[0]
    runner.begin_rows(rows, _room(tokens, batches))
    prompts = [tokens.of(row) for row in range(rows)]
    found = [[runner.prefill(row, prompt, len(prompt)).tobytes()] for row, prompt in enumerate(prompts)]
    for step, batch in enumerate(batches):
        logits = runner.decode([tokens.token(row, len(prompts[row]) + step) for row in range(batch)])
        for row in range(batch):
            found[row].append(logits[row].tobytes())
    return found


def _whole(runner: Runner, tokens: _TestTokens, pieces: Sequence[int]) -> list[bytes]:
    """Logits after a prompt that was appended in pieces, and of the step after it."""
    prompt = tokens.prompt(0, sum(pieces))
    runner.begin_rows(1, len(prompt) + 2)
    start, logits = 0, b""
    for stop in [*(stop for stop in accumulate(pieces) if stop < len(prompt) - 1), len(prompt)]:
        logits = runner.prefill(0, prompt[start:stop], len(prompt)).tobytes()
        start = stop
    return [logits, runner.decode([tokens.token(0, len(prompt))])[0].tobytes()]


def _warm(runner: Runner, tokens: _TestTokens, length: int) -> list[bytes]:
    """The same, of a prompt whose beginning comes from the prefix cache."""
    prompt = tokens.prompt(0, length)
    runner.begin_rows(1, len(prompt) + 2)
    runner.prefill(0, prompt, len(prompt))
    start = runner.begin_again(len(prompt) // 2, len(prompt) + 2)
    logits = runner.prefill(0, prompt[start:], len(prompt)).tobytes()
    return [logits, runner.decode([tokens.token(0, len(prompt))])[0].tobytes()]


# -- remembered --------------------------------------------------------------------------------------------------


class _StoredSelfTest(msgspec.Struct):
    numeric_class: NumericClass
    batching: Batching
    chunked: bool
    checks: dict[str, bool]
    rows_min: int | None = None


def known(key: dict[str, object], test: Callable[[], SelfTest], *, cache: Path | None = None) -> SelfTest:
    """Return what was observed under `key` before; else make the test, and remember it."""

    def find() -> _StoredSelfTest:
        found = test()
        rule = found.rule
        return _StoredSelfTest(found.numeric_class, rule.batching, rule.chunked, found.checks, rule.rows_min)

    stored = remembered({"format": _FORMAT, **key}, _StoredSelfTest, find, cache=cache)
    rule = Rule(stored.batching, stored.chunked, stored.rows_min)
    return SelfTest(stored.numeric_class, rule, stored.checks)


def cpu() -> dict[str, str]:
    """Describe this machine's processor: kernels are chosen by its features."""
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
