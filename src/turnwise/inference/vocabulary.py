"""The vocabulary as bytes: what each token writes, whatever way the tokenizer has to say it.

Tokenizers that map bytes to letters (byte-level) and those with a token for each byte beside their pieces
(byte-fallback) look the same from here. llguidance reads both from `tokenizer.json`.
"""

from __future__ import annotations

from functools import cached_property

import llguidance
import tokenizers

from turnwise.inference.refusal import Refusal


class Vocabulary:
    """What the tokens of a model write. `ends` are its end tokens; those that the tokenizer does not know are left out.

    Reading a vocabulary takes up to a second for 150,000 tokens, so it is read when it is first needed.
    """

    def __init__(self, inner: tokenizers.Tokenizer, ends: frozenset[int]) -> None:
        self._inner = inner
        self._count = max(inner.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        self._ends = [token for token in sorted(ends) if token < self._count]

    @cached_property
    def trie(self) -> llguidance.LLTokenizer:
        """The tokens in the form that grammars are matched with. Raises Refusal if the tokenizer is of no such kind."""
        if not self._ends:
            raise Refusal("refused", "the model has no end token that its tokenizer knows, which a grammar needs")
        try:
            return llguidance.LLTokenizer(self._inner.to_str(), eos_token=self._ends)
        except Exception as error:  # the library raises bare Exception for everything
            raise Refusal("refused", "the model's tokenizer is of a kind that grammars do not know") from error

    def token_text(self, token: int) -> str:
        """The text of one token by itself; bytes that are not UTF-8 as U+FFFD. Empty for one that has none."""
        try:
            return self._texts[token]
        except IndexError:
            return ""

    def ids(self, text: str) -> tuple[int, ...]:
        """The tokens whose text is exactly this, rising: byte-fallback vocabularies can have two of the same."""
        return self._by_text.get(text, ())

    @cached_property
    def _texts(self) -> list[str]:
        try:
            trie = self.trie
        except Refusal:
            return [self._inner.decode([number], skip_special_tokens=False) for number in range(self._count)]
        return [trie.decode_bytes([number]).decode(errors="replace") for number in range(self._count)]

    @cached_property
    def _by_text(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for number, text in enumerate(self._texts):
            found[text] = (*found.get(text, ()), number)
        return found
