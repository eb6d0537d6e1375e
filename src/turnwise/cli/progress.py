"""Progress of a run while it is played: a live display on a terminal, plain lines anywhere else; on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from turnwise.cli.logs import lines_of, write
from turnwise.cli.output import Output, Part, is_terminal
from turnwise.cli.speed import Speed, duration, rate
from turnwise.cli.text import count, shorten
from turnwise.visible_text import visible

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from turnwise.orchestrator.logs import Logged
    from turnwise.orchestrator.progress import Progress

LINE_S_MIN = 1.0
WAITING_SHOWN_MAX = 3
WAITING_CHARS_MAX = 60
BAR_COLUMNS = 32

Clock = Callable[[], float]


class Display(AbstractContextManager["Display"], Protocol):
    """A display of a run while it is played. `update` may be called as often as one likes."""

    def update(self, progress: Progress) -> None: ...
    def note(self, text: str) -> None:
        """Show a line that stays."""

    def say(self, said: Logged) -> None:
        """Show what an agent has logged, in lines that stay."""


def display_for(output: Output, title: str) -> Display:
    """The display that fits where `output` leads. `title` says what is played."""
    if is_terminal(output.stream):
        return LiveDisplay(output, title)
    return PlainLines(output, title)


class Silent:
    """No display at all, where something else tells of the run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, progress: Progress) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def say(self, said: Logged) -> None:
        """Show nothing."""


class Meter:
    """Progress with what only its course tells: time and speed."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._start_s = clock()
        self._turns = Speed()
        self._tokens = Speed()

    def note(self, progress: Progress) -> None:
        now_s = self._clock()
        self._turns.note(now_s, progress.turns)
        self._tokens.note(now_s, progress.tokens)

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._start_s

    @property
    def turns(self) -> str:
        return rate(self._turns.per_s)

    @property
    def tokens(self) -> str:
        return rate(self._tokens.per_s)


class PlainLines:
    """Lines for a log file: what is being started, then one line a round at most and a second at most."""

    def __init__(self, output: Output, title: str, clock: Clock = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._meter = Meter(clock)
        self._title = title
        self._doing = ""
        self._round: int | None = None
        self._last_s: float | None = None

    def __enter__(self) -> Self:
        self.note(f"playing {self._title}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._output.flush()

    def update(self, progress: Progress) -> None:
        self._meter.note(progress)
        if progress.phase == "starting":
            if progress.doing and progress.doing != self._doing:
                self._doing = progress.doing
                self.note(f"starting: {progress.doing}")
            return
        now_s = self._clock()
        if progress.round in (0, self._round) or (self._last_s is not None and now_s - self._last_s < LINE_S_MIN):
            return
        self._round, self._last_s = progress.round, now_s
        self.note(plain_line(progress, self._meter))

    def note(self, text: str) -> None:
        self._output.line(text)
        self._output.flush()

    def say(self, said: Logged) -> None:
        write(said, self._output)


def plain_line(progress: Progress, meter: Meter) -> str:
    """`round 7 of 12, 21 turns (3.1/s), 840 tokens (120/s), 1 failed`"""
    parts = [f"round {progress.round:,} of at most {progress.rounds_max:,}"]
    parts.append(f"{count(progress.turns, 'turn')} ({meter.turns})")
    if progress.tokens:
        parts.append(f"{count(progress.tokens, 'token')} ({meter.tokens})")
    if progress.failures:
        parts.append(f"{progress.failures:,} failed")
    return ", ".join(parts)


class LiveDisplay:
    """A few lines that are drawn over and over at the foot of the terminal, and vanish when the run has ended."""

    def __init__(self, output: Output, title: str, clock: Clock = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self._meter = Meter(clock)
        self._title = visible(title)
        self._progress: Progress | None = None
        self._console = Console(
            file=output.stream, highlight=False, markup=False, emoji=False, no_color=not output.colour
        )
        self._live = Live(
            console=self._console,
            get_renderable=self._drawn,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, progress: Progress) -> None:
        self._progress = progress
        self._meter.note(progress)
        self._live.refresh()

    def note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(visible(text)))

    def say(self, said: Logged) -> None:
        from rich.text import Text

        lines = lines_of(said, self._console.width)
        self._console.print(Text("\n").join([_rich(line) for line in lines]), soft_wrap=True)

    def _drawn(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        lines = [Text.assemble((f"{duration(self._meter.elapsed_s):<10}", "dim"), (self._title, "bold"))]
        progress = self._progress
        if progress is None or progress.phase == "starting":
            doing = progress.doing if progress is not None else ""
            lines.append(Text.assemble(("starting  ", "cyan"), visible(doing)))
        else:
            lines += self._played(progress)
        for line in lines:
            line.no_wrap = True
            line.overflow = "ellipsis"
        return Group(*lines)

    def _played(self, progress: Progress) -> list[Text]:
        from rich.text import Text

        label = "cyan"
        if progress.phase == "stopping":
            when = f"when round {progress.round:,} is committed" if progress.round else "now"
            first = Text.assemble(("stopping  ", "yellow"), when)
        else:
            full = min(BAR_COLUMNS, BAR_COLUMNS * progress.round // max(1, progress.rounds_max))
            bar, rest = self._bar()
            first = Text.assemble(
                ("round     ", label),
                (f"{progress.round:,}", "bold"),
                f" of at most {progress.rounds_max:,}  ",
                (bar * full, "green"),
                (rest * (BAR_COLUMNS - full), "dim"),
            )
        second = Text.assemble(("turns     ", label), (f"{progress.turns:,}", "bold"), f" {self._meter.turns}")
        if progress.tokens:
            second.append_text(
                Text.assemble(("   tokens ", label), (f"{progress.tokens:,}", "bold"), f" {self._meter.tokens}")
            )
        second.append_text(Text.assemble(("   messages ", label), (f"{progress.messages:,}", "bold")))
        if progress.failures:
            second.append_text(Text.assemble(("   failed ", "red"), (f"{progress.failures:,}", "bold red")))
        waits = [waiting_line(progress.waiting)] if progress.waiting else []
        if progress.executing:
            waits.append(f"{count(progress.executing, 'turn')} for a sandbox")
        if progress.backlog:
            waits.append(f"{count(progress.backlog, 'message')} for room in an inbox")
        return [first, second, Text.assemble(("waits     ", label), "; ".join(waits) or ("nobody", "dim"))]

    def _bar(self) -> tuple[str, str]:
        return ("━", "─") if self._console.encoding.lower().startswith("utf") else ("#", ".")


def _rich(parts: Sequence[Part]) -> Text:
    """The parts of a line, fit to be shown."""
    from rich.text import Text

    pairs = [(part, "") if isinstance(part, str) else (part.text, part.style) for part in parts]
    return Text.assemble(*[(visible(text), style) for text, style in pairs])


def waiting_line(waiting: tuple[str, ...]) -> str:
    """Return the first few agents that wait, and what for."""
    shown = [shorten(visible(who), WAITING_CHARS_MAX) for who in waiting[:WAITING_SHOWN_MAX]]
    if len(waiting) > WAITING_SHOWN_MAX:
        shown.append("…")
    return ", ".join(shown)


@contextmanager
def counting(output: Output, what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far something is that counts to a known number: a bar on a terminal, a line a second anywhere else.

    Gives what is to be called with (done, total).
    """
    if not is_terminal(output.stream):
        last_s = time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal last_s
            if time.monotonic() - last_s >= LINE_S_MIN:
                last_s = time.monotonic()
                output.line(f"{what} {done:,} of {total:,}")
                output.flush()

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(file=output.stream, highlight=False, markup=False, no_color=not output.colour)
    columns = (TextColumn("{task.description}"), BarColumn(BAR_COLUMNS), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def doing(output: Output, what: str) -> Iterator[None]:
    """Shows on a terminal that something is being done which may take seconds; nothing anywhere else."""
    if not is_terminal(output.stream):
        yield
        return
    from rich.console import Console

    console = Console(file=output.stream, highlight=False, markup=False, no_color=not output.colour)
    with console.status(visible(what)):
        yield
