from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference import toy
from turnwise.errors import ModelError
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.onnx import sessions
from turnwise.inference.onnx.accuracy_level import with_accuracy
from turnwise.inference.onnx.graph_facts import read_graph
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.tensor_models.load import load_graph

PROMPT = [1, *range(3, 60)]


def quantised(*levels: int | None, inside: bytes = b"") -> bytes:
    """A graph with a product of each level (None: unset)."""
    graph = toy.Graph(inputs=[toy.value("x", toy.FLOAT, ["n", 32])])
    for number, level in enumerate(levels):
        named = {} if level is None else {"accuracy_level": level}
        sizes = {"K": 32, "N": 8, **named, "bits": 4, "block_size": 32}
        graph.nodes.append(toy.node("MatMulNBits", ["x", "w", "s"], [f"y{number}"], toy.MICROSOFT, **sizes))
    graph.nodes += [inside] * bool(inside)
    return graph.model()


def levels(model: bytes, path: Path) -> dict[int, int]:
    path.write_bytes(model)
    return {kind.accuracy: count for kind, count in read_graph(path).quantised.items()}


def test_every_product_gets_the_level_and_nothing_else_changes(tmp_path: Path) -> None:
    mixed = quantised(1, None, 4, 0)
    assert levels(with_accuracy(mixed, 4), tmp_path / "m.onnx") == {4: 4}
    assert with_accuracy(quantised(1, 0), 4) == quantised(4, 4)
    assert with_accuracy(quantised(4, 4), 4) == quantised(4, 4)
    plain = toy.attention_graph().model()
    assert with_accuracy(plain, 4) == plain


def test_products_in_subgraphs_and_functions(tmp_path: Path) -> None:
    inner = toy.node("MatMulNBits", ["x", "w", "s"], ["z"], toy.MICROSOFT, K=32, N=8, bits=4, block_size=32)
    branch = toy.message(5, toy.message(1, "then_branch"), toy.message(6, toy.message(1, inner)), toy.number(20, 5))
    nested = toy.node("If", ["c"], ["o"]) + branch
    model = quantised(1, inside=nested) + toy.message(25, toy.message(1, "f"), toy.message(7, inner))
    assert levels(model, tmp_path / "m.onnx") == {1: 1, 0: 2}
    assert levels(with_accuracy(model, 4), tmp_path / "m.onnx") == {4: 3}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused_or_kept(data: st.DataObject) -> None:
    model = bytearray(quantised(1, None))
    for _ in range(data.draw(st.integers(1, 4))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        with_accuracy(bytes(model), 4)


def logits(model: LanguageModel) -> list[bytes]:
    """Of a prompt and of five steps after it."""
    decoder = model.decoder
    decoder.begin(200)
    found = [decoder.prefill(0, PROMPT).tobytes()]
    return found + [decoder.decode([token])[0].tobytes() for token in range(20, 25)]


def test_a_rewritten_model_is_the_model_built_so(in_layout: Callable[[str], Path]) -> None:
    low, built = (in_layout(f"genai-{name}") for name in ("int4-acc1", "int4"))
    graphs = [next(folder.rglob("model.onnx")).read_bytes() for folder in (low, built)]
    assert with_accuracy(graphs[0], 4) == graphs[1]
    rewritten = load_model(ModelSpec("m", low, "cpu", accuracy_level=4))
    plain, wanted = load_model(ModelSpec("m", low, "cpu")), load_model(ModelSpec("m", built, "cpu"))
    assert logits(rewritten) == logits(wanted) != logits(plain)
    assert rewritten.info.numeric == wanted.info.numeric != plain.info.numeric
    assert rewritten.info.numeric is not None
    assert rewritten.info.numeric.batching == "free"
    assert (rewritten.info.accuracy_level, plain.info.accuracy_level) == (4, None)


def test_its_class_is_found_anew_and_its_hash_is_its_own(
    in_layout: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path))
    path = in_layout("genai-int4-acc1")
    plain = load_model(ModelSpec("m", path, "cpu")).info
    before = (tmp_path / "self-tests.json").stat().st_size
    rewritten = load_model(ModelSpec("m", path, "cpu", accuracy_level=4)).info
    assert (tmp_path / "self-tests.json").stat().st_size > before
    assert plain.sha256 != rewritten.sha256
    already = in_layout("genai-int4")
    alike = [load_model(ModelSpec("m", already, "cpu", accuracy_level=level)).info for level in (None, 4)]
    assert alike[0].sha256 == alike[1].sha256
    assert alike[1].accuracy_level is None


def test_a_graph_without_such_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toy.write_attention_folder(tmp_path / "m")
    with pytest.raises(ModelError, match="no 4-bit products that could be rewritten to accuracy level 4") as caught:
        load_model(ModelSpec("m", path, "cpu", accuracy_level=4))
    assert "Leave accuracy_level out" in str(caught.value)
    (path / "big.onnx").write_bytes(quantised(1))
    monkeypatch.setattr("turnwise.inference.onnx.accuracy_level.REWRITTEN_BYTES_MAX", 10)
    with pytest.raises(ModelError, match="too many to rewrite"):
        load_graph(ModelSpec("g", path / "big.onnx", "cpu", accuracy_level=4))


def product_graph(level: int) -> toy.Graph:
    """A graph to infer with one product of 4 bits."""
    weights = np.random.default_rng(0).integers(0, 256, (8, 4, 16), np.uint8)
    scales = np.random.default_rng(1).standard_normal(32).astype(np.float32)
    packed = b"".join(toy.number(1, dim) for dim in weights.shape) + toy.number(2, 2) + toy.message(8, "w")
    return toy.Graph(
        inputs=[toy.value("x", toy.FLOAT, ["batch", 128])],
        outputs=[toy.value("y", toy.FLOAT, ["batch", 8])],
        tensors=[packed + toy.message(9, weights.tobytes()), toy.tensor("s", scales)],
        nodes=[
            toy.node(
                "MatMulNBits", ["x", "w", "s"], ["y"], toy.MICROSOFT,
                K=128, N=8, accuracy_level=level, bits=4, block_size=32,
            )
        ],
    )  # fmt: skip


def test_graphs_to_infer_are_rewritten_too(tmp_path: Path) -> None:
    for level in (1, 4):
        (tmp_path / f"{level}.onnx").write_bytes(product_graph(level).model())
    low, built = tmp_path / "1.onnx", tmp_path / "4.onnx"
    x = np.random.default_rng(2).standard_normal((1, 128)).astype(np.float32)
    found = [
        load_graph(ModelSpec("g", path, "cpu", accuracy_level=level))
        for path, level in ((low, None), (low, 4), (built, None))
    ]
    plain, rewritten, wanted = (model.model.run({"x": x})["y"].tobytes() for model in found)
    assert rewritten == wanted != plain
    assert [model.info.accuracy_level for model in found] == [None, 4, None]
    assert len({model.info.sha256 for model in found}) == 3


def test_only_models_that_generate_have_a_context(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(product_graph(4).model())
    with pytest.raises(ModelError, match="only models that generate have a context"):
        load_graph(ModelSpec("g", tmp_path / "g.onnx", "cpu", context_tokens_max=64))


def test_the_file_is_what_runs_where_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "with_accuracy", None)
    (tmp_path / "g.onnx").write_bytes(product_graph(1).model())
    assert load_graph(ModelSpec("g", tmp_path / "g.onnx", "cpu")).info.accuracy_level is None
