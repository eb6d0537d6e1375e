"""Expressions as programs of a machine that matches by trying, as Oniguruma does: steps, and places to go back to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from turnwise.inference.text.expression.syntax import (
    Anchored,
    Atomic,
    Char,
    Choice,
    Node,
    Repeat,
    Uncountable,
    parse,
)

STEPS_COUNT_MAX: Final = 10_000
BEHIND_CHARS_MAX: Final = 16


class Op(IntEnum):
    """Kind of a step."""

    CHAR = 0
    SPLIT = 1
    JUMP = 2
    MATCH = 3
    PLACE = 4
    LOOK = 5
    BEHIND = 6
    ATOMIC = 7


Step = tuple[Op, int, int]
"""A step and its two numbers.

CHAR: the bit of its class. SPLIT: where to go, and where if that fails. JUMP: where to go. PLACE: number of the anchor.
LOOK, BEHIND, ATOMIC: number of the inner program, and 1 for one that must not match.
"""


@dataclass(slots=True)
class MatchProgram:
    """A program. `chars` are the texts of its classes, by bit; `inner` the programs of its looks, with the numbers of
    characters that each can match (behind)."""

    steps: list[Step] = field(default_factory=list)
    chars: list[str] = field(default_factory=list)
    inner: list[tuple[list[Step], tuple[int, ...]]] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)


def compile_expression(expression: str) -> MatchProgram:
    """Compile an expression. Raises Uncountable."""
    program = MatchProgram()
    program.steps = _Compiler(program).whole(parse(expression))
    return program


class _Compiler:
    def __init__(self, program: MatchProgram) -> None:
        self._program = program
        self._steps: list[Step] = []

    def whole(self, node: Node) -> list[Step]:
        self._node(node)
        self._add(Op.MATCH)
        return self._steps

    def _add(self, op: Op, first: int = 0, second: int = 0) -> int:
        if len(self._steps) >= STEPS_COUNT_MAX:
            raise Uncountable(f"takes more than {STEPS_COUNT_MAX} steps written out")
        self._steps.append((op, first, second))
        return len(self._steps) - 1

    def _node(self, node: Node) -> None:
        program = self._program
        if isinstance(node, Char):
            self._add(Op.CHAR, 1 << _index(program.chars, node.text))
        elif isinstance(node, Anchored):
            if node.anchor in "bB":
                _index(program.chars, r"\w")
            self._add(Op.PLACE, _index(program.anchors, node.anchor))
        elif isinstance(node, Choice):
            self._choice(node)
        elif isinstance(node, Repeat):
            self._repeat(node)
        elif isinstance(node, Atomic):
            self._add(Op.ATOMIC, self._inner(node.part, ()))
        elif node.ahead:
            self._add(Op.LOOK, self._inner(node.part, ()), int(node.negated))
        else:
            lengths = tuple(sorted({_length(branch) for branch in node.part.branches}))
            self._add(Op.BEHIND, self._inner(node.part, lengths), int(node.negated))

    def _inner(self, part: Choice, lengths: tuple[int, ...]) -> int:
        self._program.inner.append((_Compiler(self._program).whole(part), lengths))
        return len(self._program.inner) - 1

    def _choice(self, node: Choice) -> None:
        jumps = []
        for branch in node.branches[:-1]:
            split = self._add(Op.SPLIT, len(self._steps) + 1)
            for item in branch:
                self._node(item)
            jumps.append(self._add(Op.JUMP))
            self._steps[split] = (Op.SPLIT, split + 1, len(self._steps))
        for item in node.branches[-1]:
            self._node(item)
        for jump in jumps:
            self._steps[jump] = (Op.JUMP, len(self._steps), 0)

    def _repeat(self, node: Repeat) -> None:
        if node.possessive:
            self._add(Op.ATOMIC, self._inner(Choice(((Repeat(node.part, node.least, node.most),),)), ()))
            return
        for _ in range(node.least):
            self._node(node.part)
        if node.most is None:
            if _can_be_empty(node.part):
                raise Uncountable("repeats without end what can be empty")
            split = self._add(Op.SPLIT)
            self._node(node.part)
            self._add(Op.JUMP, split)
            self._steps[split] = self._split(split + 1, len(self._steps), node.lazy)
            return
        splits = []
        for _ in range(node.most - node.least):
            splits.append(self._add(Op.SPLIT))
            self._node(node.part)
        for split in splits:
            self._steps[split] = self._split(split + 1, len(self._steps), node.lazy)

    def _split(self, into: int, past: int, lazy: bool) -> Step:
        return (Op.SPLIT, past, into) if lazy else (Op.SPLIT, into, past)


def _index(texts: list[str], text: str) -> int:
    if text not in texts:
        texts.append(text)
    return texts.index(text)


def _can_be_empty(node: Node) -> bool:
    if isinstance(node, Char):
        return False
    if isinstance(node, Repeat):
        return not node.least or _can_be_empty(node.part)
    if isinstance(node, Choice):
        return any(all(_can_be_empty(item) for item in branch) for branch in node.branches)
    return not isinstance(node, Atomic) or _can_be_empty(node.part)


def _length(items: Sequence[Node]) -> int:
    """Return the number of characters that a branch behind a place has."""
    length = 0
    for item in items:
        if isinstance(item, Char):
            length += 1
        elif isinstance(item, Repeat) and item.least == item.most:
            length += item.least * _length([item.part])
        elif not isinstance(item, Anchored):
            raise Uncountable("looks behind for what has no fixed length")
    if length > BEHIND_CHARS_MAX:
        raise Uncountable(f"looks behind by more than {BEHIND_CHARS_MAX} characters")
    return length
