"""Text to tokens and back, by the `tokenizer.json` of a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers

from turnwise.errors import ModelError
from turnwise.inference.grammar import Grammars
from turnwise.inference.text import TokenText
from turnwise.inference.vocabulary import Vocabulary


class Tokenizer:
    """A model's tokenizer. `bos` is the token that begins every prompt, once, or None for models without one."""

    def __init__(self, inner: tokenizers.Tokenizer, bos: int | None) -> None:
        self._inner = inner
        self.bos = bos
        self.ids_end = max(inner.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        self._vocabularies: dict[frozenset[int], Vocabulary] = {}
        self._grammars: dict[frozenset[int], Grammars] = {}
        self._special = frozenset(number for number, token in inner.get_added_tokens_decoder().items() if token.special)

    def encode(self, text: str) -> list[int]:
        """Ids of a prompt. Special tokens that stand in the text are recognised, as in a rendered chat template.

        If the model wants BOS, the prompt begins with exactly one, whether or not the text begins with it.
        """
        ids: list[int] = self._inner.encode(text, add_special_tokens=False).ids
        if self.bos is None:
            return ids
        start = 0
        while start < len(ids) and ids[start] == self.bos:
            start += 1
        return [self.bos, *ids[start:]]

    def vocabulary(self, ends: frozenset[int]) -> Vocabulary:
        """What the tokens write, for grammars and single tokens. `ends` are the model's end tokens."""
        if ends not in self._vocabularies:
            self._vocabularies[ends] = Vocabulary(self._inner, ends)
        return self._vocabularies[ends]

    def grammars(self, ends: frozenset[int]) -> Grammars:
        """Compiles grammars for these tokens. `ends` are the model's end tokens."""
        if ends not in self._grammars:
            self._grammars[ends] = Grammars(self.vocabulary(ends))
        return self._grammars[ends]

    def is_special(self, token: int) -> bool:
        """Whether the token marks structure and has no text of its own."""
        return token in self._special

    def text(self, prompt: Sequence[int]) -> TokenText:
        """A decoder for what is generated after `prompt`."""
        return TokenText(lambda ids: str(self._inner.decode(ids, skip_special_tokens=True)), prompt)


def read_tokenizer(path: Path, *, bos: int | None, add_bos: bool) -> Tokenizer:
    """Read `tokenizer.json`. `bos` is the model's BOS token, used if the file or `add_bos` says that prompts have it.

    Raises ModelError if the file is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
        inner = tokenizers.Tokenizer.from_str(text)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except Exception as error:  # the library raises bare Exception for everything
        raise ModelError(
            f"is not a tokenizer: {error}",
            where=str(path),
            expected="the tokenizer.json of the Hugging Face tokenizers library",
            hint="Copy tokenizer.json again from where the model comes from.",
        ) from error
    inner.no_truncation()
    inner.no_padding()
    return Tokenizer(inner, bos if add_bos or _begins_with(inner, bos) else None)


def _begins_with(inner: Any, bos: int | None) -> bool:
    ids = inner.encode("a", add_special_tokens=True).ids
    return bos is not None and ids[:1] == [bos]
