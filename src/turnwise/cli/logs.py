"""Logs of agents, shown while a run is played."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, get_args

from turnwise.cli.output import TEXT_COLUMNS_MIN, Output, Part, Style, Styled
from turnwise.cli.text import shorten
from turnwise.visible_text import visible

if TYPE_CHECKING:
    from turnwise.core.turn import LogLevel
    from turnwise.orchestrator.logs import Logged

LogChoice = Literal["debug", "info", "warning", "error", "none"]
"""The lowest level that is shown, or none."""
CHOICES: Final[tuple[LogChoice, ...]] = get_args(LogChoice)

NAME_COLUMNS: Final = 10
TEXT_CHARS_MAX: Final = 4_000
LOGS_AT_ONCE_MAX: Final = 100
"""Number of lines shown of those that came since the display was drawn; the others are counted."""
_STYLES: Final[dict[str, Style]] = {"debug": "dim", "warning": "yellow", "error": "red"}


def is_shown(level: LogLevel, least: LogChoice) -> bool:
    """Return True if `level` is `least` or above."""
    return CHOICES.index(level) >= CHOICES.index(least)


def lines_of(said: Logged, width: int | None) -> list[tuple[Part, ...]]:
    """Return the lines for one log, broken between words where they are wider than `width`; None: wherever they end.

    The agent's name stands before them. Of several lines the first is a heading, and a blank line follows. What goes
    on in the next line is indented by two more than what it belongs to.
    """
    text = visible(shorten(said.text.rstrip("\n"), TEXT_CHARS_MAX), lines=True).expandtabs(4)
    if said.level in ("warning", "error"):
        text = f"{said.level}: {text}"
    first, *others = text.split("\n")
    label = f"{said.agent:<{NAME_COLUMNS}}" if len(said.agent) < NAME_COLUMNS else f"{said.agent}  "
    room = None if width is None else width - NAME_COLUMNS - 1
    style = _STYLES.get(said.level)
    heading: Style | None = "bold" if others and style is None else style
    lines: list[tuple[Part, ...]] = []
    for number, line in enumerate(_broken(first, room)):
        start: Part = " " * NAME_COLUMNS if number else Styled(label, "cyan")
        lines.append((start, Styled(line, heading) if heading else line))
    for line in others:
        lines += [(" " * NAME_COLUMNS, Styled(part, style) if style else part) for part in _broken(line, room)]
    return [*lines, ()] if others else lines


def write(said: Logged, output: Output) -> None:
    """Write one log."""
    for line in lines_of(said, output.width):
        output.line(*line)
    output.flush()


def _broken(line: str, room: int | None) -> Sequence[str]:
    if room is None or len(line) <= room:
        return [line]
    bare = line.lstrip(" ")
    indent = " " * min(len(line) - len(bare), TEXT_COLUMNS_MIN)
    return textwrap.wrap(
        bare,
        max(room, len(indent) + TEXT_COLUMNS_MIN),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    ) or [""]
