from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.inference import toy
from tests.inference.layouts_toy import HEAD_SIZE, KV_HEADS, LAYERS
from turnwise.errors import ModelError
from turnwise.inference.engine.load import KV_BYTES_PER_TOKEN_MAX, load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec


def load(path: Path, provider: str = "auto") -> ModelInfo:
    return load_model(ModelSpec("m", path, provider)).info


def error(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load(path)
    return str(caught.value)


def test_what_is_said_about_a_model(tmp_path: Path) -> None:
    info = load(toy.write_attention_folder(tmp_path), "cpu")
    assert info.provider == "CPUExecutionProvider"
    assert info.providers == ("CPUExecutionProvider",)
    assert info.nodes["CPUExecutionProvider"] >= 10
    assert info.fallback is None
    assert info.context_length == 512
    assert info.versions.keys() >= {"onnxruntime", "numpy", "tokenizers", "jinja2", "llguidance", "python", "machine"}
    assert len(info.sha256) == 64


def test_equal_contents_have_equal_hashes_wherever_they_are(tmp_path: Path) -> None:
    first = toy.write_attention_folder(tmp_path / "a")
    shutil.copytree(first, tmp_path / "b")
    (tmp_path / "b" / "README.md").write_text("not a part of the model")
    assert load(first).sha256 == load(tmp_path / "b").sha256
    (tmp_path / "b" / "chat_template.jinja").write_text("x")
    assert load(first).sha256 != load(tmp_path / "b").sha256


def test_a_small_model_runs_on_one_thread(tmp_path: Path) -> None:
    assert load(toy.write_folder(tmp_path)).threads == 1
    spec = ModelSpec("m", tmp_path)
    assert load_model(spec, EngineOptions(threads_max=3, spin_us=50)).info.threads == 1


@pytest.mark.parametrize("keep", [10, 1000, 5000])
def test_a_damaged_graph(tmp_path: Path, keep: int) -> None:
    folder = toy.write_attention_folder(tmp_path)
    data = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(data[:keep])
    message = error(folder)
    assert str(folder / "model.onnx") in message
    assert "copy" in message


def test_a_graph_that_onnx_runtime_does_not_know(tmp_path: Path) -> None:
    graph = toy.bigram_graph(np.zeros((258, 258), np.float32))
    graph.nodes[0] = toy.node("Nonsense", ["table", "input_ids"], ["logits"])
    message = error(toy.write_folder(tmp_path, graph))
    assert "ONNX Runtime cannot load the graph" in message
    assert "Nonsense" in message


def test_a_graph_that_fails_on_its_first_tokens(tmp_path: Path) -> None:
    graph = toy.bigram_graph(np.zeros((258, 258), np.float32))
    graph.tensors.append(toy.tensor("thousand", np.array([1000], np.int64)))
    graph.nodes[0:1] = [
        toy.node("Add", ["input_ids", "thousand"], ["beyond"]),
        toy.node("Gather", ["table", "beyond"], ["logits"], axis=0),
    ]
    assert "the graph fails on its first tokens" in error(toy.write_folder(tmp_path, graph))


def test_weights_that_are_not_numbers(tmp_path: Path) -> None:
    graph = toy.bigram_graph(np.full((258, 258), np.nan, np.float32))
    assert "logits that are not numbers" in error(toy.write_folder(tmp_path, graph))


@pytest.mark.parametrize("size", [257, 400])
def test_a_tokenizer_of_another_model(tmp_path: Path, size: int) -> None:
    graph = toy.bigram_graph(np.zeros((size, size), np.float32))
    message = error(toy.write_folder(tmp_path, graph, configuration=toy.config(vocab_size=size)))
    assert f"the tokenizer has 258 tokens, and the model's configuration says vocab_size {size}" in message
    assert "different models" in message


def test_a_padded_vocabulary_is_usual(tmp_path: Path) -> None:
    graph = toy.bigram_graph(np.zeros((264, 264), np.float32))
    assert load(toy.write_folder(tmp_path, graph, configuration=toy.config(vocab_size=264))).vocabulary_size == 264


def test_a_cache_that_is_too_large_is_seen_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KV_BYTES_PER_TOKEN_MAX == 16 * 1024**2
    monkeypatch.setattr("turnwise.inference.engine.load.KV_BYTES_PER_TOKEN_MAX", 7)
    assert "a token needs 8 bytes of KV cache, more than 7" in error(toy.write_folder(tmp_path))


def test_a_template_that_is_not_valid(tmp_path: Path) -> None:
    folder = toy.write_folder(tmp_path)
    (folder / "chat_template.jinja").write_text("{% for")
    assert error(folder).startswith(str(folder / "chat_template.jinja"))


def test_nothing_of_the_folders_session_options_is_used(tmp_path: Path) -> None:
    """The toy's config names a library of custom operators."""
    folder = toy.write_folder(tmp_path)
    config = json.loads((folder / "genai_config.json").read_text())
    assert "custom_ops_library" in config["model"]["decoder"]["session_options"]
    load(folder)


@pytest.mark.parametrize("layout", ["genai-fp32", "genai-int4", "genai-int4-acc1", "genai-mha-fp32"])
def test_a_model_of_each_layout(in_layout: Callable[[str], Path], layout: str) -> None:
    info = load(in_layout(layout))
    assert info.context_length == 512
    assert info.form == ("growing float32" if "mha" in layout else "in_place float32")


def test_a_model_in_the_other_convention(in_layout: Callable[[str], Path]) -> None:
    info = load(in_layout("hf-fp32"))
    assert (info.context_length, info.form) == (512, "growing float32")
    assert info.kv_bytes_per_token == LAYERS * 2 * KV_HEADS * HEAD_SIZE * 4


@pytest.mark.trained
@pytest.mark.parametrize("layout", ["genai-fp32", "genai-int4", "genai-int4-acc1", "genai-mha-fp32", "hf-fp32"])
def test_stories(stories_models: Path, layout: str) -> None:
    info = load(stories_models / f"stories260k-{layout}")
    assert (info.context_length, info.vocabulary_size) == (512, 512)
    assert info.form == ("growing float32" if layout in ("genai-mha-fp32", "hf-fp32") else "in_place float32")
