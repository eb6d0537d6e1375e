from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inference import graphs, toy
from turnwise.errors import ModelError
from turnwise.inference.engine.load import load_model
from turnwise.inference.inspect.examine import examine
from turnwise.inference.inspect.examine_graph import OPEN_SIZE, examine_encoder, examine_graph
from turnwise.inference.inspect.measure import compare
from turnwise.inference.inspect.measure_graph import measure_encoder, measure_graph
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.tensor_models.embedder import load_embedder
from turnwise.inference.tensor_models.load import load_graph
from turnwise.inference.tensor_models.row_batching import BATCH_SIZES


def spec(path: Path, **more: object) -> ModelSpec:
    return ModelSpec("m", path, "cpu", **more)  # type: ignore[arg-type]


def test_rewriting_is_measured_where_it_changes_something(in_layout: Callable[[str], Path]) -> None:
    low = examine(in_layout("genai-int4-acc1"), provider="cpu")
    assert low.advice is not None
    for words in ("rewritten to accuracy level 4", "times as fast here", "batched as they come", "other answers"):
        assert words in low.advice
    assert examine(in_layout("genai-int4"), provider="cpu").advice is None
    done = examine(in_layout("genai-int4-acc1"), provider="cpu", accuracy_level=4)
    assert (done.advice, done.info.accuracy_level) == (None, 4)
    assert done.rule.startswith("sequences are batched as they come")


def test_what_batches_of_equal_length_cost_is_measured(in_layout: Callable[[str], Path]) -> None:
    found = examine(in_layout("hf-fp32"), provider="cpu")
    assert found.rule.startswith("sequences of equal length are batched: the cache grows with each step")
    assert "for 8 that are equally long" in found.costs
    whole = examine(in_layout("genai-mha-fp32"), provider="cpu")
    assert whole.rule.startswith("sequences of equal length are batched, prompts in one piece:")
    assert "a prompt runs in one piece, and none is reused" in whole.costs


def test_what_is_too_large_to_be_loaded_twice_is_not_measured(
    in_layout: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnwise.inference.inspect.examine.memory_bytes", lambda: 1_000_000)
    advice = examine(in_layout("genai-int4-acc1"), provider="cpu").advice
    assert advice is not None
    assert "not measured" in advice


def test_two_decoders_are_compared(tmp_path: Path) -> None:
    models = [
        load_model(spec(toy.write_attention_folder(tmp_path / str(length), context_length=length)))
        for length in (16, 512)
    ]
    ratio = compare(models[0].decoder, models[1].decoder)
    assert ratio.prompt > 0
    assert ratio.step > 0


def test_a_graph_to_infer(tmp_path: Path) -> None:
    found = examine_graph(spec(graphs.write_graph(tmp_path / "g.onnx", graphs.dense_graph())))
    assert ([str(port) for port in found.inputs], found.operators) == (["float32 [batch, 8]"], 2)
    assert (found.tried, found.numeric_class) == ({"x": (1, 8)}, "batch-invariant")
    assert found.checks == {"run = run": True, "alone = in a batch": True, "1 = 2 threads": True}
    assert found.batches.startswith("2, 4, 8 or 16 requests of one row share a run")
    assert found.pooled is None


def test_why_requests_run_by_themselves(tmp_path: Path) -> None:
    reasons = {
        "is not one name of its own": graphs.pair_graph(),
        "got other bits together than alone": graphs.mixing_graph(),
        "random rows, so it cannot be tried": refusing_graph(),
    }
    for number, (reason, graph) in enumerate(reasons.items()):
        found = examine_graph(spec(graphs.write_graph(tmp_path / f"{number}.onnx", graph)))
        assert reason in found.batches
        if "tried" in reason:
            assert (found.tried, found.numeric_class, found.checks) == (None, None, {})
        else:
            assert found.numeric_class == "batch-invariant"
    assert examine_graph(spec(tmp_path / "0.onnx")).tried == {
        "a": (OPEN_SIZE, 2),
        "b": (OPEN_SIZE, 2),
        "c": (OPEN_SIZE, OPEN_SIZE),
    }


def refusing_graph() -> toy.Graph:
    """y = table[i + 2], for a table of 2 rows: nothing that is not negative is taken."""
    graph = graphs.gather_graph()
    graph.tensors.append(toy.tensor("five", graphs.np.array([5], graphs.np.int64)))
    graph.nodes = [toy.node("Add", ["i", "five"], ["j"]), toy.node("Gather", ["table", "j"], ["y"], axis=0)]
    return graph


@pytest.mark.parametrize("dims", [["batch", 1 << 20, 1 << 20], [1 << 40], [1 << 20, "n", 1 << 20]])
def test_shapes_that_no_request_can_have_take_no_memory(tmp_path: Path, dims: list[int | str]) -> None:
    graph = toy.Graph(
        inputs=[toy.value("x", toy.FLOAT, dims)],
        outputs=[toy.value("y", toy.FLOAT, dims)],
        nodes=[toy.node("Relu", ["x"], ["y"])],
    )
    path = graphs.write_graph(tmp_path / "g.onnx", graph)
    assert examine_graph(spec(path)).numeric_class is None
    with pytest.raises(ModelError, match="refuses random inputs") as caught:
        measure_graph(load_graph(spec(path)).model, path)
    assert "at most 67,108,864" in str(caught.value.actual)


def test_an_encoder(tmp_path: Path) -> None:
    path = graphs.write_encoder(tmp_path / "e", pooling="cls_token")
    graphs.write_graph(path / "onnx" / "model_int8.onnx", graphs.encoder_graph(4, pooled=True))
    found = examine_encoder(spec(path))
    assert (found.info.task, found.info.variant, found.variants) == ("embed", "fp32", ("fp32", "int8"))
    assert found.pooled is not None
    assert (found.pooled.pooling, found.pooled.normalised, found.pooled.dimensions) == ("cls", True, 6)
    assert found.pooled.tokens_max == 64
    assert found.limits[0].startswith("texts of 64 tokens")
    assert "each shape is tried when 32 rows had it" in found.batches
    small = examine_encoder(spec(path, variant="int8"))
    assert small.pooled is not None
    assert (small.pooled.pooling, small.pooled.dimensions) == ("the graph's own", 4)


def test_measured_graphs_and_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.inference.inspect.measure_graph.PART_S_MAX", 0.01)
    graph = load_graph(spec(graphs.write_graph(tmp_path / "g.onnx", graphs.dense_graph())))
    speed = measure_graph(graph.model, tmp_path)
    assert list(speed.runs_per_s) == [1, *sorted(BATCH_SIZES)]
    assert speed.tried == {"x": (1, 8)}
    mixing = load_graph(spec(graphs.write_graph(tmp_path / "m.onnx", graphs.mixing_graph())))
    assert list(measure_graph(mixing.model, tmp_path).runs_per_s) == [1]
    encoder = load_embedder(spec(graphs.write_encoder(tmp_path / "e", max_position_embeddings=20)))
    texts = measure_encoder(encoder.embedder)
    assert list(texts.one) == list(texts.many)
    assert 16 <= min(texts.one) <= max(texts.one) <= 20
    assert min(*texts.one.values(), *texts.many.values()) > 0


def sums_zeros(folder: Path, rows: str | int, zeros: int) -> Path:
    """A graph that makes so many zeros, and adds them; its file is small, and so are its inputs."""
    graph = toy.Graph(
        inputs=[toy.value("x", toy.FLOAT, [rows, 4])],
        outputs=[toy.value("y", toy.FLOAT, [rows, 4])],
        tensors=[toy.tensor("size", graphs.np.array([zeros], graphs.np.int64))],
        nodes=[
            toy.node("ConstantOfShape", ["size"], ["large"]),
            toy.node("ReduceSum", ["large"], ["sum"], keepdims=0),
            toy.node("Add", ["x", "sum"], ["y"]),
        ],
    )
    return graphs.write_graph(folder / "g.onnx", graph)


@pytest.mark.parametrize("rows", ["batch", 1])
def test_a_graph_that_wants_more_memory_than_there_is(tmp_path: Path, rows: str | int) -> None:
    with pytest.raises(ModelError, match="the graph fails when it is tried") as caught:
        examine_graph(spec(sums_zeros(tmp_path, rows, 1 << 36)))
    assert "more memory than there is" in str(caught.value)


@pytest.mark.parametrize("rows", ["batch", 1])
def test_a_graph_that_computes_more_than_any_request_may_is_told_of(tmp_path: Path, rows: str | int) -> None:
    examined = examine_graph(spec(sums_zeros(tmp_path, rows, 1 << 46)))
    assert "1,000,000,000,000 multiplications" in examined.limits[-1]
    assert not examined.checks
