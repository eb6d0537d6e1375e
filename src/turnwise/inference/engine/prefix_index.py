"""Index of prompts that have been prefilled: tokens to the blocks that hold their KV. Numbers only.

A tree of blocks: a block holds BLOCK_TOKENS tokens that follow those of its parent, and is found by comparing tokens.
Only what prefill wrote comes in here, never what decode wrote (unless equal bits are given up): a step of one token
uses other arithmetic, and a prompt must give the same bits whether it was seen before or not. Beyond the last block
that is equal as a whole, the equal beginning of one more is used.

The block that was used longest ago makes room; a use counts for a block and all before it, the root last, so what is
dropped has never a successor. What none of many prompts has used is dropped too, so that memory is given back. "Ago"
counts uses, and prompts; there is no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import Final

from turnwise.errors import InvariantError
from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS

SIBLINGS_COMPARED_MAX: Final = 32
PROMPTS_MAX: Final = 2_048
"""Prompts none of which has used a block that is dropped."""


class _Root:
    """The beginning of all prompts: no tokens, and the blocks that may be first."""

    __slots__ = ("children",)

    def __init__(self) -> None:
        self.children: dict[tuple[int, ...], _Node] = {}


class _Node(_Root):
    """A block, the tokens that it holds, and the block before it."""

    __slots__ = ("block", "parent", "tokens", "used")

    def __init__(self, block: int, tokens: tuple[int, ...], parent: _Root) -> None:
        super().__init__()
        self.block = block
        self.tokens = tokens
        self.parent = parent
        self.used = 0


class PrefixIndex:
    """Tokens to blocks, of which there are `blocks_max`.

    What the last `prompts_max` prompts that were looked for did not use is dropped; None: only where room is wanted.
    """

    def __init__(self, blocks_max: int, prompts_max: int | None = None) -> None:
        if blocks_max < 0:
            raise InvariantError(f"{blocks_max} blocks")
        self._prompts_max = prompts_max
        self._prompts = 0
        self._dropped: list[int] = []
        self._free = list(range(blocks_max - 1, -1, -1))
        self._roots: dict[int, _Root] = {}
        self._used: OrderedDict[int, _Node] = OrderedDict()

    def __len__(self) -> int:
        """Number of blocks in use."""
        return len(self._used)

    def find(self, tokens: Sequence[int], count_max: int, width: int = 0) -> list[BlockSpan]:
        """Find the longest beginning of `tokens` that is here, at most `count_max` of them, as spans in order.

        What was run with masks of another `width` has other bits on some devices, so it is not taken.
        """
        spans: list[BlockSpan] = []
        node: _Root = self._root(width)
        start = 0
        self._prompts += 1
        while start < count_max:
            wanted = tuple(tokens[start : min(start + BLOCK_TOKENS, count_max)])
            child = node.children.get(wanted)
            count = len(wanted)
            if child is None:
                child, count = _alike(node, wanted)
                if child is None:
                    break
            spans.append(BlockSpan(child.block, start, count))
            node = child
            start += count
            if count < BLOCK_TOKENS:
                break
        self._touch(node)
        self._drop_unused()
        return spans

    def dropped(self) -> list[int]:
        """Return the blocks that were dropped since this was last asked, and that hold nothing now."""
        dropped, self._dropped = self._dropped, []
        return [block for block in dropped if block not in self._used]

    def insert(self, tokens: Sequence[int], width: int = 0, held_from: int = 0) -> list[BlockSpan]:
        """Take in the whole blocks of `tokens`; returns the new ones, into which their KV is to be copied.

        What lies before the token `held_from` cannot be copied any more: where it is missing, nothing is taken in.
        """
        node: _Root = self._root(width)
        start = 0
        added: list[BlockSpan] = []
        path: set[int] = set()
        whole = len(tokens) - len(tokens) % BLOCK_TOKENS
        while start < whole:
            wanted = tuple(tokens[start : start + BLOCK_TOKENS])
            child = node.children.get(wanted)
            if child is None:
                block = self._take(path) if start >= held_from else None
                if block is None:
                    break
                child = _Node(block, wanted, node)
                node.children[wanted] = child
                added.append(BlockSpan(block, start, BLOCK_TOKENS))
            self._used[child.block] = child
            self._used.move_to_end(child.block)
            path.add(child.block)
            node = child
            start += BLOCK_TOKENS
        self._touch(node)
        return added

    def _root(self, width: int) -> _Root:
        return self._roots.setdefault(width, _Root())

    def _touch(self, node: _Root) -> None:
        while isinstance(node, _Node):
            self._used.move_to_end(node.block)
            node.used = self._prompts
            node = node.parent

    def _drop_unused(self) -> None:
        while self._prompts_max is not None and self._used:
            block, node = next(iter(self._used.items()))
            if node.used + self._prompts_max >= self._prompts:
                break
            self._remove(block)
            self._free.append(block)
            self._dropped.append(block)

    def _take(self, path: set[int]) -> int | None:
        """Take a free block, or that which was used longest ago unless it belongs to `path`."""
        if self._free:
            return self._free.pop()
        oldest = next(iter(self._used), None)
        if oldest is None or oldest in path:
            return None
        self._remove(oldest)
        return oldest

    def _remove(self, block: int) -> None:
        node = self._used.pop(block)
        if node.children:
            raise InvariantError(f"block {block} would be dropped before its successors")
        del node.parent.children[node.tokens]


def _alike(node: _Root, wanted: tuple[int, ...]) -> tuple[_Node | None, int]:
    """Find the successor that shares most of the beginning of `wanted`, and how many tokens; of the latest few."""
    best, most = None, 0
    for child in islice(reversed(node.children.values()), SIBLINGS_COMPARED_MAX):
        count = 0
        for ours, theirs in zip(wanted, child.tokens, strict=False):
            if ours != theirs:
                break
            count += 1
        if count > most:
            best, most = child, count
    return best, most
