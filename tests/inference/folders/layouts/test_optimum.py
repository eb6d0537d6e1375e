from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference import toy
from tests.inference.numpy_decoder import likeliest
from tests.inference.pieces_toy import BOS
from turnwise.errors import ModelError, UsageError
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.model_folder import read_model_folder, variants
from turnwise.inference.inspect.generate import generate_text
from turnwise.inference.plans.model_spec import ModelSpec

TABLE = toy.chain_table(b"abcdefghijklmnopqrstuvwxyz")


def error(path: Path, variant: str | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_model_folder(path, variant)
    return caught.value


def test_a_folder(tmp_path: Path) -> None:
    folder = read_model_folder(toy.write_optimum_folder(tmp_path))
    assert (folder.layout.convention, folder.layout.variant, folder.layout.architecture) == ("optimum", "fp32", "toy")
    assert (folder.layout.layers, folder.layout.kv_heads, folder.layout.head_size) == (1, 1, 1)
    assert (folder.layout.bos, folder.layout.ends, folder.layout.context_length) == (
        toy.BOS,
        {toy.END},
        toy.CONTEXT_LENGTH,
    )
    assert set(folder.files) == {"config.json", "onnx/model.onnx", "tokenizer.json", "tokenizer_config.json"}
    assert "".join(generate_text(tmp_path, "abc")) == "defghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("there", "first"),
    [
        (["model_q4", "model", "model_fp16"], "fp32"),
        (["model_q4", "model_q4f16", "model_fp16"], "fp16"),
        (["model_uint8", "model_q4f16", "model_q4"], "q4"),
        (["model_zzz", "model_mine", "encoder", "model_.x"], "mine"),
    ],
)
def test_without_a_variant_the_most_exact_is_taken(tmp_path: Path, there: list[str], first: str) -> None:
    path = toy.write_optimum_folder(tmp_path, variants=there)
    assert read_model_folder(path).layout.variant == first
    assert variants(path)[0] == first
    for name in variants(path):
        folder = read_model_folder(path, name)
        assert folder.layout.variant == name
        assert [file for file in folder.files if file.endswith(".onnx")] == [
            "onnx/model.onnx" if name == "fp32" else f"onnx/model_{name}.onnx"
        ]


def test_graphs_that_are_merged_of_two_are_taken_where_there_is_no_other(tmp_path: Path) -> None:
    names = ["decoder_model_merged_q4", "decoder_model_merged", "model", "decoder_model", "decoder_with_past_model"]
    path = toy.write_optimum_folder(tmp_path, variants=names)
    assert variants(path) == ["fp32", "q4"]
    assert "onnx/model.onnx" in read_model_folder(path).files
    assert "onnx/decoder_model_merged_q4.onnx" in read_model_folder(path, "q4").files
    (path / "onnx" / "model.onnx").unlink()
    assert "onnx/decoder_model_merged.onnx" in read_model_folder(path).files


def test_a_variant_that_is_not_there(tmp_path: Path) -> None:
    caught = error(toy.write_optimum_folder(tmp_path, variants=["model", "model_q4"]), "../q4")
    assert caught.expected == ["fp32", "q4"]
    assert "There: fp32, q4." in str(caught)


def test_variants_are_different_models(tmp_path: Path) -> None:
    path = toy.write_optimum_folder(tmp_path, variants=["model", "model_q4"])
    first, second = (load_model(ModelSpec("m", path, "cpu", variant=name)).info for name in ("fp32", "q4"))
    assert first.sha256 != second.sha256


def test_generation_config_goes_before_config(tmp_path: Path) -> None:
    generation = {"bos_token_id": 5, "eos_token_id": [1, 7]}
    folder = read_model_folder(toy.write_optimum_folder(tmp_path, generation=generation))
    assert (folder.layout.bos, folder.layout.ends) == (5, {1, 7})
    assert "generation_config.json" in folder.files


def test_sizes_that_the_graph_leaves_open_stand_in_the_configuration(tmp_path: Path) -> None:
    graph = toy.attention_graph()
    cache = ["batch", "heads", "past", "size"]
    graph.inputs[2:] = [toy.value(f"past_key_values.0.{part}", toy.FLOAT, cache) for part in ("key", "value")]
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
    folder = read_model_folder(toy.write_optimum_folder(tmp_path, graph=graph, configuration=sizes))
    assert (folder.layout.kv_heads, folder.layout.head_size) == (2, 8)
    folder = read_model_folder(toy.write_optimum_folder(tmp_path, graph=graph, configuration=sizes | {"head_dim": 16}))
    assert (folder.layout.kv_heads, folder.layout.head_size) == (2, 16)
    load_model(ModelSpec("m", tmp_path, "cpu"))


def test_the_part_for_text_of_a_larger_configuration(tmp_path: Path) -> None:
    text = {"max_position_embeddings": 99, "vocab_size": toy.VOCABULARY, "head_dim": 1}
    folder = read_model_folder(toy.write_optimum_folder(tmp_path, configuration={"text_config": text}))
    assert (folder.layout.context_length, folder.layout.ends) == (99, {toy.END})
    path = toy.write_optimum_folder(tmp_path, configuration={"text_config": {"vocab_size": "many"}})
    assert "text_config" in str(error(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_position_embeddings": None}, "max_position_embeddings is missing"),
        ({"max_position_embeddings": 1}, "max_position_embeddings is 1"),
        ({"eos_token_id": None}, "eos_token_id is missing"),
        ({"eos_token_id": [1, 258]}, "eos_token_id 258"),
        ({"bos_token_id": -1}, "bos_token_id is -1"),
        ({"num_hidden_layers": 2}, "config.json says num_hidden_layers 2"),
        ({"vocab_size": 300}, "config.json says vocab_size 300"),
        ({"vocab_size": "x"}, "vocab_size"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in str(error(toy.write_optimum_folder(tmp_path, configuration=changes)))


def test_a_graph_that_asks_of_how_many_tokens_logits_are_wanted(tmp_path: Path) -> None:
    graph = toy.bigram_graph(TABLE, extra_input="num_logits_to_keep")
    graph.tensors += [toy.tensor("end", np.array([2**62], np.int64)), toy.tensor("axis", np.array([1], np.int64))]
    graph.nodes[0:1] = [
        toy.node("Gather", ["table", "input_ids"], ["all"], axis=0),
        toy.node("Neg", ["num_logits_to_keep"], ["start"]),
        toy.node("Slice", ["all", "start", "end", "axis"], ["logits"]),
    ]
    path = toy.write_optimum_folder(tmp_path, graph=graph)
    assert "".join(generate_text(path, "abc")) == "defghijklmnopqrstuvwxyz"


def test_a_graph_without_a_cache(tmp_path: Path) -> None:
    graph = toy.bigram_graph(TABLE)
    del graph.inputs[2:]
    assert "text-generation-with-past" in str(error(toy.write_optimum_folder(tmp_path, graph=graph)))


def test_a_missing_graph(tmp_path: Path) -> None:
    path = toy.write_optimum_folder(tmp_path, variants=[])
    assert error(path).message == "onnx/model.onnx is missing"


def test_a_link_that_leads_out_of_the_folder(tmp_path: Path) -> None:
    path = toy.write_optimum_folder(tmp_path / "model")
    (path / "onnx" / "model.onnx").replace(tmp_path / "elsewhere.onnx")
    (path / "onnx" / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    assert "leads out of the model folder" in str(error(path))


def test_weights_outside_the_folder(tmp_path: Path) -> None:
    graph = toy.bigram_graph(TABLE)
    graph.tensors[0] = toy.external_tensor("table", [258, 258], location="../../secret.bin")
    (tmp_path / "secret.bin").write_bytes(bytes(258 * 258 * 4))
    caught = error(toy.write_optimum_folder(tmp_path / "model", graph=graph))
    assert "../../secret.bin" in caught.message
    assert "not inside the model folder" in caught.message


def test_weights_beside_the_graph(tmp_path: Path) -> None:
    graph = toy.bigram_graph(TABLE)
    graph.tensors[0] = toy.external_tensor("table", [258, 258], location="model.onnx_data")
    path = toy.write_optimum_folder(tmp_path, graph=graph)
    assert "onnx/model.onnx_data" in error(path).message
    (path / "onnx" / "model.onnx_data").write_bytes(TABLE.astype(np.float32).tobytes())
    assert "".join(generate_text(path, "x")) == "yz"


def test_a_repository_of_several_genai_folders(tmp_path: Path) -> None:
    toy.write_folder(tmp_path / "cpu-int4")
    toy.write_folder(tmp_path / "cuda-fp16")
    assert variants(tmp_path) == ["cpu-int4", "cuda-fp16"]
    assert "Name one of them" in str(error(tmp_path))
    assert "no variant" in str(error(tmp_path, "x"))
    assert read_model_folder(tmp_path, "cpu-int4").layout.variant == "cpu-int4"
    assert "name no variant" in str(error(tmp_path / "cpu-int4", "q4"))


def test_a_plain_computation_gives_the_same_tokens(in_layout: Callable[[str], Path]) -> None:
    model = load_model(ModelSpec("m", in_layout("hf-fp32"), "cpu"))
    prompt = model.tokenizer.encode("Once upon a time there was")
    assert prompt[0] == BOS
    model.decoder.begin(len(prompt) + 40)
    logits, found = model.decoder.run(prompt), []
    for _ in range(40):
        found.append(int(logits.argmax()))
        logits = model.decoder.run([found[-1]])
    assert found == likeliest("hf-fp32", prompt, found, model.info.vocabulary_size)


@pytest.mark.trained
def test_the_story_model_token_for_token(stories_models: Path) -> None:
    (reference, *_) = json.loads((stories_models / "reference.json").read_text())
    path = stories_models / "stories260k-hf-fp32"
    model = load_model(ModelSpec("stories", path, "cpu"))
    prompt = model.tokenizer.encode(reference["prompt"])
    assert prompt == reference["prompt_ids"]
    decoder = model.decoder
    decoder.begin(len(prompt) + len(reference["ids"]))
    logits = decoder.run(prompt)
    found: list[int] = []
    for _ in reference["ids"]:
        found.append(int(logits.argmax()))
        logits = decoder.run([found[-1]])
    assert found == reference["ids"]


def test_a_context_is_never_exceeded_though_the_graph_would_go_on(in_layout: Callable[[str], Path]) -> None:
    path = in_layout("hf-fp32")
    model = load_model(ModelSpec("m", path, "cpu"))
    assert model.info.context_length == 512
    pieces = list(generate_text(path, "Once upon a time", temperature=1.0, seed=3, tokens_max=500))
    assert pieces
    with pytest.raises(UsageError, match="512"):
        list(generate_text(path, "Once upon a time", tokens_max=512))
