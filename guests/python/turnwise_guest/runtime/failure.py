"""Report to an agent's author of a turn that failed: a traceback of the agent's own frames, with its own lines."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable

from turnwise_guest.jsontext import NotJSON

TEXT_CHARS_MAX = 16_384
"""Longer tracebacks lose their middle."""

CHAIN_MAX = 100
"""So many exceptions that caused each other are told; the rest of the chain is left out."""


class TurnError(Exception):
    """A fault of an agent as a whole; said without a traceback, since no line is to blame."""


def describe(error: BaseException, source: Callable[[str], str | None], is_own: Callable[[str], bool]) -> str:
    """Return the traceback of `error` as Python prints it, with the frames for which `is_own` holds of their file.

    `source` gives a file's text. Cut to `TEXT_CHARS_MAX` characters. Never raises `RecursionError`: of an exception
    that is nested too deeply to be told, only the type is.
    """
    if isinstance(error, TurnError):
        return str(error)
    try:
        return _traceback(error, source, is_own)
    except RecursionError:
        return f"{type(error).__name__}: nested too deeply to tell its traceback"


def _traceback(error: BaseException, source: Callable[[str], str | None], is_own: Callable[[str], bool]) -> str:
    _cut_chain(error)
    _offer_lines(error, source, is_own)
    # Lines are looked up when all other frames are gone: for those there is nothing to look in.
    report = traceback.TracebackException(type(error), error, error.__traceback__, compact=True, lookup_lines=False)
    _keep_own(report, is_own)
    if isinstance(error, NotJSON) and not report.stack:
        return str(error)  # the state that the agent left: it names what is wrong, and no line of the agent's does
    text = "".join(report.format()).rstrip()
    if len(text) > TEXT_CHARS_MAX:
        half = TEXT_CHARS_MAX // 2
        text = f"{text[:half]}\n  … {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def _cut_chain(error: BaseException) -> None:
    """Let go of causes and contexts beyond `CHAIN_MAX`."""
    pending = [error]
    for current in pending:
        linked = [other for other in (current.__cause__, current.__context__) if other is not None]
        if len(pending) + len(linked) > CHAIN_MAX:
            current.__cause__ = current.__context__ = None
        else:
            pending += linked


def _offer_lines(error: BaseException, source: Callable[[str], str | None], is_own: Callable[[str], bool]) -> None:
    """Give `linecache` the texts of all own files that appear in the traceback."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    for current in pending:
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        pending += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            pending += current.exceptions
        frame = current.__traceback__
        while frame is not None:
            file = frame.tb_frame.f_code.co_filename
            if file not in linecache.cache and is_own(file):
                text = source(file)
                if text is not None:
                    lines = [line + "\n" for line in text.splitlines()]
                    linecache.cache[file] = (len(text), None, lines, file)
            frame = frame.tb_next


def _keep_own(report: traceback.TracebackException, is_own: Callable[[str], bool]) -> None:
    """Drop the frames of the runtime and the SDK at any place of a chain or group of exceptions."""
    pending: list[traceback.TracebackException | None] = [report]
    for current in pending:
        if current is None:
            continue
        current.stack = traceback.StackSummary.from_list([f for f in current.stack if is_own(f.filename)])
        pending += [current.__cause__, current.__context__]
        pending += current.exceptions or []
