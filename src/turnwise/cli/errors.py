"""Errors as the program reports them, and its exit codes.

| code | meaning |
|---|---|
| 0 | done |
| 1 | the run failed |
| 2 | wrong usage or input; nothing has been changed |
| 3 | a difference was found |
| 130 | interrupted (SIGINT, Ctrl-C) |
| 143 | interrupted (SIGTERM) |
"""

from __future__ import annotations

import os
import tempfile
import traceback

import typer

from turnwise.cli.interrupts import INTERRUPTED, TERMINATED, exit_code
from turnwise.cli.output import Output, Part, Styled, bold, dim
from turnwise.cli.text import json_text, shorten
from turnwise.errors import DifferenceFound, InvariantError, TurnwiseError, WorldError
from turnwise.visible_text import visible

DONE = 0
FAILED = 1
WRONG = 2
DIFFERENT = 3

DEBUG_VARIABLE = "TURNWISE_DEBUG"
VALUE_CHARS_MAX = 400

UsageMistake = typer.BadParameter.__bases__[0].__bases__[0]
"""Root of what typer raises for options and arguments that it cannot take. (It has no public name of its own.)"""


def report(error: BaseException, output: Output) -> int:
    """Say what is wrong, where, and what to do; return the exit code."""
    match error:
        case KeyboardInterrupt() | typer.Abort():
            output.line(bold("interrupted"))
            return exit_code(error)
        case InvariantError():
            _report_defect(error, output)
            return FAILED
        case WorldError():
            _report_problems(error, output)
            return error.exit_code
        case TurnwiseError():
            _report_error(error, output)
            return error.exit_code
        case _ if isinstance(error, UsageMistake):
            return _report_usage(error, output)
        case OSError():
            message = error.strerror or str(error)
            where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
            output.line(_label(), f"{where}{message}")
            output.line(f"The operating system refused it. {DEBUG_VARIABLE}=1 shows where it was asked.", indent=2)
            _trace(error, output)
            return FAILED
        case _:
            _report_defect(error, output)
            return FAILED


def as_json(error: BaseException, code: int) -> dict[str, object]:
    """The error as a member of the object that `--json` prints."""
    if isinstance(error, WorldError):
        problems = [{"where": p.where, "message": p.message, "hint": p.hint} for p in error.problems]
        return {"message": "the world has problems", "where": None, "hint": None, "problems": problems, "exit": code}
    if isinstance(error, TurnwiseError):
        return {"message": error.message, "where": error.where, "hint": error.hint, "exit": code}
    interrupted = isinstance(error, KeyboardInterrupt | typer.Abort)
    message = "it was interrupted" if interrupted else _described(error)
    return {"message": message, "where": None, "hint": None, "exit": code}


def json_line(error: BaseException, code: int) -> str:
    """Return the object of `--json` for a command that failed before it had a run: the usual keys, and the error."""
    usual: dict[str, object] = dict.fromkeys(("head", "rounds", "turns", "result", "journal"))
    status = "interrupted" if code in (INTERRUPTED, TERMINATED) else "error"
    return json_text({**usual, "status": status, "error": as_json(error, code)}) + "\n"


def _label() -> Styled:
    return Styled("error: ", "red")


def _report_error(error: TurnwiseError, output: Output) -> None:
    where = f"{error.where}: " if error.where else ""
    _paragraph(_label(), f"{where}{error.message}", output)
    if isinstance(error, DifferenceFound) and (error.expected is not None or error.actual is not None):
        output.line(dim("expected  "), shorten(str(error.expected), VALUE_CHARS_MAX), indent=2)
        output.line(dim("found     "), shorten(str(error.actual), VALUE_CHARS_MAX), indent=2)
    if error.hint:
        _hint(error.hint, output)


def _report_problems(error: WorldError, output: Output) -> None:
    for problem in error.problems:
        _paragraph(_label(), f"{problem.where}: {problem.message}", output)
        if problem.hint:
            _hint(problem.hint, output)


def _hint(hint: str, output: Output) -> None:
    for line in hint.split("\n"):
        output.line(line, indent=2)


def _paragraph(first: Part, text: str, output: Output) -> None:
    """The first line after its label, the others indented below it."""
    head, *rest = text.split("\n")
    output.line(first, head)
    for line in rest:
        output.line(line, indent=2)


def _report_usage(error: BaseException, output: Output) -> int:
    context = getattr(error, "ctx", None)
    message = _described(error)
    if type(error).__name__ == "NoArgsIsHelpError":  # no command at all: its text is the help
        output.block(message)
        return WRONG
    _paragraph(_label(), message, output)
    if context is not None:
        output.line(f"{context.command_path} --help shows how it is used.", indent=2)
    return WRONG


def _report_defect(error: BaseException, output: Output) -> None:
    output.line(_label(), f"this is a defect in Turnwise, not your mistake: {_described(error)}")
    if os.environ.get(DEBUG_VARIABLE):
        _trace(error, output)
        return
    written = _write_traceback(error)
    if written:
        output.line(f"Please report it, with the traceback in {written}", indent=2)
    else:
        output.line(f"Please report it, with the traceback that {DEBUG_VARIABLE}=1 shows.", indent=2)


def _described(error: BaseException) -> str:
    format_message = getattr(error, "format_message", None)
    if format_message is not None:
        return str(format_message())
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _trace(error: BaseException, output: Output) -> None:
    if os.environ.get(DEBUG_VARIABLE):
        output.block("".join(traceback.format_exception(error)).rstrip("\n"))


def _write_traceback(error: BaseException) -> str | None:
    """Keep the traceback in a file that only the user can read; None if there is no place for it."""
    try:
        descriptor, path = tempfile.mkstemp(prefix="turnwise-defect-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(visible("".join(traceback.format_exception(error)), lines=True))
    except OSError:
        return None
    return path
