"""Where the command line writes: what was asked for on stdout, everything on the way there on stderr.

`Output` makes all text visible (see `turnwise.cli.text`) before it is written, whoever it comes from, and adds colour
itself. So nothing that is shown can act on the terminal, and no caller has to remember it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TextIO

from turnwise.cli.text import visible

Style = Literal["bold", "dim", "red", "green", "yellow", "cyan"]
_CODES: dict[Style, str] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}

TAB_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Styled:
    """A piece of text with a style that is nice to have: it must read as well without."""

    text: str
    style: Style


Part = str | Styled


def bold(text: str) -> Styled:
    return Styled(text, "bold")


def dim(text: str) -> Styled:
    return Styled(text, "dim")


def red(text: str) -> Styled:
    return Styled(text, "red")


def green(text: str) -> Styled:
    return Styled(text, "green")


def yellow(text: str) -> Styled:
    return Styled(text, "yellow")


def cyan(text: str) -> Styled:
    return Styled(text, "cyan")


class Output:
    """One of the two streams. Writing to a pipe whose reader has gone away is no error: `gone` turns true."""

    def __init__(self, stream: TextIO, *, colour: bool | None = None) -> None:
        self.stream = stream
        self.colour = wants_colour(stream) if colour is None else colour
        self.gone = False

    @classmethod
    def out(cls) -> Output:
        """The stream for what was asked for."""
        return cls(sys.stdout)

    @classmethod
    def err(cls) -> Output:
        """The stream for everything else: progress, notices, errors."""
        return cls(sys.stderr)

    def line(self, *parts: Part, indent: int = 0) -> None:
        """One line. Line breaks within the parts are shown as such and break nothing."""
        self.write(" " * indent + "".join([self._shown(part) for part in parts]).rstrip() + "\n")

    def block(self, text: str, *, indent: int = 0, first: Part = "", style: Style | None = None) -> None:
        """Text of several lines, indented; `first` stands before the first of them."""
        head = self._shown(first)
        for shown in visible(text, lines=True).expandtabs(TAB_COLUMNS).split("\n"):
            self.write(f"{' ' * indent}{head}{self._styled(shown, style)}".rstrip() + "\n")
            width = len(first if isinstance(first, str) else first.text)
            head = " " * width

    def write(self, text: str) -> None:
        """Writes text that is fit to be shown as it is: our own, or JSON of ASCII alone."""
        if self.gone:
            return
        try:
            self.stream.write(text)
        except BrokenPipeError:
            self._went()

    def flush(self) -> None:
        if self.gone:
            return
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._went()

    def _went(self) -> None:
        """Nobody reads any more. What is still buffered must not fail when the interpreter exits."""
        self.gone = True
        try:
            descriptor = self.stream.fileno()
        except (OSError, ValueError):
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)

    def _shown(self, part: Part) -> str:
        if isinstance(part, str):
            return visible(part)
        return self._styled(visible(part.text), part.style)

    def _styled(self, shown: str, style: Style | None) -> str:
        if style is None or not self.colour or not shown:
            return shown
        return f"\x1b[{_CODES[style]}m{shown}\x1b[0m"


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream gets colour: NO_COLOR says no, FORCE_COLOR yes, else whether it is a terminal that has any."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return environment.get("TERM") != "dumb" and stream.isatty()


def is_terminal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether lines that were written can be written over, as a live display does."""
    return stream.isatty() and environment.get("TERM", "dumb") != "dumb"


def prepare_streams() -> None:
    """Make both streams take any text, and exist: a program may be started with either closed.

    Without this, `print(file=sys.stderr)` with stderr closed would write to stdout.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - lives as long as the program
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
