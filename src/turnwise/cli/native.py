"""`turnwise run --native`: Python agents without a sandbox, for breakpoints. Proves nothing, and says so."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnwise.cli.log_text import parsed
from turnwise.cli.logs import LogChoice, is_shown, write
from turnwise.cli.output import Output, bold, dim, green, red, yellow
from turnwise.cli.result import result_text
from turnwise.cli.summary import judge
from turnwise.cli.text import json_text, last_line, shorten
from turnwise.errors import UsageError

if TYPE_CHECKING:
    from turnwise.core.question import AskedQuestion
    from turnwise.core.records import RoundRecord
    from turnwise.orchestrator.native import NativeRun

FAILURES_SHOWN_MAX = 20

WARNING = (
    "Agents run WITHOUT A SANDBOX, in this process, and may do anything that you may do.",
    "Nothing is bounded or recorded: there is no journal and no head, and the run proves nothing.",
)


def play_native(
    world: Path,
    *,
    seed: int | None,
    schedule: str | None,
    rounds: int | None,
    models: Mapping[str, Path],
    overrides: Sequence[str],
    log: LogChoice,
    fail_on_failed_turns: bool = False,
    as_json: bool,
) -> int:
    """Play a world natively, and tell how it went. No live display: the terminal belongs to the debugger."""
    from turnwise.orchestrator.native import run_native
    from turnwise.world import Overrides, World

    err = Output.err()
    for line in WARNING:
        err.line(yellow("--native: "), bold(line))
    err.flush()
    read = World.read(world, Overrides(settings=overrides, seed=seed, schedule=schedule, rounds=rounds, models=models))
    # With --json, stdout is for the object alone; what agents print is for people.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        ended = run_native(read, on_round=_teller(err, log), people=lambda asked: _typed(asked, err))
    _show(ended, err if as_json else Output.out())
    if as_json:
        Output.out().write(_json(ended))
    verdict = judge(ended.end.reason, ended.turns, ended.failures, fail_on_failed_turns=fail_on_failed_turns)
    if verdict.reason is not None:
        (err if as_json else Output.out()).line(verdict.reason)
    return verdict.code


def _typed(asked: AskedQuestion, output: Output) -> Any:
    from turnwise.cli.person_terminal import typed_answer

    output.line(f"{asked.agent} asks:")
    try:
        return typed_answer(asked, output)
    except EOFError:
        raise UsageError(
            f"{asked.agent} waits for an answer, and the input has ended",
            where="--native",
            hint="Answer in the terminal, or ask with a deadline and a default.",
        ) from None


def _teller(output: Output, log: LogChoice) -> Callable[[RoundRecord, Callable[[int], str]], None]:
    from turnwise.orchestrator.logs import logs_of

    told = 0

    def tell(record: RoundRecord, name_of: Callable[[int], str]) -> None:
        nonlocal told
        for said in logs_of(record, name_of):
            if is_shown(said.level, log):
                write(said, output)
        for turn in record.turns:
            if turn.failure is None:
                continue
            told += 1
            if told <= FAILURES_SHOWN_MAX:
                output.line(red("failed"), f"  round {record.round}, {name_of(turn.place)}: {turn.failure.kind}")
                output.block(turn.failure.message, indent=2)
                output.flush()

    return tell


def _show(ended: NativeRun, output: Output) -> None:
    label = red("failed") if ended.end.reason == "failed" else green("ended")
    output.line(label, f" ({ended.end.reason}), natively: no head, no journal")
    failed = red(f", {ended.failures:,} failed") if ended.failures else ""
    output.line(dim("rounds    "), f"{ended.rounds:,}", indent=2)
    output.line(dim("turns     "), f"{ended.turns:,}", failed, indent=2)
    if ended.end.result is not None:
        text = shorten(result_text(parsed(ended.end.result)), 2_000)
        output.block(text, indent=2, first=dim("result    "))
    if ended.end.message:
        output.line(dim("message   "), last_line(ended.end.message), indent=2)


def _json(ended: NativeRun) -> str:
    end = ended.end
    value: dict[str, object] = {
        "head": None,
        "rounds": ended.rounds,
        "turns": ended.turns,
        "status": end.reason,
        "result": None if end.result is None else json.loads(end.result),
        "journal": None,
        "native": True,
        "failed_turns": ended.failures,
        "message": end.message,
    }
    return json_text(value) + "\n"
