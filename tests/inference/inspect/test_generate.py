from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers

from tests.inference import graphs, toy
from tests.inference.numpy_decoder import likeliest
from turnwise.errors import ModelError, UsageError
from turnwise.inference.inspect.generate import generate_text
from turnwise.inference.plans.model_info import ModelInfo


def test_text_comes_in_pieces(tmp_path: Path) -> None:
    infos: list[ModelInfo] = []
    pieces = list(generate_text(toy.write_folder(tmp_path), "w", provider="cpu", on_loaded=infos.append))
    assert pieces == ["x", "y", "z"]
    assert infos[0].context_length == toy.CONTEXT_LENGTH


def test_the_seed_decides(tmp_path: Path) -> None:
    folder = toy.write_attention_folder(tmp_path)

    def text(seed: int) -> str:
        return "".join(generate_text(folder, "ab", temperature=1.0, seed=seed, tokens_max=30))

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_wrong_arguments_are_the_users_mistake(tmp_path: Path) -> None:
    folder = toy.write_folder(tmp_path)
    with pytest.raises(UsageError, match="prompt must not be empty"):
        generate_text(folder, "")
    with pytest.raises(UsageError, match="tokens_max"):
        generate_text(folder, "a", tokens_max=0)
    with pytest.raises(UsageError, match="temperature"):
        generate_text(folder, "a", temperature=1e9)
    with pytest.raises(UsageError, match="the model's context"):
        list(generate_text(folder, "a" * 100))
    with pytest.raises(UsageError):
        generate_text(folder, "a", temperature=float("nan"))
    with pytest.raises(ModelError):
        generate_text(tmp_path / "nowhere", "a")


def test_another_process_generates_the_same(demo_model: Path) -> None:
    folder = demo_model
    script = (
        "import sys; from turnwise.inference.inspect.generate import generate_text\n"
        "print(''.join(generate_text(sys.argv[1], 'One day', temperature=0.8, seed=11, tokens_max=100)))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script, str(folder)],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    here = "".join(generate_text(folder, "One day", temperature=0.8, seed=11, tokens_max=100))
    assert texts == {here + "\n"}


def test_a_plain_computation_gives_the_same_text(in_layout: Callable[[str], Path]) -> None:
    folder = in_layout("genai-fp32")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompt = tokenizer.encode("Once upon a time there was a girl").ids
    text = "".join(generate_text(folder, "Once upon a time there was a girl", tokens_max=12))
    vocabulary = tokenizer.get_vocab_size()
    answer: list[int] = []
    while len(answer) < 12:
        answer += likeliest("genai-fp32", prompt, [*answer, 0], vocabulary)[-1:]
    assert tokenizer.decode(prompt) + text == tokenizer.decode(prompt + answer)


@pytest.mark.trained
def test_the_reference(stories_models: Path) -> None:
    (reference,) = json.loads((stories_models / "reference.json").read_text())
    folder = stories_models / "stories260k-genai-fp32"
    pieces = generate_text(folder, reference["prompt"], tokens_max=reference["max_tokens"])
    assert "".join(pieces) == reference["completion"]


def test_a_model_of_another_task_says_what_it_is(tmp_path: Path) -> None:
    graph = graphs.write_graph(tmp_path / "policy.onnx", graphs.dense_graph())
    encoder = graphs.write_encoder(tmp_path / "encoder")
    for path, task in ((graph, "infer"), (encoder, "embed")):
        with pytest.raises(ModelError, match=f"is a model to {task} with, and generates no text"):
            generate_text(path, "x")
