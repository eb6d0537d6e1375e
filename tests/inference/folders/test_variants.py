from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference import graphs
from turnwise.errors import ModelError
from turnwise.inference.folders.task import task_of
from turnwise.inference.folders.variants import choose_graph
from turnwise.inference.plans.model_spec import ModelSpec, Task
from turnwise.inference.tensor_models.embedder import load_embedder
from turnwise.inference.tensor_models.load import load_graph


def folder(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    return path


@pytest.mark.parametrize(
    ("names", "variant", "infer", "embed"),
    [
        (("model.onnx",), None, ("model.onnx", None), ("model.onnx", None)),
        (("model.onnx",), "fp32", ("model.onnx", "fp32"), ("model.onnx", "fp32")),
        (("any.onnx",), None, ("any.onnx", None), ("any.onnx", None)),
        (("onnx/model_q4.onnx",), None, ("onnx/model_q4.onnx", None), ("onnx/model_q4.onnx", None)),
        (("model_int8.onnx", "model.onnx"), None, ("model.onnx", "fp32"), ("model.onnx", "fp32")),
        (("model_int8.onnx", "model.onnx"), "int8", ("model_int8.onnx", "int8"), ("model_int8.onnx", "int8")),
        (("onnx/model_int8.onnx", "onnx/model_fp16.onnx"), None, *[("onnx/model_fp16.onnx", "fp16")] * 2),
        (("model.onnx", "onnx/model.onnx"), None, ("model.onnx", None), ("onnx/model.onnx", None)),
        (("model.onnx", "other.onnx"), None, ("model.onnx", "fp32"), ("model.onnx", "fp32")),
    ],
)
def test_which_graph_is_meant(
    tmp_path: Path, names: tuple[str, ...], variant: str | None, infer: object, embed: object
) -> None:
    tasks: tuple[Task, Task] = ("infer", "embed")
    found = [choose_graph(folder(tmp_path, *names), variant, task) for task in tasks]
    assert [(choice.name, choice.variant) for choice in found] == [infer, embed]


@pytest.mark.parametrize(
    ("names", "variant", "words", "hint"),
    [
        ((), None, "holds 0 .onnx files", "Export the model"),
        (("a.onnx", "b.onnx"), None, "holds 2 .onnx files and no model.onnx", "Name the file itself"),
        (("a.onnx",), "q4", "there is no variant 'q4'", "The folder holds no variants"),
        (("model.onnx", "model_q4.onnx"), "int8", "there is no variant 'int8'", "There: fp32, q4."),
        (("model.onnx", "model_../x.onnx"), "../x", "there is no variant", "There: fp32."),
    ],
)
def test_what_is_not_there(tmp_path: Path, names: tuple[str, ...], variant: str | None, words: str, hint: str) -> None:
    with pytest.raises(ModelError) as caught:
        choose_graph(folder(tmp_path, *names), variant, "infer")
    assert words in caught.value.message
    assert caught.value.hint is not None
    assert hint in caught.value.hint


def test_variants_are_different_models(tmp_path: Path) -> None:
    graphs.write_graph(tmp_path / "model.onnx", graphs.dense_graph())
    graphs.write_graph(tmp_path / "model_q4.onnx", graphs.dense_graph(1))
    whole, small = (load_graph(ModelSpec("m", tmp_path, "cpu", variant=name)).info for name in (None, "q4"))
    assert (whole.variant, small.variant) == ("fp32", "q4")
    assert small.sha256 != whole.sha256 == load_graph(ModelSpec("m", tmp_path / "model.onnx", "cpu")).info.sha256
    with pytest.raises(ModelError, match="is one graph, and has no variant 'q4'"):
        load_graph(ModelSpec("m", tmp_path / "model.onnx", "cpu", variant="q4"))


def test_variants_of_an_encoder(tmp_path: Path) -> None:
    path = graphs.write_encoder(tmp_path / "e")
    alone = load_embedder(ModelSpec("e", path, "cpu")).info
    graphs.write_graph(path / "onnx" / "model_int8.onnx", graphs.encoder_graph(4))
    whole, small = (load_embedder(ModelSpec("e", path, "cpu", variant=name)).info for name in (None, "int8"))
    assert (alone.variant, whole.variant, small.variant) == (None, "fp32", "int8")
    assert alone.sha256 == whole.sha256 != small.sha256


def test_a_folder_of_graphs_is_there_to_infer(tmp_path: Path) -> None:
    assert task_of(ModelSpec("m", folder(tmp_path, "onnx/model.onnx"))) == "infer"
    assert task_of(ModelSpec("m", folder(tmp_path, "tokenizer.json"))) == "generate"
