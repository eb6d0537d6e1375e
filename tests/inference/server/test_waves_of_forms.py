"""Forms of graphs whose bits depend on their batches, batched as they come: a wave gives the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.inference.forms_toy import Form, write_form
from tests.inference.server.test_model_server import PROMPTS, answers, one, played, request, wave
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.server.model_server import ModelServer

BOUND: Final = [
    Form("grouped", "int4", 32, 1),
    Form("packed", "int4", 16, 0),
    Form("grouped", "int4", 128, 4),
    Form("grouped", "int8"),
    Form("decomposed", "int4", 32, 1),
    Form("decomposed", "int8"),
    Form("multihead", "int8"),
]
"""Under the rules that are taken for them, all of these are `batch-invariant`."""


@pytest.mark.parametrize("form", BOUND, ids=str)
def test_a_wave_of_a_form_that_depends_on_its_batches(form: Form, tmp_path: Path) -> None:
    path = write_form(tmp_path / "model", form)
    model = load_model(ModelSpec("m", path, "cpu", batching="free"))
    assert model.info.numeric is not None
    assert model.info.numeric.numeric_class == "plan-bound", model.info.numeric
    first = one(ModelServer(model), wave())
    server = ModelServer(model)
    server.submit(request(900, PROMPTS[2] + "!", tokens_max=30))
    server.step()
    server.submit_wave(wave())
    server.submit_wave(wave(2, first=100, prompts=PROMPTS[1:3]))
    _, [again, _] = played(server)
    assert answers(again) == answers(first)
    other = load_model(ModelSpec("m", path, "cpu", batching="free"))
    assert one(ModelServer(other), wave(plan=first.plan)) == first
