"""Pieces of prompts: where one is cut, how wide its mask is, and what of it another prompt can take. Numbers only.

On the CPU none of that shows in the bits. On CUDA all of it does, so all of it is a function of the prompt's length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from turnwise.inference.decoding.memory_budget import ROUND_UP_TOKENS

WIDTH_MIN_TOKENS: Final = 1024
"""Tokens up to which all prompts share one width of mask, where that width shows in the bits."""


@dataclass(frozen=True, slots=True)
class PromptPieces:
    """Pieces of at most `size` tokens, for a context of `context_length`.

    - `on_grid`: where pieces begin shows in the bits, so all but the last are of that size, and only whole ones are
      reused
    - `wide`: how wide the mask is shows, too, so its width is a function of the prompt's length, and pieces are filled
      up to one size
    """

    size: int
    context_length: int
    on_grid: bool = False
    wide: bool = False

    def width(self, tokens: int) -> int:
        """Return the width of a prompt's mask, the same in all its pieces; 0 if it does not show in the bits.

        What one prompt leaves behind is of use to another of the same width only.
        """
        if not self.wide:
            return 0
        width = WIDTH_MIN_TOKENS
        while width < tokens:
            width *= 2
        return min(width, -(-max(self.context_length, tokens) // ROUND_UP_TOKENS) * ROUND_UP_TOKENS)

    def cut(self, tokens: int) -> list[int]:
        """Return the number of tokens in each piece of a prompt, where that shows in the bits; else it is one piece."""
        if not self.on_grid or tokens <= self.size:
            return [tokens]
        whole, rest = divmod(tokens, self.size)
        if rest == 1:  # a single token would be run by other arithmetic, so the piece before gives up one of its own
            return [*[self.size] * (whole - 1), self.size - 1, 2]
        return [*[self.size] * whole, *[rest] * (rest > 0)]

    def filling(self, past: int, new: int, width: int) -> int:
        """Return how many tokens fill a piece up to the size of whole ones; 0 where it would reach beyond its width.

        Pieces of one size have one shape, and their kernels are those of all of them.
        """
        return self.size - new if self.wide and new <= self.size and past + self.size <= width else 0

    def reusable(self, tokens: int) -> int:
        """Return how many first tokens of a prompt another prompt can take, of those that are known."""
        return tokens // self.size * self.size if self.on_grid else tokens

    def keepable(self, tokens: int) -> int:
        """Return how many first tokens of a prompt another prompt may take: those of its whole pieces."""
        if not self.on_grid:
            return tokens
        return sum(piece for piece in self.cut(tokens) if piece == self.size)
