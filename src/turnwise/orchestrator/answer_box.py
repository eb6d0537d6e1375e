"""Answers on their way to a run: a file beside the journal, to which anybody of its owner may add, and the run reads.

Whoever answers does not know whether the run is going on, and need not: the answer is on disk when it has been added,
and is taken by the run that goes on, or by the next that resumes. It has its effect when the round that begins with it
is committed, and is in the journal from then on. So the file may be read again, and what has been answered is passed
over. It is removed with the end of the run.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.json_text import decode
from turnwise.core.question import ANSWER_BYTES_MAX
from turnwise.errors import EnvironmentFailure

LINE_BYTES_MAX: Final = ANSWER_BYTES_MAX + 1_024
BOX_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of the file; what lies behind them is not read."""

_ENDING: Final = "-answers"


@dataclass(frozen=True, slots=True)
class BoxedAnswer:
    """One answer in the file."""

    question: int
    """Number of the question."""
    asked: str
    """SHA-256 (hex) of the question that is meant."""
    value: Any
    """JSON value of the answer."""
    token: str
    """Random text that tells it from others."""


def box_path(journal: Path) -> Path:
    """Return the file of the answers to a run."""
    return journal.with_name(journal.name + _ENDING)


def put(journal: Path, question: int, asked: str, value: Any) -> bool:
    """Add an answer, which is on disk when this returns. False if it has no effect, since another was there before."""
    token = secrets.token_hex(8)
    line = canonical({"question": question, "asked": asked, "value": value, "token": token}).encode() + b"\n"
    path = box_path(journal)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise EnvironmentFailure(
            f"the answer cannot be written: {error.strerror}",
            where=str(path),
            hint="Look at the disk, and at who may write there.",
        ) from error
    first = next(
        (entry for entry in AnswerBox(journal).take() if (entry.question, entry.asked) == (question, asked)), None
    )
    return first is None or first.token == token


class AnswerBox:
    """Reads the answers to one run, each once."""

    def __init__(self, journal: Path) -> None:
        self.path = box_path(journal)
        self._read = 0

    def take(self) -> Iterator[BoxedAnswer]:
        """Yield the answers that have been added since the last call. What is none is passed over."""
        try:
            if self.path.stat().st_size <= self._read:
                return
            with self.path.open("rb") as file:
                file.seek(self._read)
                while self._read < BOX_BYTES_MAX and (line := file.readline(LINE_BYTES_MAX)):
                    if not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
                        return  # it is still being written
                    self._read += len(line)
                    if (found := _answer(line)) is not None:
                        yield found
        except FileNotFoundError:
            return
        except OSError as error:
            raise EnvironmentFailure(
                f"the answers to the run cannot be read: {error.strerror}",
                where=str(self.path),
                hint="Look at the disk, and at who may read there.",
            ) from error

    def remove(self) -> None:
        """Remove the file: the run has ended."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def _answer(line: bytes) -> BoxedAnswer | None:
    try:
        found = decode(line.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() != {"question", "asked", "value", "token"}:
        return None
    question, asked, token = found["question"], found["asked"], found["token"]
    if type(question) is not int or type(asked) is not str or type(token) is not str:
        return None
    return BoxedAnswer(question, asked, found["value"], token)
