"""The engine on a device, with rows in place there: whatever is asked, and whoever joins when, answers are the host's.

The fake device computes with the CPU's kernels and copies as strictly as a real one, so the bits can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.inference.fake_device import FakeDevice, open_on_device
from tests.inference.forms_toy import Form, write_form
from turnwise.core.canonical import canonical
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.check_request import CheckReply, CheckRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

SHARED = "the seller shows the buyer what there is, and the buyer asks what it costs. " * 4
SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}, "required": ["name"]}
BODIES: list[dict[str, Any]] = [
    {"tokens_max": 40},
    {"temperature": 1.0, "tokens_max": 9},
    {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "logprobs": 3, "tokens_max": 20},
    {"json_schema": SCHEMA, "temperature": 0.7, "tokens_max": 60},
    {"regex": "[a-z]{3} is followed by a long text that is forced, and by [a-z]{4}", "tokens_max": 80},
    {"temperature": 0.9, "repetition_penalty": 1.3, "presence_penalty": 0.4, "tokens_max": 30},
    {"prompt": SHARED + "and then", "temperature": 0.7, "tokens_max": 25},
    {"prompt": SHARED + "but", "logit_bias": {"5": -3}, "tokens_max": 5},
    {"prompt": SHARED[:170], "stop": ["e"], "tokens_max": 30},
    {"temperature": -1},
]
FORMS = [Form("grouped"), Form("grouped", "fp16"), Form("packed", "fp16"), Form("grouped", "int4", 32, 4)]


def requests() -> list[GenerateRequest]:
    return [
        GenerateRequest(number, "m", canonical({"prompt": f"once upon {number}", **body}), bytes([number + 1]) * 32)
        for number, body in enumerate(BODIES)
    ]


@pytest.fixture(scope="module", params=FORMS, ids=str)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LanguageModel, Decoder]:
    """A model on the host, and a decoder of it on the device."""
    path = write_form(tmp_path_factory.mktemp("model") / "m", request.param)
    return load_model(ModelSpec("m", path, "cpu")), on_device(path)


def on_device(path: Path, *, reproducible: bool = True) -> Decoder:
    folder = read_model_folder(path)
    spec = ModelSpec("m", path, reproducible=reproducible)
    logits = folder.layout.names.logits
    return Decoder(folder, open_on_device(spec, folder.layout.graph_path, folder.weights_bytes, logits, FakeDevice(20)))


def drain(engine: Engine) -> dict[int, GenerateReply]:
    found: dict[int, GenerateReply] = {}
    while engine.pending:
        found |= {event.id: event for event in engine.step() if isinstance(event, GenerateReply)}
    return found


def answers(engine: Engine, asked: Sequence[GenerateRequest]) -> Mapping[int, GenerateReply]:
    for one in asked:
        engine.submit(one)
    return drain(engine)


def test_whatever_is_asked(both: tuple[LanguageModel, Decoder]) -> None:
    model, decoder = both
    here, there = Engine(model), Engine(replace(model, decoder=decoder))
    assert decoder.rows_min > 1
    expected = answers(here, requests())
    assert sum("error" in json.loads(reply.body) for reply in expected.values()) == 1
    assert answers(there, requests()) == expected
    assert answers(there, requests()) == expected, "and from a warm cache"
    assert there.statistics().reused_tokens > 0
    assert there.statistics().extensions > 0


def test_joining_late_and_going_away(both: tuple[LanguageModel, Decoder]) -> None:
    """Rows move on the device when others end or are cancelled."""
    model, decoder = both
    expected = answers(Engine(model), requests())
    engine = Engine(replace(model, decoder=decoder))
    found: dict[int, GenerateReply] = {}
    for number, one in enumerate(requests()):
        engine.submit(one)
        for _ in range(3):
            found |= {event.id: event for event in engine.step() if isinstance(event, GenerateReply)}
        if number == 6:
            engine.cancel(0)
            engine.cancel(5)
    found |= drain(engine)
    assert found == {number: reply for number, reply in expected.items() if number in found}
    assert expected.keys() - found.keys() <= {0, 5}


def test_recorded_answers_are_held_against_it(both: tuple[LanguageModel, Decoder]) -> None:
    model, decoder = both
    replies = answers(Engine(model), requests())
    checks = [CheckRequest(one, replies[one.id].tokens or (), replies[one.id].body) for one in requests()]
    engine = Engine(replace(model, decoder=decoder))
    for check in checks:
        engine.check(check)
    found: dict[int, CheckReply] = {}
    while engine.pending:
        found |= {event.id: event for event in engine.step() if isinstance(event, CheckReply)}
    assert [found[number].departure for number in range(len(checks))] == [None] * len(checks)


def test_without_equal_bits_no_row_is_added(tmp_path: Path) -> None:
    path = write_form(tmp_path / "m", Form("grouped"))
    model = load_model(ModelSpec("m", path, "cpu", reproducible=False))
    decoder = on_device(path, reproducible=False)
    here, there = Engine(model), Engine(replace(model, decoder=decoder))
    expected = answers(here, requests()[:1])
    assert answers(there, requests()[:1]) == expected
    assert decoder._steps.tokens.shape == (1, 1)
    goes_on = json.loads(expected[0].body)["ok"]["text"]
    later = GenerateRequest(20, "m", canonical({"prompt": "once upon 0" + goes_on, "tokens_max": 4}), bytes(32))
    assert answers(there, [later]) == answers(here, [later])
    assert there.statistics().reused_tokens == here.statistics().reused_tokens
