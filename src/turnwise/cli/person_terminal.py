"""A person at a terminal who takes the turns of an agent."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import turnwise
from turnwise.cli.answer_text import TEXT_CHARS_MAX, choices_of, form_of, value_for
from turnwise.cli.interrupts import INTERRUPTED
from turnwise.cli.logs import LogChoice, is_shown, write
from turnwise.cli.output import Output, Styled, bold, dim, yellow
from turnwise.cli.playing import WAIT_S_MAX, tell
from turnwise.cli.summary import quoted_path
from turnwise.cli.text import shorten
from turnwise.errors import RunClosed, UsageError
from turnwise.orchestrator.answering import check_answer
from turnwise.orchestrator.person import with_person
from turnwise.world import Overrides

if TYPE_CHECKING:
    from turnwise.core.question import AskedQuestion
    from turnwise.orchestrator.live import Live


def play_as(
    world: Path,
    name: str,
    *,
    seed: int | None,
    overrides: Sequence[str],
    models: Mapping[str, Path],
    journal: Path | None,
    workers: int | None,
    log: LogChoice,
    as_json: bool,
) -> int:
    """Play a world, or go on with a journal, while somebody answers for an agent. Returns the exit code."""
    if world.is_file() and world.suffix != ".toml":
        live = turnwise.resume(world, workers=workers, models=models, patience_s=None)
    else:
        read = turnwise.World.read(world, Overrides(settings=tuple(overrides), seed=seed, models=models))
        live = turnwise.start(with_person(read, name), workers=workers, journal=journal, patience_s=None)
    out = Output.err() if as_json else Output.out()
    with live:
        out.line(dim(f"You are {name}. Journal: {quoted_path(live.journal)}"))
        out.flush()
        try:
            _Person(live, name, log, out).play()
            with live.result() as run:
                return tell(run, as_json=as_json)
        except KeyboardInterrupt:
            out.line()
            out.line(yellow("stopped"), f": turnwise play {quoted_path(live.journal)} --as {name} goes on")
            return INTERRUPTED


class _Person:
    """Shows what an agent asks, and takes what is typed."""

    def __init__(self, live: Live, name: str, log: LogChoice, out: Output) -> None:
        self._live = live
        self._name = name
        self._log = log
        self._out = out
        self._told: set[int] = set()

    def play(self) -> None:
        """Answer until the run is over, or the input is."""
        self._live.play()
        while not self._live.wait(WAIT_S_MAX):
            self._say_logs()
            if not self._live.progress().questions:
                continue
            with suppress(RunClosed):
                for asked in self._live.questions():
                    if asked.agent != self._name:
                        self._tell_other(asked)
                    elif not self._answer(asked):
                        self._live.stop()
                        return
        self._say_logs()

    def _answer(self, asked: AskedQuestion) -> bool:
        """Ask until there is an answer; False at the end of the input."""
        self._say_logs()
        try:
            value = typed_answer(asked, self._out)
        except EOFError:
            return False
        if not self._live.answer(asked.id, value):
            self._out.line(yellow("This has been answered before: your answer has no effect."))
        return True

    def _tell_other(self, asked: AskedQuestion) -> None:
        if asked.id not in self._told:
            self._told.add(asked.id)
            command = f"turnwise answer {quoted_path(self._live.journal)} {asked.id} ANSWER"
            self._out.line(Styled(asked.agent, "cyan"), f" asks somebody else: {shorten(asked.text)}  ", dim(command))
            self._out.flush()

    def _say_logs(self) -> None:
        for one in self._live.logs()[0]:
            if is_shown(one.level, self._log):
                write(one, self._out)
        self._out.flush()


def typed_answer(asked: AskedQuestion, out: Output) -> Any:
    """Show a question, and read lines until one is an answer to it. Raises `EOFError` at the end of the input."""
    out.block(shorten(asked.text, TEXT_CHARS_MAX), first=bold(f"{asked.id}  "))
    for number, choice in enumerate(choices_of(asked), 1):
        out.line(dim(f"{number}  "), str(choice), indent=3)
    if not choices_of(asked) and form_of(asked) not in ("", "text"):
        out.line(dim(shorten(form_of(asked), TEXT_CHARS_MAX)), indent=3)
    while True:
        out.write("> ")
        out.flush()
        text = _typed()
        if text is None:
            out.line()
            raise EOFError
        value = value_for(asked, text)
        try:
            check_answer(asked, value)
            return value
        except UsageError as error:
            out.line(yellow(error.message))


def _typed() -> str | None:
    """Read a line, and those that it goes on in after a backslash; None at the end of the input."""
    lines: list[str] = []
    while line := sys.stdin.readline():
        text = line.rstrip("\n")
        if not text.endswith("\\"):
            return "\n".join([*lines, text])
        lines.append(text[:-1])
    return "\n".join(lines) if lines else None
