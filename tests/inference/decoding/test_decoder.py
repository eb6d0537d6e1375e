from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import toy
from turnwise.errors import InvariantError, ModelError
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec


def decoder(path: Path, threads: int | None = None) -> Decoder:
    return load_model(ModelSpec("m", path, "cpu"), EngineOptions(threads_max=threads)).decoder


@pytest.fixture
def attention(tmp_path: Path) -> Decoder:
    return decoder(toy.write_attention_folder(tmp_path))


def rows(model: Decoder, prompt: list[int], cuts: list[int], steps: int, *, capacity: int = 300) -> NDArray[Any]:
    """Logits after the prompt, run in pieces of the sizes `cuts`, and after each greedy step."""
    model.begin(capacity)
    start, row = 0, None
    for size in cuts:
        row = model.run(prompt[start : start + size])
        start += size
    assert start == len(prompt)
    assert row is not None
    found = [row.copy()]
    for _ in range(steps):
        found.append(model.run([int(found[-1].argmax())]).copy())
    return np.array(found)


PROMPT = [int(token) for token in np.random.default_rng(5).integers(2, toy.VOCABULARY, 200)]


def test_chunks_give_the_same_bits_as_the_whole(attention: Decoder) -> None:
    whole = rows(attention, PROMPT, [200], 20)
    for cuts in ([128, 72], [2] * 100, [100, 98, 2], [50] * 4, [3] * 66 + [2]):
        assert np.array_equal(rows(attention, PROMPT, cuts, 20), whole)


def test_a_piece_that_leaves_one_token_to_the_last_block_of_attention_is_no_exception(attention: Decoder) -> None:
    """Attention works on blocks, here of 32 tokens, and on a block of one token by other arithmetic."""
    for length in (33, 65, 129, 161):
        prompt = PROMPT[:length]
        whole = rows(attention, prompt, [length], 3)
        for first in (2, 3, 16, 30):
            assert np.array_equal(rows(attention, prompt, [first, length - first], 3), whole)


def test_what_was_there_before_and_how_much_room_there_is_do_not_matter(attention: Decoder) -> None:
    first = rows(attention, PROMPT, [200], 20, capacity=220)
    rows(attention, PROMPT[::-1], [200], 100, capacity=512)
    assert np.array_equal(rows(attention, PROMPT, [200], 20, capacity=220), first)
    assert np.array_equal(rows(attention, PROMPT, [200], 20, capacity=512), first)


def test_one_thread_or_two(tmp_path: Path) -> None:
    folder = toy.write_attention_folder(tmp_path)
    assert np.array_equal(rows(decoder(folder, 1), PROMPT, [200], 5), rows(decoder(folder, 2), PROMPT, [200], 5))


def test_attention_reads_the_whole_past(attention: Decoder) -> None:
    other = [*PROMPT[:1], 3, *PROMPT[2:]]
    assert not np.array_equal(rows(attention, PROMPT, [200], 0), rows(attention, other, [200], 0))


def test_kv_is_kept_in_place_or_grows(attention: Decoder, tmp_path: Path) -> None:
    growing = decoder(toy.write_folder(tmp_path / "growing"))
    assert (attention.form, attention.chunk_tokens is not None) == ("in_place float32", True)
    assert (growing.form, growing.equal, growing.chunk_tokens is not None) == ("growing float32", True, True)
    assert attention.kv.bytes_per_token == 2 * 2 * 16 * 4


def test_a_growing_cache_holds_what_was_run(tmp_path: Path) -> None:
    """The toy's `present` is its past and the new ids, so the buffers can be read back."""
    model = decoder(toy.write_folder(tmp_path))
    model.begin(60)
    model.run([7, 8, 9])
    for token in range(10, 60):
        model.run([token])
    outputs = dict(zip(["logits", "key", "value"], model._steps._binding.raw.get_outputs(), strict=True))
    assert outputs["key"].numpy().ravel().tolist() == list(range(7, 60))
    assert outputs["value"].shape() == [1, 1, 53, 1]


def test_no_more_than_the_context(attention: Decoder) -> None:
    for capacity in (0, 513):
        with pytest.raises(InvariantError):
            attention.begin(capacity)


def graph_error(path: Path, graph: toy.Graph, **changes: Any) -> str:
    configuration = toy.config()
    configuration["model"]["decoder"] |= changes
    with pytest.raises(ModelError) as caught:
        decoder(toy.write_folder(path, graph, configuration=configuration))
    assert caught.value.hint
    return str(caught.value)


def test_an_unknown_input_is_named(tmp_path: Path) -> None:
    graph = toy.bigram_graph(np.zeros((258, 258), np.float32), extra_input="pixel_values")
    graph.nodes.append(toy.node("Identity", ["pixel_values"], ["unused"]))
    assert "unknown input 'pixel_values'" in graph_error(tmp_path, graph)


def test_graph_and_config_must_fit(tmp_path: Path) -> None:
    def bigram() -> toy.Graph:
        return toy.bigram_graph(np.zeros((258, 258), np.float32))

    assert "no input 'past_key_values.1.key'" in graph_error(tmp_path / "a", bigram(), num_hidden_layers=2)
    assert "no input 'tokens'" in graph_error(tmp_path / "b", bigram(), inputs={"input_ids": "tokens"})
    assert "no output 'scores'" in graph_error(tmp_path / "c", bigram(), outputs={"logits": "scores"})
    assert "has shape" in graph_error(tmp_path / "d", bigram(), num_key_value_heads=2)
    other = toy.bigram_graph(np.zeros((258, 300), np.float32))
    assert "'logits' has shape" in graph_error(tmp_path / "e", other)


def test_types_that_are_not_supported(tmp_path: Path) -> None:
    graph = toy.bigram_graph(np.zeros((258, 258), np.float32))
    graph.inputs[0] = toy.value("input_ids", toy.FLOAT, ["batch", "sequence"])
    graph.nodes[0:2] = [
        toy.node("Cast", ["input_ids"], ["whole"], to=toy.INT64),
        toy.node("Gather", ["table", "whole"], ["logits"], axis=0),
        toy.node("Identity", ["input_ids"], ["numbers"]),
    ]
    assert "'input_ids' has type" in graph_error(tmp_path / "a", graph)
    graph = toy.bigram_graph(np.zeros((258, 258), np.float32))
    graph.outputs[0] = toy.value("logits", toy.INT64, ["batch", "sequence", 258])
    graph.nodes[0:1] = [
        toy.node("Gather", ["table", "input_ids"], ["scores"], axis=0),
        toy.node("Cast", ["scores"], ["logits"], to=toy.INT64),
    ]
    assert "'logits' has type tensor(int64)" in graph_error(tmp_path / "b", graph)
