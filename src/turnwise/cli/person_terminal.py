"""A person who takes the turns of an agent, at a terminal or on a page that is served beside the run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import turnwise
from turnwise.cli.interrupts import INTERRUPTED
from turnwise.cli.logs import LogChoice, is_shown, write
from turnwise.cli.output import Output, Styled, bold, dim, yellow
from turnwise.cli.playing import WAIT_S_MAX, tell
from turnwise.cli.summary import quoted_path
from turnwise.cli.text import shorten
from turnwise.errors import RunClosed, UsageError
from turnwise.orchestrator.answering import check_answer
from turnwise.orchestrator.person import with_person
from turnwise.people.answer_text import TEXT_CHARS_MAX, choices_of, form_of, value_for
from turnwise.world import Overrides

if TYPE_CHECKING:
    from turnwise.cli.page_beside import PageBeside
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
    page: PageBeside | None = None,
) -> int:
    """Play a world, or go on with a journal, while somebody answers for an agent, here or on a page beside it.

    Returns the exit code.
    """
    if world.is_file() and world.suffix != ".toml":
        live = turnwise.resume(world, workers=workers, models=models, patience_s=None)
    else:
        read = turnwise.World.read(world, Overrides(settings=tuple(overrides), seed=seed, models=models))
        live = turnwise.start(with_person(read, name), workers=workers, journal=journal, patience_s=None)
    out = Output.err() if as_json else Output.out()
    with live, page or nullcontext():
        out.line(dim(f"You are {name}. Journal: {quoted_path(live.journal)}"))
        out.flush()
        try:
            _Person(live, name, log, out, page).play()
            with live.result() as run:
                code = tell(run, as_json=as_json)
        except KeyboardInterrupt:
            more = "" if page is None else " --page"
            out.line()
            out.line(yellow("stopped"), f": turnwise play {quoted_path(live.journal)} --as {name}{more} goes on")
            return INTERRUPTED
        if page is not None:
            page.stay()
        return code


class _Person:
    """Shows what an agent asks, and takes what is typed, here or on a page beside the run."""

    def __init__(self, live: Live, name: str, log: LogChoice, out: Output, page: PageBeside | None) -> None:
        self._live = live
        self._page = page
        self._name = name
        self._log = log
        self._out = out
        self._told: set[int] = set()

    def play(self) -> None:
        """Answer until the run is over, or the input is."""
        self._live.play()
        while not self._live.wait(WAIT_S_MAX):
            self._say_logs()
            self._say_page()
            if not self._live.progress().questions:
                continue
            with suppress(RunClosed):
                for asked in self._live.questions():
                    if asked.agent != self._name:
                        self._tell_other(asked)
                    elif self._page is not None:
                        self._tell_own(asked)
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

    def _say_page(self) -> None:
        """Begin the page, once, and say where it is, or that it has ended."""
        if self._page is None or self._live.progress().phase == "starting":
            return
        self._page.begin(self._live.journal)
        news = self._page.news()
        if news is not None:
            self._out.line(news)
            if self._page.has_ended:
                self._out.line(
                    dim(f"In its place: turnwise answer {quoted_path(self._live.journal)} --page, or without")
                )
            self._out.flush()

    def _tell_own(self, asked: AskedQuestion) -> None:
        if asked.id not in self._told:
            self._told.add(asked.id)
            self._out.line(Styled(asked.agent, "cyan"), f" asks on the page: {shorten(asked.text)}")
            self._out.flush()

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
