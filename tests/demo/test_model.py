"""The model that comes with Turnwise: what it is, and what can be promised of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import turnwise
from tests.examples.haggle import WORLD, agent_module
from turnwise.demo import BUILTIN_DEMO, model_folder
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec

BYTES_MAX = 8_000_000
PROMPT = (
    "You are Ada, a shy buyer. You want the lamp of Ben. You can pay at most 40.\n"
    "Ben: It burns all night. The lamp costs 55.\n"
    "Ada:"
)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model(ModelSpec("demo", model_folder(BUILTIN_DEMO), "cpu"))


def test_it_is_small_enough_for_a_package() -> None:
    sizes = {path.name: path.stat().st_size for path in model_folder(BUILTIN_DEMO).iterdir()}
    assert sum(sizes.values()) <= BYTES_MAX
    assert set(sizes) == {
        "README.md",
        "config.json",
        "genai_config.json",
        "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_it_is_a_model_like_any_other(model: LanguageModel) -> None:
    assert (model.info.convention, model.info.architecture) == ("onnxruntime-genai", "llama")
    assert (model.info.form, model.info.context_length) == ("in_place float32", 512)
    assert model.template is not None


def test_its_bits_do_not_depend_on_what_runs_beside_it(model: LanguageModel) -> None:
    numeric = model.info.numeric
    assert numeric is not None
    assert (numeric.numeric_class, numeric.batching, numeric.chunked) == ("batch-invariant", "free", True)
    assert numeric.checks
    assert all(numeric.checks.values())


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "turnwise", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_commands_take_it_by_its_name() -> None:
    said = cli("generate", BUILTIN_DEMO, PROMPT, "--regex", agent_module("speech").form("Ben"))
    assert said.returncode == 0, said.stderr
    assert re.fullmatch(r" [A-Z][A-Za-z ,.:!?0-9]+\n+", said.stdout)
    assert agent_module("speech").read(said.stdout) is not None
    checked = cli("models", "check", BUILTIN_DEMO, "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["path"] == str(model_folder(BUILTIN_DEMO))
    assert cli("models", "check", "builtin:other").returncode == 2


def test_a_run_resumes_with_it(tmp_path: Path) -> None:
    """By its name, wherever the installation lay that began the run."""
    path = tmp_path / "a.journal"
    with turnwise.start(WORLD, rounds=5, journal=path, workers=1) as live:
        for _ in range(3):
            live.step()
    with turnwise.resume(path, models={"haggler": BUILTIN_DEMO}, workers=1) as live, live.result() as run:
        assert run.status == "rounds_max"
        assert any(turn.effects for turn in run.turns)
