from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference import toy
from tests.inference.engine.test_engine import request, run
from turnwise.errors import ModelError
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.content_hash import changed_hash
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec


def test_a_shorter_context_is_another_model(tmp_path: Path) -> None:
    path = toy.write_attention_folder(tmp_path / "m", context_length=512)
    whole, equal, shorter = (
        load_model(ModelSpec("m", path, "cpu", context_tokens_max=tokens)) for tokens in (None, 512, 100)
    )
    assert [model.info.context_length for model in (whole, equal, shorter)] == [512, 512, 100]
    assert whole.info.sha256 == equal.info.sha256 != shorter.info.sha256
    replies = [run(Engine(model), request(0, prompt="a" * 99, tokens_max=5))[0] for model in (whole, shorter)]
    assert replies[0]["ok"]["tokens"] == 5
    assert replies[1]["error"]["kind"] == "context_full"
    short = request(0, prompt="a" * 30, tokens_max=50)
    assert run(Engine(whole), short) == run(Engine(shorter), short)


@pytest.mark.parametrize("tokens", [7, 513])
def test_a_context_that_the_model_does_not_have(tmp_path: Path, tokens: int) -> None:
    path = toy.write_attention_folder(tmp_path / "m", context_length=512)
    with pytest.raises(ModelError, match=f"context_tokens_max is {tokens}, and the model's context 512") as caught:
        load_model(ModelSpec("m", path, "cpu", context_tokens_max=tokens))
    assert caught.value.where == "models.m.context_tokens_max"


def test_what_the_machine_has_no_room_for_is_told(tmp_path: Path) -> None:
    path = toy.write_attention_folder(tmp_path / "m", context_length=512)
    info = load_model(ModelSpec("m", path, "cpu"), EngineOptions(kv_bytes_max=256 * 128)).info
    assert (info.context_length, info.context_wanted) == (128, 512)
    assert info.sha256 == load_model(ModelSpec("m", path, "cpu")).info.sha256


def test_hashes_of_changes() -> None:
    assert changed_hash("a" * 64, {}) == "a" * 64
    changes = [{"accuracy_level": 4}, {"context_tokens_max": 4}, {"accuracy_level": 4, "context_tokens_max": 4}]
    assert len({changed_hash("a" * 64, change) for change in changes} | {changed_hash("b" * 64, changes[0])}) == 4
