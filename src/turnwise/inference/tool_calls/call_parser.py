"""Calls of tools in the text of an answer, found while it comes.

The grammar of the answer has made sure that what begins like a call is one, so its parts are told as soon as they are
there. Space before a call belongs to no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from turnwise.inference.plans.tool_form import CALL_ID, CALL_ID_CHARS, ToolForm
from turnwise.inference.tool_calls.form_texts import begin_mark, escaped, shown_head, without_specials


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the answer that is no call."""

    text: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """Part of a call: its name, with which it begins, or a piece of its arguments.

    - `index`: of the call in the answer
    - `name`: of the tool; None for a piece of arguments
    - `arguments`: JSON text, in pieces
    """

    index: int
    name: str | None
    arguments: str = ""


Delta = TextDelta | CallDelta
State = Literal["text", "head", "name", "arguments", "after"]


class CallParser:
    """Take the text of an answer in pieces; give out its parts. `calls` is the number of calls that have begun."""

    def __init__(self, form: ToolForm) -> None:
        mark, special = begin_mark(form)
        self._head = shown_head(form)
        self._mark = self._head if special else mark
        self._middle = without_specials(form.middle, form)
        joint = None if form.joint is None else without_specials(form.joint, form)
        slot = f"[a-zA-Z0-9]{{{CALL_ID_CHARS}}}"
        self._joint = None if joint is None else re.compile(slot.join(map(escaped, joint.split(CALL_ID))))
        self._state: State = "text"
        self._text = ""
        self._depth = 0
        self._quoted = self._escaped = False
        self.calls = 0

    def feed(self, text: str) -> list[Delta]:
        """Take a piece of text; return what is known now."""
        self._text += text
        return list(self._parts())

    def rest(self) -> list[Delta]:
        """Return what was held back, when no more text comes."""
        text, self._text = self._text, ""
        return [TextDelta(text)] if text and self._state in ("text", "head") else []

    def _parts(self) -> Iterator[Delta]:
        before: State | None = None
        while self._state != before:
            before = self._state
            if before == "text":
                yield from self._plain()
            elif before == "head" and self._text.startswith(self._head):
                self._text = self._text[len(self._head) :]
                self._state = "name"
            elif before == "name" and self._middle in self._text:
                name, _, self._text = self._text.partition(self._middle)
                yield CallDelta(self.calls, name)
                self.calls += 1
                self._state = "arguments"
            elif before == "arguments":
                yield from self._arguments()
            elif before == "after" and self._joint is not None and (found := self._joint.match(self._text)):
                self._text = self._text[found.end() :]
                self._state = "name"

    def _plain(self) -> Iterator[Delta]:
        place = self._text.find(self._mark)
        if place >= 0:
            text, self._text = self._text[:place].rstrip(), self._text[place:]
            self._state = "head"
        else:
            known = self._text[: len(self._text) - _overlap(self._text, self._mark)].rstrip()
            text, self._text = known, self._text[len(known) :]
        if text:
            yield TextDelta(text)

    def _arguments(self) -> Iterator[Delta]:
        """Follow the braces of a JSON object to its end."""
        for place, letter in enumerate(self._text):
            if self._escaped:
                self._escaped = False
            elif self._quoted:
                self._escaped, self._quoted = letter == "\\", letter != '"'
            elif letter == '"':
                self._quoted = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if self._depth == 0:
                    text, self._text = self._text[: place + 1], self._text[place + 1 :]
                    self._state = "after"
                    yield CallDelta(self.calls - 1, None, text)
                    return
        text, self._text = self._text, ""
        if text:
            yield CallDelta(self.calls - 1, None, text)


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that is a beginning of `mark`."""
    return next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:size])), 0)
