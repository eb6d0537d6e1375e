"""The vocabulary as bytes: what each token writes, whatever way the tokenizer has to say it.

Tokenizers that map bytes to letters (byte-level) and those with a token for each byte beside their pieces
(byte-fallback) look the same from here. llguidance reads both from `tokenizer.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

import llguidance
import numpy as np
import tokenizers
from numpy.typing import NDArray

from turnwise.inference.requests.refusal import Refusal

BYTES: Final = tuple(byte for byte in range(0xF5) if byte not in (0xC0, 0xC1))
"""The bytes that occur in UTF-8."""
_BEGIN: Final = "\x02"
"""Character that llguidance puts before a text to encode it as it stands within another."""


class Vocabulary:
    """The tokens of a model as bytes. `ends` are its end tokens; those that the tokenizer does not know are left out.

    Reading a vocabulary takes up to a second for 150,000 tokens, so it is read when it is first needed.
    """

    def __init__(
        self,
        inner: tokenizers.Tokenizer,
        ends: frozenset[int],
        ids_end: int | None = None,
        admits: Callable[[str], bool] = bool,
    ) -> None:
        """`ids_end`: the tokens from this id on are left out, since the graph has none of them; `admits`: whether a
        text that is not empty may be encoded."""
        self._inner = inner
        self._admits = admits
        found = max(inner.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        self._count = found if ids_end is None else min(found, ids_end)
        self.ends = tuple(token for token in sorted(ends) if token < self._count)

    @cached_property
    def trie(self) -> llguidance.LLTokenizer:
        """The tokens in the form that grammars are matched with. Raises Refusal if the tokenizer is of no such kind."""
        if not self.ends:
            raise Refusal("refused", "the model has no end token that its tokenizer knows, which a grammar needs")
        try:
            trie = llguidance.LLTokenizer(self._inner.to_str(), eos_token=list(self.ends))
            added = self._written_tokens(trie)
            return _with_bytes(trie, added, self.ends) if added else trie
        except Exception as error:  # the library raises bare Exception for everything
            raise Refusal("refused", "the model's tokenizer is of a kind that grammars do not know") from error

    def _written_tokens(self, trie: llguidance.LLTokenizer) -> dict[int, bytes]:
        """Added tokens that write their text, and that llguidance takes for special all the same: those like <…>."""
        return {
            number: str(token.content).encode()
            for number, token in self._inner.get_added_tokens_decoder().items()
            if not token.special and number not in self.ends and trie.is_special_token(number)
        }

    @cached_property
    def added_tokens(self) -> dict[str, int]:
        """The added tokens that write their text, by it."""
        added = self._inner.get_added_tokens_decoder()
        return {str(token.content): number for number, token in added.items() if not token.special}

    @cached_property
    def byte_tokens(self) -> NDArray[np.intp] | None:
        """The tokens that write one byte, for each of `BYTES`, in this order; None if one of them has no token."""
        found = []
        for byte in BYTES:
            written = bytes([byte])
            ids = self.trie.tokenize_bytes(written)
            if len(ids) != 1 or self.trie.decode_bytes(ids) != written:
                return None
            found.append(ids[0])
        return np.array(found, np.intp)

    def canonical_tokens(self, text: bytes, before: int | None, *, whole: bool) -> list[int]:
        """Tokenize `text` as the tokenizer would write it after the token `before`.

        Unless `text` is `whole`, its end is left out where what follows could change the tokens. Empty if the
        tokenizer would write something else, as those that normalise do, or a special token, or if the text may not be
        encoded.
        """
        if not self._admits(_BEGIN + text.decode(errors="replace")):
            return []
        tokens, rest = self.trie.tokenize_partial(text, recent_tokens=[] if before is None else [before])
        if whole:
            tokens, rest = tokens + (self.trie.tokenize_bytes(rest) if rest else []), b""
        if any(self.trie.is_special_token(token) or token >= self._count for token in tokens):
            return []
        return tokens if self.trie.decode_bytes(tokens) + rest == text else []

    def token_text(self, token: int) -> str:
        """Return the text of one token by itself; bytes that are not UTF-8 as U+FFFD. Empty for one that has none."""
        try:
            return self._texts[token]
        except IndexError:
            return ""

    def ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens whose text is exactly this, rising: byte-fallback vocabularies can have two of the same."""
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


class _Tokens:
    """The tokens of a trie, some with other bytes, as llguidance takes them from its callers."""

    def __init__(self, trie: llguidance.LLTokenizer, written: Mapping[int, bytes], ends: tuple[int, ...]) -> None:
        self._trie = trie
        self.eos_token_id = ends[0]
        self.bos_token_id = None
        self.tokens = [written.get(number) or trie.decode_bytes([number]) for number in range(trie.vocab_size)]
        self.special_token_ids = [
            number for number in range(trie.vocab_size) if number not in written and trie.is_special_token(number)
        ]

    def __call__(self, text: bytes) -> list[int]:
        return self._trie.tokenize_bytes(text)


def _with_bytes(
    trie: llguidance.LLTokenizer, written: Mapping[int, bytes], ends: tuple[int, ...]
) -> llguidance.LLTokenizer:
    """Return the trie in which these tokens write these bytes and are not special."""
    tokens = llguidance.TokenizerWrapper(_Tokens(trie, written, ends))
    return llguidance.LLTokenizer(tokens, eos_token=list(ends))
