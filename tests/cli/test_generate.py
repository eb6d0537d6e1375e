"""`turnwise generate`, with a real model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command


@pytest.fixture
def model(stories_models: Path) -> Path:
    return stories_models / "stories260k-genai-fp32"


def test_only_the_generated_text_is_on_stdout(command: Command, model: Path) -> None:
    ended = command("generate", model, "Once upon a time", "--max-tokens", 20)
    assert ended.code == 0
    assert ended.out.startswith(", there was a little girl")
    assert ended.out.endswith("\n")
    assert "there was" not in ended.err
    assert command("generate", model, "Once upon a time", "--max-tokens", 20).out == ended.out


def test_the_seed_chooses_what_is_drawn(command: Command, model: Path) -> None:
    def drawn(seed: int) -> str:
        return command(
            "generate", model, "Once upon a time", "--max-tokens", 30, "--temperature", "1.0", "--seed", seed
        ).out

    assert drawn(1) == drawn(1)
    assert len({drawn(1), drawn(2), drawn(3)}) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-tokens", "0"], "tokens"),
        (["--max-tokens", "many"], "--max-tokens"),
        (["--temperature", "-1"], "temperature"),
        (["--temperature", "nan"], "temperature"),
        (["--seed", "x"], "--seed"),
    ],
)
def test_wrong_options(command: Command, model: Path, arguments: list[str], message: str) -> None:
    ended = command("generate", model, "Once", *arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert message in ended.err


def test_a_folder_that_is_no_model(command: Command, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing\x1b[2J"):
        ended = command("generate", folder, "Once")
        assert ended.code == 2
        assert ended.out == ""
        assert ended.err.startswith("error: ")
        assert "\x1b" not in ended.err


def test_a_prompt_that_is_too_long(command: Command, model: Path) -> None:
    ended = command("generate", model, "Once upon a time " * 2000)
    assert ended.code == 2
    assert "context" in ended.err or "long" in ended.err
    assert json.loads(command("generate", model, "x " * 9000, "--json").out)["error"]["exit"] == 2
