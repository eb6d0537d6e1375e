from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers

from tests.inference.toy import BOS, BYTES_FROM, END, byte_tokenizer
from turnwise.errors import ModelError
from turnwise.inference.text.tokenizer import Tokenizer, read_tokenizer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    inner = byte_tokenizer()
    inner.enable_truncation(3)
    inner.enable_padding(length=20)
    inner.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def a(*letters: int | str) -> list[int]:
    return [letter if isinstance(letter, int) else ord(letter) + BYTES_FROM for letter in letters]


def test_prompts_begin_with_bos_once(path: Path) -> None:
    tokenizer = read_tokenizer(path, bos=BOS, add_bos=True)
    assert tokenizer.encode("ab") == a(BOS, "a", "b")
    assert tokenizer.encode("<s>ab") == a(BOS, "a", "b")
    assert tokenizer.encode("<s><s>ab") == a(BOS, "a", "b")
    assert tokenizer.encode("a<s>") == a(BOS, "a", BOS)


def test_a_model_without_bos_gets_what_the_text_says(path: Path) -> None:
    assert read_tokenizer(path, bos=None, add_bos=True).encode("ab") == a("a", "b")
    assert read_tokenizer(path, bos=BOS, add_bos=False).encode("<s>a") == a(BOS, "a")


def test_nothing_is_cut_or_padded(path: Path) -> None:
    assert len(read_tokenizer(path, bos=None, add_bos=False).encode("abcdefgh")) == 8


def test_special_tokens(path: Path) -> None:
    tokenizer = read_tokenizer(path, bos=None, add_bos=False)
    assert tokenizer.is_special(END)
    assert not tokenizer.is_special(BYTES_FROM)
    assert tokenizer.ids_end == 258


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"model": {"type": "Nonsense"}}', "\xff"])
def test_a_damaged_file_is_the_models_fault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError) as caught:
        read_tokenizer(path, bos=None, add_bos=False)
    assert str(path) in str(caught.value)
    assert "Copy tokenizer.json again" in str(caught.value)


Pieces = Callable[[str], int]


class TestStories:
    @pytest.fixture
    def pieces(self, pieces_tokenizer: Path) -> Pieces:
        inner = tokenizers.Tokenizer.from_file(str(pieces_tokenizer))
        return inner.get_vocab().__getitem__

    @pytest.fixture
    def stories(self, pieces_tokenizer: Path) -> Tokenizer:
        return read_tokenizer(pieces_tokenizer, bos=1, add_bos=False)

    def test_the_post_processor_tells_that_prompts_have_bos(self, stories: Tokenizer, pieces: Pieces) -> None:
        assert stories.encode("Once upon")[:2] == [1, pieces("▁Once")]
        assert stories.encode("<s>Once upon") == stories.encode("Once upon")

    def test_a_continuation_keeps_its_leading_space(self, stories: Tokenizer) -> None:
        prompt, whole = stories.encode("Once upon a time"), stories.encode("Once upon a time there was")
        text = stories.detokenizer(prompt)
        assert "".join(text.push(token) for token in whole[len(prompt) :]) == " there was"

    def test_text_whose_every_byte_is_a_token(self, stories: Tokenizer) -> None:
        story = "从前有一个小女孩，她的名字叫莉莉。" * 2
        ids = stories.encode(story)
        assert len(ids) > 60
        for cut in range(3, len(story)):
            prompt = stories.encode(story[:cut])
            text = stories.detokenizer(prompt)
            assert "".join(text.push(token) for token in ids[len(prompt) :]) == story[cut:]

    def test_bytes_that_are_not_utf8(self, stories: Tokenizer, pieces: Pieces) -> None:
        text = stories.detokenizer(stories.encode("Once"))
        ids = [3 + 0xC3, pieces("▁ha"), 3 + 0xFF, 3 + 0xC3, 3 + 0xA9, pieces("▁S")]
        assert "".join(text.push(token) for token in ids) == "\ufffd ha\ufffd\ufffd\ufffd S"
