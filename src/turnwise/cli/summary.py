"""A run in a few lines, when it is over: why it ended, what came of it, and what can be done next."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from turnwise.cli.errors import DONE, FAILED
from turnwise.cli.interrupts import INTERRUPTED
from turnwise.cli.output import Output, Part, bold, dim, green, red, yellow
from turnwise.cli.result import result_text
from turnwise.cli.text import count, json_text, last_line, shorten
from turnwise.core.promise import Promise, caution
from turnwise.visible_text import visible

if TYPE_CHECKING:
    from turnwise.journal.run import Run

FAILURES_SHOWN_MAX = 5
RESULT_CHARS_MAX = 2_000
NAME_COLUMNS = 10


@dataclass(frozen=True, slots=True)
class FailedTurn:
    """A turn that failed."""

    round: int
    """Round of the turn."""
    agent: str
    """Name of the agent."""
    reason: str
    """Class of its failure."""
    message: str
    """Text of its failure."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in a few values."""

    world: str
    """Name of the world."""
    seed: int
    """Seed of the run."""
    status: str
    """Status of the run."""
    message: str | None
    """Reason why the run failed, or None."""
    rounds: int
    """Rounds that were committed; rounds in which nobody moves are not."""
    last_round: int
    """Number of the last round that was committed."""
    rounds_max: int
    """Bound of the run."""
    turns: int
    """Turns, failed ones too."""
    failed: int
    """Turns that failed."""
    messages: int
    """Messages of the run."""
    failures: tuple[FailedTurn, ...]
    """The first few of the failed turns."""
    result: object
    """JSON value that the run ended with, or None."""
    head: str
    """Head of the run."""
    journal: Path
    """Path of the journal."""
    numeric_classes: Mapping[str, Promise] = field(default_factory=dict)
    """Classes of its language models, by name."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Judgement of a run."""

    code: int
    """Exit code."""
    reason: str | None
    """Reason why it is not the code that the status alone would have: a line, or None."""


def judge(
    status: str, turns: int, failed: int, *, fail_on_failed_turns: bool, interrupted: int = INTERRUPTED
) -> Verdict:
    """Judge a run by its end and its turns. A failed turn is the agent's; a run in which none completed has failed.

    `interrupted` is the exit code of a run that has not ended.
    """
    if status == "failed":
        return Verdict(FAILED, None)
    if status == "open":
        return Verdict(interrupted, None)
    if turns and failed == turns:
        return Verdict(FAILED, "No turn has completed, so the exit code is 1.")
    if failed and fail_on_failed_turns:
        return Verdict(FAILED, "Turns have failed, so the exit code is 1 (--fail-on-failed-turns).")
    if failed:
        return Verdict(DONE, "The exit code is 0 all the same; --fail-on-failed-turns makes it 1.")
    return Verdict(DONE, None)


def summarize(run: Run) -> Summary:
    """Read a run's summary from its journal."""
    failures = [
        FailedTurn(turn.round, turn.agent, turn.failure.kind, turn.failure.message)
        for turn in islice(run.failures, FAILURES_SHOWN_MAX)
        if turn.failure is not None
    ]
    return Summary(
        world=run.world_name,
        seed=run.seed,
        status=run.status,
        message=run.message,
        rounds=len(run.rounds),
        last_round=run.last_round,
        rounds_max=run.plan.rounds_max,
        turns=len(run.turns),
        failed=len(run.failures),
        messages=len(run.messages),
        failures=tuple(failures),
        result=run.result,
        head=run.head,
        journal=run.path,
        numeric_classes=run.numeric_classes,
    )


def as_json(summary: Summary, extra: Mapping[str, object] | None = None) -> str:
    """Return the object that `--json` prints, as one line."""
    value: dict[str, object] = {
        "head": summary.head,
        "rounds": summary.rounds,
        "turns": summary.turns,
        "status": summary.status,
        "result": summary.result,
        "journal": str(summary.journal),
        "world": summary.world,
        "seed": summary.seed,
        "last_round": summary.last_round,
        "failed_turns": summary.failed,
        "messages": summary.messages,
        "message": summary.message,
        "numeric_classes": dict(summary.numeric_classes),
        **(extra or {}),
    }
    return json_text(value) + "\n"


def show(summary: Summary, output: Output, reason: str | None = None) -> None:
    """Show the summary for people; `reason` is what there is to say of the exit code."""
    show_title(summary, output)
    gaps = f", the last is round {summary.last_round:,}" if summary.last_round != summary.rounds else ""
    _row("rounds", f"{summary.rounds:,}{gaps}", output)
    failed: Part = red(f", {summary.failed:,} failed") if summary.failed else ""
    _row("turns", f"{summary.turns:,}", output, failed)
    _row("messages", f"{summary.messages:,}", output)
    if summary.result is not None:
        text = shorten(result_text(summary.result), RESULT_CHARS_MAX)
        output.block(text, indent=2, first=dim("result".ljust(NAME_COLUMNS)))
    _row("seed", str(summary.seed), output)
    _row("head", summary.head, output)
    for model, promise in summary.numeric_classes.items():
        line = caution(model, promise)
        if line is not None:
            output.row(yellow("model".ljust(NAME_COLUMNS)), line, indent=2)
    _row("journal", str(summary.journal), output)
    _failures(summary, output)
    if reason is not None:
        output.line(reason, indent=2)
    _next(summary, output)


def show_title(summary: Summary, output: Output) -> None:
    """Write the world's name, and how the run ended."""
    output.line(bold(summary.world), ": ", *_status(summary))
    if summary.message:
        output.block(shorten(summary.message, RESULT_CHARS_MAX), indent=2)


def _row(name: str, value: str, output: Output, more: Part = "") -> None:
    output.line(dim(name.ljust(NAME_COLUMNS)), value, more, indent=2)


def _status(summary: Summary) -> tuple[Part, ...]:
    match summary.status:
        case "finished":
            return green("finished"), ": an agent called finish"
        case "quiet":
            return green("ended"), ": nobody has anything left to do"
        case "rounds_max":
            return green("ended"), f" at its bound of {count(summary.rounds_max, 'round')}"
        case "failed":
            return red("failed"), ': a turn failed, and the world says on_failure = "stop"'
        case _:
            return yellow("not ended"), f" after round {summary.last_round:,}: it can be resumed"


def _failures(summary: Summary, output: Output) -> None:
    if not summary.failed:
        return
    output.line()
    output.line(red(count(summary.failed, "failed turn")))
    for turn in summary.failures:
        what = shorten(last_line(turn.message))
        output.line(f"round {turn.round}, {turn.agent}: {turn.reason}: {what}", indent=2)
    if summary.failed > len(summary.failures):
        output.line(f"and {summary.failed - len(summary.failures):,} more", indent=2)


def _next(summary: Summary, output: Output) -> None:
    """Write the commands that go on from here."""
    journal = quoted_path(summary.journal)
    commands: list[tuple[str, str]] = []
    if summary.status == "open":
        commands.append((f"turnwise resume {journal}", "goes on"))
    if summary.failures:
        first = summary.failures[0]
        commands.append(
            (f"turnwise log {journal} --agent {first.agent} --round {first.round}", "shows the first failure")
        )
    commands.append((f"turnwise log {journal}", "shows what happened"))
    if summary.status != "open":
        commands.append((f"turnwise replay {journal}", "executes it again and compares"))
    show_commands(commands, output)


def show_commands(commands: Sequence[tuple[str, str]], output: Output) -> None:
    """Write commands that a person can copy, after a blank line, each with what it does."""
    columns = max(len(command) for command, _ in commands)
    output.line()
    for command, what in commands:
        output.line(command.ljust(columns), dim(f"   {what}"), indent=2)


def quoted_path(path: Path) -> str:
    """Return the path as a shell takes it; relative to the current folder where that is shorter."""
    with contextlib.suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(visible(str(path)))
