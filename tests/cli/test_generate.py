"""`turnwise generate`, with a real model."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command


@pytest.fixture
def model(demo_model: Path) -> Path:
    return demo_model


def test_only_the_generated_text_is_on_stdout(command: Command, model: Path) -> None:
    ended = command("generate", model, "Once upon a time", "--max-tokens", 20)
    assert ended.code == 0
    assert re.search("[a-z]", ended.out)
    assert ended.out.endswith("\n")
    assert ended.out.strip() not in ended.err
    assert command("generate", model, "Once upon a time", "--max-tokens", 20).out == ended.out


def test_equal_bits_can_be_given_up(command: Command, model: Path) -> None:
    ended = command("generate", model, "Once upon a time", "--max-tokens", 20, "--no-reproducible")
    assert ended.code == 0
    assert re.search("[a-z]", ended.out)


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
        (["--top-p", "0"], "top_p must be a number above 0, at most 1"),
        (["--top-p", "nan"], "--top-p"),
        (["--min-p", "2"], "min_p must be a number from 0 to 1"),
        (["--top-k", "0"], "top_k"),
        (["--regex", "(("], "unclosed group"),
        (["--json-schema", "no-such-file.json"], "--json-schema"),
        (["--system", "Be brief."], "system goes with messages"),
    ],
)
def test_wrong_options(command: Command, model: Path, arguments: list[str], message: str) -> None:
    ended = command("generate", model, "Once", *arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert message in ended.err


def test_an_answer_in_a_form(command: Command, model: Path, tmp_path: Path) -> None:
    schema = tmp_path / "offer.json"
    schema.write_text(
        '{"type": "object", "properties": {"price": {"type": "integer", "maximum": 99, "minimum": 1}}, '
        '"required": ["price"], "additionalProperties": false}'
    )
    ended = command("generate", model, "Tom wants ", "--json-schema", schema, "--temperature", "1.5", "--min-p", "0.01")
    assert 1 <= json.loads(ended.out)["price"] <= 99
    ended = command("generate", model, "Once upon a time", "--regex", " (cat|dog) [0-9]{3}", "--top-p", "0.9")
    assert re.fullmatch(" (cat|dog) [0-9]{3}\n", ended.out)


def test_a_conversation(command: Command, model: Path) -> None:
    plain = command("generate", model, "Once upon a time", "--max-tokens", 20)
    chat = command("generate", model, "Once upon a time", "--max-tokens", 20, "--chat", "--top-k", 5)
    assert (chat.code, chat.out) == (0, plain.out)


@pytest.mark.parametrize("content", ["{", "[1]", '{"type": "banana"}', '{"a": NaN}', "\xff"])
def test_a_schema_that_is_none(command: Command, model: Path, tmp_path: Path, content: str) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(content, encoding="latin-1")
    ended = command("generate", model, "Once", "--json-schema", schema)
    assert ended.code == 2
    assert ended.out == ""
    assert "Traceback" not in ended.err


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


def test_interrupted_in_mid_text(model: Path) -> None:
    command = [sys.executable, "-m", "turnwise", "generate", str(model), "Once upon a time", "--max-tokens", "480"]
    with subprocess.Popen(
        [*command, "--temperature", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        begun = process.stdout.read(10)
        process.send_signal(signal.SIGINT)
        rest, error = process.stdout.read(), process.stderr.read()
    # It may have come to its end; and an interpreter that leaves has given back the signal to the system already.
    assert process.returncode in (0, 130, -signal.SIGINT)
    assert "Traceback" not in error
    if process.returncode == 130:
        assert error.endswith("interrupted\n")
    assert len(begun) == 10
    assert rest.endswith("\n")


def test_nobody_reads_the_rest(model: Path) -> None:
    command = [sys.executable, "-m", "turnwise", "generate", str(model), "Once upon a time", "--max-tokens", "480"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 0
    assert "Traceback" not in error
    assert "error" not in error
