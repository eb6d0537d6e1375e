"""Models as the real builder makes them, with random weights, against a plain decode by transformers.

Needs torch, transformers, onnx and onnxruntime-genai, which Turnwise itself does not: in this interpreter, or in the
one that `TURNWISE_TEST_BUILDER_PYTHON` names: `pytest -m builder tests/inference/engine`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference.tools.build_models import ARCHITECTURES
from turnwise.core.canonical import canonical
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

TOOL = Path(__file__).parents[1] / "tools" / "build_models.py"
pytestmark = pytest.mark.builder

PACKAGES = ("torch", "transformers", "onnx", "onnxruntime_genai")
DIFFERENCE_MAX = 2e-3
"""Between two fp32 computations of logits that are about 4 in size."""

CORRELATION_MIN = 0.7
"""Of random weights rounded to 4 bits. Real ones fare better; a wrong rotation or window gives less than 0.5."""


def _builder() -> str:
    """An interpreter that has the packages."""
    named = os.environ.get("TURNWISE_TEST_BUILDER_PYTHON")
    if named:
        return named
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (or set TURNWISE_TEST_BUILDER_PYTHON)")
    return sys.executable


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An architecture's name, and the folder with its models."""
    output = tmp_path_factory.mktemp("architectures")
    ended = subprocess.run(
        [_builder(), str(TOOL), str(output), request.param], capture_output=True, text=True, timeout=280, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return request.param, output


def logits_of(model: LanguageModel, prompt: list[int], tokens: list[int]) -> NDArray[Any]:
    """Logits after the prompt, and after each of the tokens but the last."""
    decoder = model.decoder
    decoder.begin(len(prompt) + len(tokens))
    rows = [decoder.run(prompt).copy()]
    rows += [decoder.run([token]).copy() for token in tokens[:-1]]
    return np.stack(rows).astype(np.float64)


def test_models_of_the_builder_answer_as_transformers_does(built: tuple[str, Path]) -> None:
    name, output = built
    for precision in ("fp32", "int4"):
        folder = output / f"{name}-{precision}"
        model = load_model(ModelSpec("m", folder, "cpu"))
        for answer in json.loads((folder / "reference.json").read_text()):
            ours = logits_of(model, answer["prompt"], answer["tokens"])
            theirs = np.array(answer["logits"])
            if precision == "fp32":
                assert np.abs(ours - theirs).max() < DIFFERENCE_MAX
                assert ours.argmax(1).tolist() == answer["tokens"]
            else:
                assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > CORRELATION_MIN
        numeric = model.info.numeric
        assert numeric is not None
        assert numeric.numeric_class == "batch-invariant"
        assert model.ends == ({1, 7, 9} if name == "llama-tied-mha" else {1})


def test_the_engine_gives_each_the_same_alone_and_together(built: tuple[str, Path]) -> None:
    name, output = built
    model = load_model(ModelSpec("m", output / f"{name}-int4", "cpu"))
    requests = [
        GenerateRequest(number, "m", canonical({"prompt": "ab" * (3 + 11 * number), "tokens_max": 10}), bytes(32))
        for number in range(5)
    ]
    together = answers(Engine(model), requests)
    alone: dict[int, str] = {}
    for request in requests:
        alone |= answers(Engine(load_model(ModelSpec("m", output / f"{name}-int4", "cpu"))), [request])
    assert together == alone


def answers(engine: Engine, requests: list[GenerateRequest]) -> dict[int, str]:
    for request in requests:
        engine.submit(request)
    found: dict[int, str] = {}
    while engine.pending:
        found |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
    return found
