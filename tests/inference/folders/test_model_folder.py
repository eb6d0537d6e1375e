from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference import toy
from turnwise.errors import ModelError
from turnwise.inference.folders.model_folder import read_model_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return toy.write_folder(tmp_path / "model")


def external(path: Path, *, location: str = "weights.bin", dims: tuple[int, ...] = (4,), **entries: str) -> Path:
    graph = toy.bigram_graph(np.zeros((toy.VOCABULARY, toy.VOCABULARY), np.float32))
    graph.tensors.append(toy.external_tensor("w", dims, location=location, **entries))
    return toy.write_folder(path, graph)


def error(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_model_folder(path)
    assert caught.value.exit_code == 2
    return caught.value


def test_what_is_read(folder: Path) -> None:
    model = read_model_folder(folder)
    assert list(model.files) == ["genai_config.json", "model.onnx", "tokenizer.json", "tokenizer_config.json"]
    assert (model.layout.layers, model.layout.kv_heads, model.layout.head_size) == (1, 1, 1)
    assert model.layout.context_length == toy.CONTEXT_LENGTH
    assert model.layout.ends == {toy.END}
    assert model.add_bos
    assert model.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    assert model.layout.names.past_key == "past_key_values.%d.key"
    assert model.template is None


def test_several_end_tokens(tmp_path: Path) -> None:
    folder = toy.write_folder(tmp_path, configuration=toy.config(eos_token_id=[1, 5]))
    assert read_model_folder(folder).layout.ends == {1, 5}


def test_the_template_of_its_own_file_goes_first(tmp_path: Path) -> None:
    folder = toy.write_folder(tmp_path, tokenizer_config={"chat_template": "from the config"})
    model = read_model_folder(folder)
    assert model.template == "from the config"
    assert str(model.template_from).endswith("tokenizer_config.json: chat_template")
    (folder / "chat_template.jinja").write_text("from its file")
    assert read_model_folder(folder).template == "from its file"
    assert "chat_template.jinja" in read_model_folder(folder).files


def test_named_templates(tmp_path: Path) -> None:
    several = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    assert read_model_folder(toy.write_folder(tmp_path, tokenizer_config={"chat_template": several})).template == "d"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    caught = error(tmp_path / "nowhere")
    assert str(caught).startswith(f"{tmp_path / 'nowhere'}: does not exist")
    assert "genai_config.json, model.onnx, tokenizer.json" in str(caught)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("")
    assert "is a file, not a folder" in str(error(tmp_path / "model"))


@pytest.mark.parametrize("name", ["genai_config.json", "model.onnx", "tokenizer.json"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    caught = error(folder)
    assert f"{name} is missing" in caught.message
    assert caught.where == str(folder)
    assert caught.hint is not None


def test_tokenizer_config_can_be_absent(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    assert not read_model_folder(folder).add_bos


@pytest.mark.parametrize("name", ["genai_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff\xfe", "[" * 50_000])
def test_damaged_json(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(text.encode("latin-1"))
    caught = error(folder)
    assert caught.where == str(folder / name)
    assert "Copy the folder again" in str(caught)


def change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(config: dict[str, Any]) -> None:
        *path, last = key.split(".")
        target = config["model"]
        for part in path:
            target = target[part]
        if value is None:
            del target[last]
        else:
            target[last] = value

    return apply


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("context_length", None, "context_length"),
        ("context_length", "512", "$.model.context_length"),
        ("context_length", 1, "context_length is 1"),
        ("context_length", 10**12, "context_length"),
        ("vocab_size", 0, "vocab_size is 0"),
        ("vocab_size", 10**12, "vocab_size"),
        ("eos_token_id", None, "eos_token_id"),
        ("eos_token_id", 258, "eos_token_id 258"),
        ("eos_token_id", [1, -1], "eos_token_id -1"),
        ("bos_token_id", 258, "bos_token_id"),
        ("decoder", None, "decoder"),
        ("decoder.filename", None, "filename"),
        ("decoder.head_size", None, "head_size"),
        ("decoder.head_size", 0, "head_size is 0"),
        ("decoder.num_hidden_layers", 10**9, "num_hidden_layers"),
        ("decoder.num_key_value_heads", -1, "num_key_value_heads"),
        ("decoder.inputs.past_key_names", "past.key", "%d"),
        ("decoder.outputs.present_key_names", "present.%d.%s", "%d"),
    ],
)
def test_wrong_values_are_named(folder: Path, key: str, value: Any, named: str) -> None:
    config = toy.config()
    change(key, value)(config)
    (folder / "genai_config.json").write_text(json.dumps(config))
    caught = error(folder)
    assert named in str(caught)
    assert str(folder / "genai_config.json") in str(caught)


@pytest.mark.parametrize("name", ["/etc/passwd", "../model.onnx", "a/../../b", "", "..\\b"])
def test_a_graph_outside_the_folder(folder: Path, name: str) -> None:
    config = toy.config()
    config["model"]["decoder"]["filename"] = name
    (folder / "genai_config.json").write_text(json.dumps(config))
    assert "is not inside the model folder" in str(error(folder))


def test_external_data(tmp_path: Path) -> None:
    folder = external(tmp_path, offset="8", length="16")
    (folder / "weights.bin").write_bytes(bytes(24))
    model = read_model_folder(folder)
    assert "weights.bin" in model.files
    assert model.weights_bytes == (folder / "model.onnx").stat().st_size + 24


def test_external_data_is_missing(tmp_path: Path) -> None:
    assert "weights.bin, named by model.onnx, is missing" in str(error(external(tmp_path)))


def test_external_data_is_too_short(tmp_path: Path) -> None:
    folder = external(tmp_path, offset="8")
    (folder / "weights.bin").write_bytes(bytes(23))
    caught = error(folder)
    assert (caught.expected, caught.actual) == (24, 23)
    assert caught.where == str(folder / "weights.bin")


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "", "a/../../weights.bin"])
def test_external_data_outside_the_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(100))
    assert "named by model.onnx, is not inside" in str(error(external(tmp_path / "model", location=location)))


def test_a_link_that_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(100))
    folder = external(tmp_path / "model")
    (folder / "weights.bin").symlink_to(tmp_path / "secret")
    assert "leads out of the model folder" in str(error(folder))


def test_links_of_the_hugging_face_cache_are_followed(tmp_path: Path) -> None:
    repository = tmp_path / "models--someone--something"
    folder = toy.write_folder(repository / "snapshots" / "abc123")
    (repository / "blobs").mkdir()
    for path in list(folder.iterdir()):
        path.replace(repository / "blobs" / path.name)
        path.symlink_to(Path("../../blobs") / path.name)
    assert read_model_folder(folder).layout.vocabulary_size == toy.VOCABULARY
    (folder / "tokenizer.json").unlink()
    (tmp_path / "elsewhere.json").write_text("{}")
    (folder / "tokenizer.json").symlink_to(tmp_path / "elsewhere.json")
    assert "leads out of the model folder" in str(error(folder))


def test_a_pipe_is_not_a_file(folder: Path) -> None:
    import os

    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")
    assert "tokenizer.json is missing" in str(error(folder))


def test_compiled_code_is_not_run(tmp_path: Path) -> None:
    graph = toy.bigram_graph(np.zeros((toy.VOCABULARY, toy.VOCABULARY), np.float32))
    graph.nodes.append(toy.node("EPContext", [], ["x"], domain=toy.MICROSOFT))
    assert "compiled for one device" in str(error(toy.write_folder(tmp_path, graph)))


def test_a_template_that_is_no_text(tmp_path: Path) -> None:
    folder = toy.write_folder(tmp_path, tokenizer_config={"chat_template": 3})
    assert "tokenizer_config.json: chat_template" in str(error(folder))
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    assert "is not UTF-8" in str(error(folder))
