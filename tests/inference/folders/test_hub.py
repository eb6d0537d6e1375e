"""Pulling models, from a hub on the loopback address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inference import graphs, toy
from tests.inference.folders.fake_hub import COMMIT, FakeHub, folder_files
from turnwise.errors import EnvironmentFailure, ModelError, UsageError
from turnwise.inference.folders.hub import HubFile, choose, local_models, pull, split_name
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.inspect.examine_graph import examine_encoder
from turnwise.inference.inspect.generate import generate_text
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.system.user_folders import models_folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with a model in three variants, of which one has its weights in a file of their own, and other files."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub (the extra hub) is not installed")
    source = toy.write_optimum_folder(tmp_path / "source", variants=["model", "model_q4", "model_fp16"])
    others = {"README.md": b"# Toy\n", "model.safetensors": bytes(20_000), "onnx/model_q4.onnx_data": bytes(30_000)}
    with FakeHub(folder_files(source) | others) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("TURNWISE_MODELS", str(tmp_path / "models"))
        yield hub


def test_a_model_is_pulled_and_generates(hub: FakeHub, tmp_path: Path) -> None:
    pulled = pull("someone/toy")
    assert pulled.path == tmp_path / "models" / "someone" / "toy"
    assert (pulled.revision, pulled.variant) == (COMMIT, "fp32")
    assert sorted(hub.fetched()) == ["config.json", "onnx/model.onnx", "tokenizer.json", "tokenizer_config.json"]
    assert "".join(generate_text(pulled.path, "abc")) == "defghijklmnopqrstuvwxyz"
    (found,) = local_models(models_folder())
    assert (found.repository, found.revision, found.variants) == ("someone/toy", COMMIT, ("fp32",))


def test_a_variant_comes_with_its_weights(hub: FakeHub) -> None:
    pulled = pull("someone/toy", "v1", variant="q4")
    assert {"onnx/model_q4.onnx", "onnx/model_q4.onnx_data"} <= set(hub.fetched())
    assert "onnx/model.onnx" not in hub.fetched()
    assert read_model_folder(pulled.path).layout.variant == "q4"
    assert read_model_folder(pull("someone/toy", variant="fp16").path, "q4").layout.variant == "q4"


def test_what_is_there_is_not_fetched_again(hub: FakeHub) -> None:
    pull("someone/toy")
    hub.requests.clear()
    pull("someone/toy")
    assert hub.fetched() == []


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces as small as the toy's graph, since the library writes down pieces of 10 MB."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut.add("onnx/model.onnx")
    pulled = pull("someone/toy")
    assert (pulled.path / "onnx" / "model.onnx").read_bytes() == hub.files["onnx/model.onnx"]
    half = len(hub.files["onnx/model.onnx"]) // 2
    (asked,) = [asked for _, path, asked in hub.requests if path.endswith("model.onnx") and asked]
    assert half - 1000 <= int(asked.removeprefix("bytes=").rstrip("-")) <= half


@pytest.mark.parametrize("name", ["onnx/model.onnx", "config.json"])
def test_a_file_that_is_not_what_the_hub_says(hub: FakeHub, name: str) -> None:
    hub.changed.add(name)
    with pytest.raises(EnvironmentFailure, match="is not what the hub says it is") as caught:
        pull("someone/toy")
    assert caught.value.where is not None
    assert not Path(caught.value.where).exists()
    hub.changed.clear()
    assert "".join(generate_text(pull("someone/toy").path, "x")) == "yz"


def test_what_is_not_there(hub: FakeHub) -> None:
    with pytest.raises(UsageError, match="no such repository"):
        pull("nobody/nothing")
    with pytest.raises(UsageError, match="no such revision"):
        pull("someone/toy", "v9")
    with pytest.raises(ModelError, match="has no variant 'int8'") as caught:
        pull("someone/toy", variant="int8")
    assert caught.value.where == "someone/toy"
    assert "fp32, fp16, q4" in str(caught.value)
    assert hub.fetched() == []


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub (the extra hub) is not installed")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EnvironmentFailure, match="the download failed") as caught:
        pull("someone/toy", folder=tmp_path)
    assert "goes on from there" in str(caught.value)


def test_a_folder_that_cannot_be_written(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFailure, match=r"cannot be written: .*Not a directory") as caught:
        pull("someone/toy", folder=tmp_path / "file")
    assert "--to FOLDER" in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes")
def test_a_disk_that_is_full(hub: FakeHub, tmp_path: Path) -> None:
    program = (
        "import resource, pathlib\n"
        "from turnwise.inference.folders.hub import pull\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"pull('someone/toy', folder=pathlib.Path({str(tmp_path / 'm')!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "EnvironmentFailure: someone/toy: onnx/model.onnx: the disk is full" in done.stderr
    assert "Make room. What has arrived is kept" in done.stderr
    assert pull("someone/toy", folder=tmp_path / "m").files > 0


def test_an_encoder_comes_with_its_pooling(hub: FakeHub, tmp_path: Path) -> None:
    hub.files.clear()
    hub.files.update(folder_files(graphs.write_encoder(tmp_path / "encoder", pooling="cls_token")))
    found = examine_encoder(ModelSpec("e", pull("someone/toy", folder=tmp_path / "here").path, "cpu"))
    assert found.pooled is not None
    assert (found.pooled.pooling, found.pooled.normalised) == ("cls", True)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"turnwise\[hub\]"):
        pull("someone/toy")


@pytest.mark.parametrize("text", ["", "x", "a/b/c", "../b", "a/b@", "https://hub/a/b", "a/b c", "a/b@\x1b[2J"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="names no repository"):
        split_name(text)


def test_names() -> None:
    assert split_name("a/b") == ("a/b", None)
    assert split_name("a/b.c-d@refs/pr/1") == ("a/b.c-d", "refs/pr/1")


def listed(*names: str) -> list[HubFile]:
    return [HubFile(name, 1, None, None) for name in names]


def test_which_files_belong_to_a_model() -> None:
    genai = ["genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json", "a.py", "x.bin", "LICENSE"]
    chosen, folder, variant = choose(listed(*genai, "sub/tokenizer.json"), None)
    assert ({file.name for file in chosen}, folder, variant) == (set(genai) - {"a.py", "x.bin"}, ".", None)

    several = [f"{name}/{file}" for name in ("cpu/int4", "cuda/fp16") for file in ("genai_config.json", "model.onnx")]
    with pytest.raises(ModelError, match="holds several models"):
        choose(listed(*several), None)
    for asked in ("int4", "cpu/int4"):
        chosen, folder, variant = choose(listed(*several), asked)
        assert {file.name for file in chosen} == {"cpu/int4/genai_config.json", "cpu/int4/model.onnx"}
        assert (folder, variant) == ("cpu/int4", "cpu/int4")

    optimum = ["config.json", "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1", "onnx/model_q4.onnx"]
    chosen, _, variant = choose(listed(*optimum, "onnx/decoder.onnx", "tf/x.json"), None)
    assert ({file.name for file in chosen}, variant) == (set(optimum[:4]), "fp32")
    with pytest.raises(ModelError, match="holds no model"):
        choose(listed("config.json", "model.safetensors"), None)


def test_names_that_the_hub_makes_up_are_left_out(hub: FakeHub, tmp_path: Path) -> None:
    hub.files |= {"../evil.json": b"{}", "/etc/evil.json": b"{}", "a\x1b[2J.json": b"{}", "onnx/../../evil.json": b"{}"}
    pull("someone/toy")
    assert not list(tmp_path.rglob("*evil*"))


def test_models_below_a_folder(tmp_path: Path) -> None:
    toy.write_folder(tmp_path / "a" / "genai")
    toy.write_optimum_folder(tmp_path / "b", variants=["model_q4", "model"])
    (tmp_path / "c").mkdir()
    (tmp_path / "b" / "turnwise-model.json").write_text('["no record"]')
    first, second = local_models(tmp_path)
    assert (first.path, first.convention, first.variants) == (tmp_path / "a" / "genai", "onnxruntime-genai", ())
    assert (second.convention, second.variants, second.repository) == ("optimum", ("fp32", "q4"), None)
    assert second.size > 0
    assert local_models(tmp_path / "nowhere") == []
