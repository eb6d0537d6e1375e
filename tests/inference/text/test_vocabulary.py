from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models

from tests.inference import toy
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.vocabulary import Vocabulary


def test_bytes_and_letters() -> None:
    vocabulary = Vocabulary(toy.byte_tokenizer(), frozenset({toy.END}))
    assert vocabulary.token_text(ord("a") + 2) == "a"
    assert vocabulary.token_text(0xC3 + 2) == "\ufffd"
    assert vocabulary.ids(" ") == (ord(" ") + 2,)
    assert vocabulary.ids("</s>") == (toy.END,)
    assert vocabulary.ids("ab") == ()
    assert vocabulary.token_text(100_000) == ""
    assert vocabulary.trie.eos_tokens == [toy.END]


def test_pieces_beside_bytes(pieces_tokenizer: Path) -> None:
    inner = tokenizers.Tokenizer.from_file(str(pieces_tokenizer))
    vocabulary = Vocabulary(inner, frozenset({1, 2, 600}))
    assert vocabulary.token_text(inner.get_vocab()["▁w"]) == " w"
    assert vocabulary.ids("a") == (100, inner.token_to_id("a"))
    assert vocabulary.trie.eos_tokens == [1, 2]


def test_a_tokenizer_of_another_kind_has_texts_but_no_grammars() -> None:
    inner = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1}, unk_token="<unk>"))
    inner.decoder = decoders.Fuse()
    vocabulary = Vocabulary(inner, frozenset({0}))
    with pytest.raises(Refusal, match="of a kind that grammars do not know"):
        vocabulary.trie  # noqa: B018
    assert vocabulary.token_text(1) == "hello"
    assert vocabulary.ids("hello") == (1,)


def test_a_model_without_a_known_end_token_has_no_grammars() -> None:
    with pytest.raises(Refusal, match="no end token"):
        Vocabulary(toy.byte_tokenizer(), frozenset({999})).trie  # noqa: B018
