"""The syntax of Oniguruma's expressions (as in Ruby), as far as the steps of matching them can be counted.

What one character matches is left as text (`[^\\s\\p{L}]`, `\\d`, `.`): the library itself says which characters those
are. Everything else becomes a tree. Raises Uncountable for what is beyond it: references to groups, calls, conditions,
and whatever else makes the steps depend on more than a place in the text.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Final, Literal

DEPTH_MAX: Final = 32
REPEATS_MAX: Final = 1_000
EXPRESSION_CHARS_MAX: Final = 20_000

FOLDED_PAIRS: Final = ("ff", "fi", "fl", "ss", "st")
"""Letters that one character can stand for where case is ignored (ﬁ, ß)."""

AnchorName = Literal["^", "$", "A", "z", "Z", "b", "B"]
ANCHORS: Final[tuple[AnchorName, ...]] = ("A", "z", "Z", "b", "B")

_ESCAPED_CLASS = re.compile(r"\\(?:[dDsSwWhH]|[pP]\{\^?[A-Za-z0-9_ -]+\})")
_ESCAPED_CHAR = re.compile(
    r"\\(?:x\{[0-9A-Fa-f]{1,8}\}|x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{4}|[ntrfvae]|[^A-Za-z0-9])", re.DOTALL
)
_GROUP = re.compile(r"\((?:\?(:|=|!|>|<=|<!|i:|<[A-Za-z_]\w*>))?")
_INTERVAL = re.compile(r"\{(\d*)(,?)(\d*)\}")


class Uncountable(ValueError):
    """Raised for an expression whose steps cannot be counted; the message says why."""


@dataclass(frozen=True, slots=True)
class Char:
    """One character: `text` is the part of the expression that matches it."""

    text: str


@dataclass(frozen=True, slots=True)
class Anchored:
    """A place between two characters, such as the beginning of a line."""

    anchor: AnchorName


@dataclass(frozen=True, slots=True)
class Choice:
    """Alternatives, the first that matches counts. Each is a sequence."""

    branches: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part, `least` to `most` times (None: without end).

    - `lazy`: as few as will do
    - `possessive`: what was taken is not given back
    """

    part: Node
    least: int
    most: int | None
    lazy: bool = False
    possessive: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A part that must match here (`ahead`), or before here, or must not (`negated`); takes no characters."""

    part: Choice
    ahead: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class Atomic:
    """A part whose first match is not tried again."""

    part: Choice


Node = Char | Anchored | Choice | Repeat | Look | Atomic


def parse(expression: str) -> Choice:
    """Read an expression. Raises Uncountable."""
    if len(expression) > EXPRESSION_CHARS_MAX:
        raise Uncountable(f"has more than {EXPRESSION_CHARS_MAX} characters")
    reader = _SyntaxReader(expression)
    found = reader.choice(0, folded=False)
    if reader.at < len(expression):
        raise Uncountable("has a parenthesis too many")
    return found


class _SyntaxReader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def choice(self, depth: int, *, folded: bool) -> Choice:
        """Read alternatives up to a closing parenthesis or the end. `folded`: case is ignored."""
        if depth > DEPTH_MAX:
            raise Uncountable("is nested too deeply")
        branches: list[tuple[Node, ...]] = []
        items: list[Node] = []
        while self.at < len(self._text) and self._text[self.at] != ")":
            if self._text[self.at] == "|":
                self.at += 1
                branches.append(_whole(items, folded))
                items = []
            elif self._text.startswith("(?i)", self.at):
                self.at += 4
                folded = True
            else:
                items.append(self._repeated(self._item(depth, folded)))
        branches.append(_whole(items, folded))
        return Choice(tuple(branches))

    def _item(self, depth: int, folded: bool) -> Node:
        here = self._text[self.at]
        if here == "(":
            return self._group(depth, folded)
        if here == "[":
            return _char(self._class(), folded)
        if here in "*+?":
            raise Uncountable("repeats nothing")
        if here in "^$":
            self.at += 1
            return Anchored("^" if here == "^" else "$")
        if here != "\\":
            self.at += 1
            return _char(here if here == "." else re.escape(here), folded)
        for anchor in ANCHORS:
            if self._text.startswith(f"\\{anchor}", self.at):
                self.at += 2
                return Anchored(anchor)
        match = self._take(_ESCAPED_CLASS) or self._take(_ESCAPED_CHAR)
        if match is None:
            raise Uncountable(f"uses {self._text[self.at : self.at + 2]!r}")
        return _char(match[0], folded)

    def _group(self, depth: int, folded: bool) -> Node:
        match = self._take(_GROUP)
        kind = "" if match is None else match[1] or ""
        if match is None or (not kind and self._text.startswith("?", self.at)):
            raise Uncountable(f"uses {self._text[self.at - 1 : self.at + 3]!r}")
        inner = self.choice(depth + 1, folded=folded or kind == "i:")
        if not self._text.startswith(")", self.at):
            raise Uncountable("has a parenthesis that is not closed")
        self.at += 1
        if kind in ("=", "!", "<=", "<!"):
            return Look(inner, ahead="<" not in kind, negated="!" in kind)
        return Atomic(inner) if kind == ">" else inner

    def _class(self) -> str:
        """Read a class in brackets, with those inside it."""
        start, depth = self.at, 0
        while self.at < len(self._text):
            here = self._text[self.at]
            self.at += 2 if here == "\\" else 1
            if here == "[":
                depth += 1
                self.at += self._text.startswith("^", self.at)
                if self._text.startswith("]", self.at):
                    raise Uncountable("has a class that begins with ]")
            elif here == "]":
                depth -= 1
                if not depth:
                    return self._text[start : self.at]
        raise Uncountable("has a class that is not closed")

    def _repeated(self, part: Node) -> Node:
        """Read what says how often a part is repeated."""
        while self.at < len(self._text) and self._text[self.at] in "*+?{":
            here = self._text[self.at]
            least, most = (0, None) if here == "*" else (1, None) if here == "+" else (0, 1)
            if here == "{":
                match = self._take(_INTERVAL)
                if match is None or not (match[1] or match[3]):
                    raise Uncountable("has a brace that is no interval")
                least = int(match[1] or 0)
                most = (int(match[3]) if match[3] else None) if match[2] else least
                if max(least, most or 0) > REPEATS_MAX or (most is not None and most < least):
                    raise Uncountable(f"repeats more than {REPEATS_MAX} times, or fewer times than at least")
            else:
                self.at += 1
            after = self._text[self.at : self.at + 1]
            lazy = after == "?"
            if lazy and here == "{" and most == least:
                raise Uncountable("has a number of times that is lazy")
            possessive = after == "+" and here != "{"
            self.at += lazy or possessive
            part = Repeat(part, least, most, lazy, possessive)
        return part


def _char(text: str, folded: bool) -> Char:
    if not folded:
        return Char(text)
    if not text.isascii() or (text[0] == "[" and ("\\" in text or "^" in text or "[" in text[1:])) or text[:2] == "\\p":
        raise Uncountable("ignores case of other letters than a to z")
    return Char(f"(?i:{text})")


def _whole(items: list[Node], folded: bool) -> tuple[Node, ...]:
    if folded:
        chars = [item.text[4:-1].lower() if isinstance(item, Char) else " " for item in items]
        if any("".join(pair) in FOLDED_PAIRS for pair in itertools.pairwise(chars)):
            raise Uncountable("ignores case of letters that one character can stand for")
    return tuple(items)
