from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from tests.conftest import named_stories
from tests.inference import toy
from turnwise.errors import ModelError
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.tokenizer import Tokenizer, read_tokenizer
from turnwise.inference.text.tokenizer_bounds import GROWN_CHARS_MAX, OutOfBounds, TextBounds, text_bounds

GROWING = normalizers.Sequence([normalizers.Replace("a", "a" * 32)] * 8)
MEASURED = [
    normalizers.NFKC(),
    normalizers.NFKD(),
    normalizers.NFC(),
    normalizers.NFD(),
    normalizers.Lowercase(),
    normalizers.BertNormalizer(),
    normalizers.ByteLevel(),
    normalizers.Replace("ab", "xyz"),
    normalizers.Replace(Regex("b*"), "yz"),
    normalizers.Prepend("▁"),
    normalizers.StripAccents(),
    normalizers.Strip(),
    normalizers.Nmt(),
    normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("a", "aaa"), normalizers.Prepend("aa")]),
]


def content(**changes: Any) -> dict[str, Any]:
    return {**json.loads(toy.byte_tokenizer().to_str()), **changes}


def as_json(normalizer: Any) -> Any:
    inner = toy.byte_tokenizer()
    inner.normalizer = normalizer
    return json.loads(inner.to_str())["normalizer"]


@settings(deadline=None)
@given(
    st.sampled_from(MEASURED),
    st.one_of(
        st.text(max_size=20), st.text("abﷺİΐ가힣ﬃ🙂é", max_size=20), st.sampled_from(["ﷺ" * 9, "İ" * 9, "ΐ" * 9])
    ),
)
def test_no_text_becomes_longer_than_the_bounds_say(normalizer: Any, text: str) -> None:
    bounds = text_bounds(content(normalizer=as_json(normalizer)))
    assert len(normalizer.normalize_str(text)) <= len(text) * bounds.growth + bounds.added


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"normalizer": as_json(GROWING)}, "its normalizer can make a text more than 1000 times as long"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": ""}, "content": "x" * 1000}}, "its normalizer"),
        ({"normalizer": {"type": "Prepend", "prepend": "x" * (GROWN_CHARS_MAX // 2 + 1)}}, "its normalizer"),
        ({"decoder": {"type": "Replace", "pattern": {"String": "a"}, "content": "x" * 1001}}, "its decoder"),
        (
            {
                "normalizer": {
                    "type": "Precompiled",
                    "precompiled_charsmap": base64.b64encode(bytes(4) + b"x" * 1001).decode(),
                }
            },
            "its normalizer",
        ),
        ({"model": {"type": "BPE", "dropout": 0.1}}, "at random"),
        ({"model": {"type": "WordPiece", "max_input_chars_per_word": 10**9}}, "max_input_chars_per_word"),
        ({"model": {"type": "Unigram", "vocab": [["x" * 513, 0.0]]}}, "a piece has 513 characters"),
        (
            {"post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 2}},
            "repeats a text 2 times",
        ),
    ],
)
def test_what_a_tokenizer_may_not_do(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(OutOfBounds) as caught:
        text_bounds(content(**changes))
    assert reason in str(caught.value)


def test_parts_that_are_nested_without_end() -> None:
    part: dict[str, Any] = {"type": "NFC"}
    for _ in range(20):
        part = {"type": "Sequence", "normalizers": [part]}
    with pytest.raises(OutOfBounds, match="nested too deeply"):
        text_bounds(content(normalizer=part))


def test_such_a_model_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    inner = toy.byte_tokenizer()
    inner.normalizer = GROWING
    path = tmp_path / "tokenizer.json"
    path.write_text(inner.to_str())
    with pytest.raises(ModelError) as caught:
        read_tokenizer(path, bos=None, add_bos=False)
    assert "the tokenizer is not used: its normalizer" in str(caught.value)
    random = tokenizers.Tokenizer(models.BPE(vocab={"a": 0}, merges=[], dropout=0.5))
    path.write_text(random.to_str())
    with pytest.raises(ModelError, match="at random"):
        read_tokenizer(path, bos=None, add_bos=False)


@pytest.mark.parametrize(
    ("part", "step", "why"),
    [
        ("pre_tokenizer", pre_tokenizers.Split(Regex(r"(a*)\1"), "isolated"), r"it uses '\\\\1'"),
        ("normalizer", normalizers.Replace(Regex("(?:b?)*"), "c"), "it repeats without end what can be empty"),
        ("decoder", decoders.Replace(Regex("a+"), "b"), "its decoder matches 'a\\+'"),
    ],
)
def test_an_expression_whose_steps_cannot_be_counted_is_refused_when_it_is_loaded(
    part: str, step: Any, why: str, tmp_path: Path
) -> None:
    inner = toy.byte_tokenizer()
    setattr(inner, part, step)
    path = tmp_path / "tokenizer.json"
    path.write_text(inner.to_str())
    with pytest.raises(ModelError, match=why):
        read_tokenizer(path, bos=None, add_bos=False)


def test_expressions_are_counted_unless_they_are_known() -> None:
    known = r"\s+"
    for expression, counted in ((known, False), (r"\s+|a", True)):
        split, replaced = (
            pre_tokenizers.Split(Regex(expression), "isolated"),
            normalizers.Replace(Regex(expression), "b"),
        )
        inner = toy.byte_tokenizer()
        inner.pre_tokenizer = pre_tokenizers.Sequence([split, inner.pre_tokenizer])
        assert text_bounds(json.loads(inner.to_str())).counted is counted
        assert text_bounds(content(normalizer=as_json(normalizers.Sequence([replaced])))).counted is counted


def test_a_text_that_could_become_too_long_is_refused() -> None:
    inner = toy.byte_tokenizer()
    inner.normalizer = normalizers.Replace("a", "b" * 900)
    tokenizer = Tokenizer(inner, None)
    chars = GROWN_CHARS_MAX // 900
    assert len(tokenizer.encode("c" * 1000)) == 1000
    with pytest.raises(Refusal) as caught:
        tokenizer.encode("c" * (chars + 1))
    assert caught.value.message == (
        f"the prompt has {chars + 1:,} characters, of which the model's tokenizer could make more than "
        f"16,777,216: shorten it"
    )
    with pytest.raises(Refusal):
        tokenizer.encode_rendered("c" * (chars + 1))
    assert TextBounds(1, 0).allow(GROWN_CHARS_MAX)
    assert not TextBounds(1, 1).allow(GROWN_CHARS_MAX)


def test_usual_tokenizers_are_within_the_bounds(pieces_tokenizer: Path) -> None:
    stories = named_stories()
    paths = [pieces_tokenizer] if stories is None else sorted(stories.glob("*/tokenizer.json"))
    assert pieces_tokenizer in paths
    for path in paths:
        assert text_bounds(json.loads(path.read_text())).growth < 20
