"""Text to tokens and back, by the `tokenizer.json` of a model folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import tokenizers

from turnwise.errors import ModelError
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.control_tokens import control_tokens
from turnwise.inference.text.detokenizer import Detokenizer
from turnwise.inference.text.special_tokens import RenderedPrompt, SpecialTokenMarker, read_rendered
from turnwise.inference.text.text_encoder import TextEncoder
from turnwise.inference.text.tokenizer_bounds import OutOfBounds, TextBounds, text_bounds
from turnwise.inference.text.vocabulary import Vocabulary


class Tokenizer:
    """A model's tokenizer.

    `bos` is the token that begins every prompt, once, or None for models without one. Control tokens are those that
    the file flags as special, and those that the chat `template` writes. `vocabulary_size` is the graph's: added
    tokens beyond it, which stand for images and the like, can be in no prompt and no answer.
    """

    def __init__(
        self,
        inner: tokenizers.Tokenizer,
        bos: int | None,
        *,
        template: str | None = None,
        vocabulary_size: int | None = None,
        bounds: TextBounds | None = None,
    ) -> None:
        self._inner = inner
        self.bos = bos
        bounds = bounds or text_bounds(json.loads(inner.to_str()))
        ids_end = max(inner.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        self.ids_end = ids_end if vocabulary_size is None else min(ids_end, vocabulary_size)
        self._added = {number: str(token.content) for number, token in inner.get_added_tokens_decoder().items()}
        self._token_texts: dict[int, str] = {}
        self._vocabularies: dict[frozenset[int], Vocabulary] = {}
        self._special = frozenset(number for number, token in inner.get_added_tokens_decoder().items() if token.special)
        written = control_tokens(inner, template)
        self._control = self._special | written
        self._encoder = TextEncoder(inner, bounds, written)
        self.marker = SpecialTokenMarker(self._added[number] for number in sorted(self._control))

    def encode(self, text: str) -> list[int]:
        """Encode a prompt as it was given. Special tokens that stand in the text are recognised.

        If the model wants BOS, the prompt begins with exactly one, whether or not the text begins with it.
        """
        self._encoder.check_size(text, "the prompt")
        return self._with_bos(self._encoder.encode(text).ids)

    def encode_rendered(self, text: str) -> list[int]:
        """Encode a prompt that a chat template made of marked messages. Begins as with `encode`.

        Special tokens of the template's own are recognised, those that a message has a part in are plain text. Raises
        Refusal for what is not Unicode.
        """
        prompt = read_rendered(text)
        if not prompt.is_unicode:
            raise Refusal("refused", "the chat template writes what is not Unicode")
        self._encoder.check_size(prompt.text, "the prompt")
        return self._with_bos(self._encode_forged(prompt))

    def watch(self, progress: Callable[[], None]) -> None:
        """Call `progress` before each text that is encoded: a prompt may be many texts of some seconds each."""
        self._encoder.watch(progress)

    def _encode_forged(self, prompt: RenderedPrompt) -> list[int]:
        """Encode a marked prompt. A piece between two special tokens that holds a forged one is plain text."""
        text = prompt.text
        found = self._encoder.encode(text)
        specials = [place for token, place in zip(found.ids, found.offsets, strict=True) if token in self._control]
        if not any(prompt.is_forged(*place) for place in specials):
            return list(found.ids)
        ids: list[int] = []
        done = piece = 0
        forged = False
        for start, end in [*specials, (len(text), len(text))]:
            if prompt.is_forged(start, end):
                forged = True
                continue
            if forged:
                ids += self._ids(text[done:piece]) + self._ids(text[piece:start], plain=True)
                done, forged = start, False
            piece = end
        return ids + self._ids(text[done:])

    def _ids(self, text: str, *, plain: bool = False) -> list[int]:
        """Encode a piece of text; `plain`: as if there were no special tokens."""
        return list(self._encoder.encode(text, plain=plain).ids) if text else []

    def _with_bos(self, ids: list[int]) -> list[int]:
        beyond = next((number for number in ids if number >= self.ids_end), None)
        if beyond is not None:
            text = self._added.get(beyond, "")
            raise Refusal("refused", f"the prompt holds {text!r}, for which the model's graph has no token")
        if self.bos is None:
            return ids
        start = 0
        while start < len(ids) and ids[start] == self.bos:
            start += 1
        return [self.bos, *ids[start:]]

    def vocabulary(self, ends: frozenset[int]) -> Vocabulary:
        """Return the vocabulary as bytes, for grammars and single tokens. `ends` are the model's end tokens."""
        if ends not in self._vocabularies:
            self._vocabularies[ends] = Vocabulary(self._inner, ends, self.ids_end, self._encoder.admits)
        return self._vocabularies[ends]

    def is_special(self, token: int) -> bool:
        """True if the token is flagged as special: what it is called is no text of the answer."""
        return token in self._special

    def special_text(self, token: int) -> str:
        """Return the name of a special token, such as `<|im_end|>`; empty for all others."""
        return self._added[token] if token in self._special else ""

    @property
    def special_names(self) -> Mapping[str, int]:
        """The special tokens, by what they are called."""
        return {self._added[number]: number for number in sorted(self._special)}

    def detokenizer(self, prompt: Sequence[int]) -> Detokenizer:
        """Return a detokenizer for the continuation of `prompt`."""
        return Detokenizer(self._decode, prompt)

    def _decode(self, ids: Sequence[int]) -> str:
        if len(ids) != 1:
            return str(self._inner.decode(ids, skip_special_tokens=True))
        text = self._token_texts.get(ids[0])
        if text is None:
            text = self._token_texts[ids[0]] = str(self._inner.decode(ids, skip_special_tokens=True))
        return text


def read_tokenizer(
    path: Path,
    *,
    bos: int | None,
    add_bos: bool,
    template: str | None = None,
    vocabulary_size: int | None = None,
) -> Tokenizer:
    """Read `tokenizer.json`. `template` and `vocabulary_size` as for `Tokenizer`; `bos` is the model's BOS
    token, used if the file or `add_bos` says that prompts have it.

    Raises ModelError if the file is damaged, or belongs to a model with another vocabulary.
    """
    inner, bounds = read_library_tokenizer(path)
    begins = bos if add_bos or _begins_with(TextEncoder(inner, bounds), bos) else None
    tokenizer = Tokenizer(inner, begins, template=template, vocabulary_size=vocabulary_size, bounds=bounds)
    _check_size(path, inner, tokenizer.ids_end, vocabulary_size)
    return tokenizer


def _check_size(path: Path, inner: Any, ids_end: int, size: int | None) -> None:
    """Models pad their vocabulary, so a tokenizer may be somewhat smaller; beyond it there can be added tokens only."""
    if size is None:
        return
    beyond = [number for number in inner.get_vocab(with_added_tokens=False).values() if number >= size]
    if beyond or ids_end < size - size // 8:
        actual = max(ids_end, max(beyond, default=-1) + 1)
        raise ModelError(
            f"the tokenizer has {actual} tokens, and the model's configuration says vocab_size {size}",
            where=str(path),
            expected=size,
            actual=actual,
            hint="Tokenizer and graph belong to different models: copy both again from the same place.",
        )


def read_library_tokenizer(path: Path) -> tuple[tokenizers.Tokenizer, TextBounds]:
    """Read the library's tokenizer of a `tokenizer.json`, which neither cuts nor pads, and what it can make of a text.

    Raises ModelError if it is damaged, or does what is not allowed.
    """
    try:
        content = path.read_bytes()
        inner = tokenizers.Tokenizer.from_str(content.decode())
        bounds = text_bounds(msgspec.json.decode(content))
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except OutOfBounds as error:
        raise ModelError(
            f"the tokenizer is not used: {error}",
            where=str(path),
            expected="a tokenizer whose tokens follow from a text, in time and memory that follow from its size",
            hint="Take the tokenizer.json of the model's own repository.",
        ) from error
    except Exception as error:  # the library raises bare Exception for everything
        raise ModelError(
            f"is not a tokenizer: {error}",
            where=str(path),
            expected="the tokenizer.json of the Hugging Face tokenizers library",
            hint="Copy tokenizer.json again from where the model comes from.",
        ) from error
    inner.no_truncation()
    inner.no_padding()
    return inner, bounds


def _begins_with(encoder: TextEncoder, bos: int | None) -> bool:
    try:
        ids = encoder.encode("a", special=True).ids
    except Refusal:
        return False
    return bos is not None and ids[:1] == [bos]
