"""`turnwise models`: check, list, pull, bench."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.test_program import turnwise
from tests.inference import graphs, toy
from tests.inference.folders.fake_hub import COMMIT, FakeHub, folder_files
from turnwise.inference.inspect import measure, measure_graph


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures each speed for a moment: these tests look at what is said of it."""
    for module in (measure, measure_graph):
        monkeypatch.setattr(module, "PART_S_MAX", 0.01)


@pytest.mark.parametrize("command", ["pull", "list", "check", "bench"])
def test_every_command_has_help(command: str) -> None:
    ended = turnwise("models", command, "-h")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"Usage: turnwise models {command} ")


def test_check_says_what_a_model_is(command: Command, tmp_path: Path) -> None:
    path = toy.write_optimum_folder(tmp_path, variants=["model", "model_q4"])
    ended = command("models", "check", path, "--provider", "cpu", "--variant", "q4")
    assert (ended.code, ended.err) == (0, "")
    for text in ("optimum, variant q4; also there: fp32", "KV cache 8 bytes a token", "batch-invariant", "run = run"):
        assert text in ended.out
    found = json.loads(command("models", "check", path, "--json").out)
    assert (found["info"]["variant"], found["variants"]) == ("fp32", ["fp32", "q4"])
    assert found["info"]["numeric"]["numeric_class"] == "batch-invariant"


def test_check_says_what_padding_costs(command: Command, in_layout: Callable[[str], Path]) -> None:
    ended = command("models", "check", in_layout("genai-int4-acc1"))
    assert "even numbers of rows" in ended.out
    assert "ms instead of" in ended.out
    assert "rewritten to accuracy level 4" in ended.out
    assert "times as fast here" in ended.out
    assert "instead of" not in command("models", "check", in_layout("genai-int4")).out


def test_check_says_what_a_model_behind_a_url_promises(command: Command) -> None:
    ended = command("models", "check", "http://127.0.0.1:1/v1")
    assert ended.code == 0
    assert "http://127.0.0.1:1/v1: a model behind a URL" in ended.out
    assert "none (nobody here knows what it is" in ended.out
    told = json.loads(command("models", "check", "https://example.com/v1", "--task", "embed", "--json").out)
    assert told["url"] == "https://example.com/v1"
    assert (told["info"]["numeric"]["numeric_class"], told["info"]["task"]) == ("none", "embed")
    for option in (("--variant", "q4"), ("--provider", "cpu"), ("--task", "infer"), ("--no-reproducible",)):
        assert command("models", "check", "http://127.0.0.1:1/v1", *option).code == 2


def test_check_says_that_equal_bits_are_given_up(command: Command, in_layout: Callable[[str], Path]) -> None:
    ended = command("models", "check", in_layout("genai-int4-acc1"), "--provider", "cpu", "--no-reproducible", "--json")
    assert ended.code == 0
    assert "none (equal bits are given up, so nothing was tried)" in ended.err
    assert "sequences are batched as they come: the fastest way" in ended.err
    told = json.loads(ended.out)
    assert (told["info"]["numeric"]["numeric_class"], told["info"]["numeric"]["batching"]) == ("none", "free")


def test_check_and_bench_of_a_graph(command: Command, tmp_path: Path) -> None:
    path = graphs.write_graph(tmp_path / "policy.onnx", graphs.dense_graph())
    ended = command("models", "check", path, "--provider", "cpu")
    assert (ended.code, ended.err) == (0, "")
    for text in (
        "task           infer",
        "x: float32 [batch, 8]",
        "y: float32 [batch, 4]",
        "requests of one row share a run",
    ):
        assert text in ended.out
    found = json.loads(command("models", "check", path, "--json").out)
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "dims": ["batch", 8]}]
    assert (found["numeric_class"], found["tried"]) == ("batch-invariant", {"x": [1, 8]})
    ended = command("models", "bench", path, "--provider", "cpu", "--json")
    assert "calls/s" in ended.err
    assert list(json.loads(ended.out)["calls_per_s"]) == ["1", "2", "4", "8", "16"]


def test_check_and_bench_of_an_encoder(command: Command, tmp_path: Path) -> None:
    path = graphs.write_encoder(tmp_path / "e")
    graphs.write_graph(path / "onnx" / "model_int8.onnx", graphs.encoder_graph(4))
    ended = command("models", "check", path, "--provider", "cpu", "--variant", "int8")
    for text in ("embed, variant int8; also there: fp32", "4 numbers, pooling mean, normalised", "texts of 64 tokens"):
        assert text in ended.out
    ended = command("models", "bench", path, "--provider", "cpu", "--json")
    assert "texts/s one by one" in ended.err
    found = json.loads(ended.out)
    assert (found["task"], found["texts_in_a_request"], list(found["texts_per_s"])) == ("embed", 32, ["16", "64"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "infer", "--variant", "q4"], "there is no variant 'q4'"),
        (["--task", "embed"], "the graph takes input_ids, attention_mask, past_key_values"),
        (["--accuracy-level", "3"], "3 is no accuracy level"),
        (["--accuracy-level", "4"], "no 4-bit products"),
    ],
)
@pytest.mark.parametrize("which", ["check", "bench"])
def test_what_does_not_fit_the_model(
    command: Command, tmp_path: Path, arguments: list[str], words: str, which: str
) -> None:
    ended = command("models", which, toy.write_attention_folder(tmp_path / "m"), *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert len(ended.err.splitlines()) >= 2  # what to do


def test_check_of_what_is_no_model(command: Command, tmp_path: Path) -> None:
    for arguments in (
        [tmp_path],
        [tmp_path / "x\x1b[2J"],
        [tmp_path / "none.onnx"],
        [toy.write_folder(tmp_path / "m"), "--variant", "q4"],
    ):
        ended = command("models", "check", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("error: ")
        assert "\x1b" not in ended.err


def test_list(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNWISE_MODELS", str(tmp_path))
    assert f"no models in {tmp_path}" in command("models", "list").out
    toy.write_folder(tmp_path / "one")
    toy.write_optimum_folder(tmp_path / "two", variants=["model", "model_q4"])
    ended = command("models", "list")
    assert f"{tmp_path / 'one'}\n  onnxruntime-genai" in ended.out
    assert f"{tmp_path / 'two'}\n  optimum: fp32, q4" in ended.out
    assert ended.out.endswith("comes with Turnwise: builtin:demo\n")
    found = json.loads(command("models", "list", tmp_path, "--json").out)
    assert [Path(model["path"]).name for model in found["models"]] == ["one", "two"]
    assert command("models", "list", tmp_path / "nowhere").code == 2


def test_bench(command: Command, tmp_path: Path) -> None:
    path = toy.write_attention_folder(tmp_path)
    ended = command("models", "bench", path, "--provider", "cpu")
    assert (ended.code, ended.err) == (0, "")
    assert "16 sequences" in ended.out
    found = json.loads(command("models", "bench", path, "--json").out)
    assert list(found["step_ms"]) == ["1", "2", "4", "8", "16"]
    assert found["prompt_tokens"] == 256
    assert min(found["prompt_tokens_per_s"], *found["step_ms"].values()) > 0


def test_pull(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub (the extra hub) is not installed")
    files = folder_files(toy.write_optimum_folder(tmp_path / "source", variants=["model", "model_q4"]))
    with FakeHub(files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("TURNWISE_MODELS", str(tmp_path / "models"))
        ended = command("models", "pull", "someone/toy@v1", "--variant", "q4")
        assert ended.code == 0, ended.err
        assert ended.out.startswith(f"pulled: someone/toy@{COMMIT}, variant q4\n")
        assert "4 files" in ended.err
        found = json.loads(command("models", "pull", "someone/toy", "--to", tmp_path / "here", "--json").out)
        assert found["path"] == str(tmp_path / "here")
        assert (found["variant"], found["revision"]) == ("fp32", COMMIT)
        missing = command("models", "pull", "someone/else")
        assert (missing.code, missing.out) == (2, "")
    assert "defgh" in command("generate", tmp_path / "here", "abc", "--variant", "fp32", "--max-tokens", 9).out
