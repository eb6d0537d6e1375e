"""Recorded answers are held against a model: its own are accepted, whatever was asked, and no others."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference.forms_toy import Attention, Form, write_form
from tests.inference.toy import BOS, END, byte_tokenizer
from turnwise.core.canonical import canonical
from turnwise.inference.engine.checked_sequence import CheckedSequence, _near_entry, _parted, refused
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.check_request import CheckReply, CheckRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.sampling.choose import uniform
from turnwise.inference.text.tokenizer import Tokenizer

choose_module = importlib.import_module("turnwise.inference.sampling.choose")
SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}, "required": ["name"]}
BODIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"temperature": 1.0},
    "cut": {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.02},
    "penalties": {"temperature": 0.9, "repetition_penalty": 1.3, "presence_penalty": 0.4},
    "bias": {"temperature": 0.7, "logit_bias": {"a": 2, "5": -3}},
    "logprobs": {"temperature": 0.6, "logprobs": 3},
    "stop": {"temperature": 1.0, "stop": ["e", "day"]},
    "schema": {"temperature": 0.7, "json_schema": SCHEMA},
    "forced": {"regex": "The cat sat on the (mat|hat)\\."},
    "refused": {"temperature": -1},
    "too long": {"prompt": "a b " * 2000},
}
MODELS = ["genai-fp32", "genai-int4", "genai-mha-fp32", "hf-fp32"]

Load = Callable[[str], LanguageModel]


@pytest.fixture(scope="module")
def load(in_layout: Callable[[str], Path]) -> Load:
    loaded: dict[str, LanguageModel] = {}

    def once(name: str) -> LanguageModel:
        if name not in loaded:
            loaded[name] = load_model(ModelSpec("m", in_layout(name), "cpu"))
        return loaded[name]

    return once


def generated(model: LanguageModel, body: dict[str, Any], count: int = 4) -> list[CheckRequest]:
    """What a model answers to several requests in one batch, to be checked."""
    engine = Engine(model)
    given = {"prompt": "Once upon a time", "tokens_max": 70} | body
    requests = [GenerateRequest(n, "m", canonical(given), bytes([n + 1]) * 32) for n in range(count)]
    replies: dict[int, GenerateReply] = {}
    for request in requests:
        engine.submit(request)
    while engine.pending:
        replies |= {event.id: event for event in engine.step() if isinstance(event, GenerateReply)}
    return [CheckRequest(one, replies[one.id].tokens or (), replies[one.id].body) for one in requests]


def checked(model: LanguageModel, *checks: CheckRequest) -> list[CheckReply]:
    engine = Engine(model)
    found: dict[int, CheckReply] = {}
    for check in checks:
        engine.check(check)
    while engine.pending:
        found |= {event.id: event for event in engine.step() if isinstance(event, CheckReply)}
    assert engine.statistics().running == 0
    return [found[check.id] for check in checks]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_model_accepts_what_it_answered(load: Load, name: str, body: dict[str, Any]) -> None:
    checks = generated(load(name), body)
    for check, reply in zip(checks, checked(load(name), *checks), strict=True):
        assert (reply.departure, reply.compared, reply.tokens) == (None, True, len(check.tokens))
        assert all(distance <= reply.margin / 2 for _, distance in reply.others)


@pytest.mark.trained
@pytest.mark.parametrize("name", MODELS[2:])
@pytest.mark.parametrize(
    "body", [BODIES["greedy"], BODIES["cut"], BODIES["logprobs"]], ids=["greedy", "cut", "logprobs"]
)
def test_the_same_trained_weights_in_another_graph_accept_it(
    stories_models: Path, load: Load, name: str, body: dict[str, Any]
) -> None:
    assert all(reply.departure is None for reply in checked(load(name), *generated(load(MODELS[0]), body)))


@pytest.mark.parametrize("attention", ["multihead", "decomposed"])
@pytest.mark.parametrize("body", [BODIES["greedy"], BODIES["cut"], BODIES["logprobs"]])
def test_the_same_weights_in_another_graph_accept_it(
    tmp_path: Path, attention: Attention, body: dict[str, Any]
) -> None:
    made, held = (
        load_model(ModelSpec("m", write_form(tmp_path / form, Form(form), kv_heads=4), "cpu"))
        for form in ("grouped", attention)
    )
    assert all(reply.departure is None for reply in checked(held, *generated(made, body)))


@pytest.mark.parametrize("body", [BODIES["greedy"], BODIES["sampled"], BODIES["cut"]], ids=["greedy", "sampled", "cut"])
@pytest.mark.parametrize("pair", [(0, 1), (1, 0)], ids=["of full precision", "of 4 bits"])
def test_answers_of_another_quantisation_are_refused(load: Load, pair: tuple[int, int], body: dict[str, Any]) -> None:
    made, held = (load(MODELS[place]) for place in pair)
    refused = [reply.departure is not None for reply in checked(held, *generated(made, body, 8))]
    assert sum(refused) >= 6


@pytest.mark.parametrize("name", MODELS[:2])
@pytest.mark.parametrize("body", [BODIES["sampled"], BODIES["cut"]], ids=["sampled", "cut"])
def test_answers_of_another_seed_are_refused(load: Load, name: str, body: dict[str, Any]) -> None:
    checks = [
        replace(check, request=replace(check.request, stream=bytes([99]) * 32)) for check in generated(load(name), body)
    ]
    for reply in checked(load(name), *checks):
        assert reply.departure is not None
        assert "further than" in reply.departure.what
        assert reply.departure.expected != reply.departure.actual


@pytest.mark.parametrize("name", MODELS[:2])
def test_answers_of_another_sampler_are_refused(load: Load, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(choose_module, "uniform", lambda stream, index: 1 - uniform(stream, index) - 2**-53)
        checks = generated(load(name), BODIES["sampled"])
    assert all(reply.departure is not None for reply in checked(load(name), *checks))


def forged_reply(check: CheckRequest, **changes: Any) -> CheckRequest:
    body = json.loads(check.reply)
    body["ok"] |= changes
    return replace(check, reply=canonical(body))


@pytest.mark.parametrize("name", MODELS)
def test_whatever_is_forged_in_an_answer_is_refused(load: Load, name: str) -> None:
    model = load(name)
    [check] = generated(model, BODIES["logprobs"], 1)
    ok = json.loads(check.reply)["ok"]
    tokens = check.tokens
    other = 5  # a byte that no story has
    logprobs = [dict(ok["logprobs"][0], logprob=ok["logprobs"][0]["logprob"] - 3.0), *ok["logprobs"][1:]]
    forgeries = [
        replace(check, tokens=(*tokens[:5], other, *tokens[6:])),
        replace(check, tokens=tokens[:-1]),
        replace(check, tokens=(*tokens, 7)),
        replace(check, tokens=(*tokens[:-1], 10**6)),
        replace(check, tokens=()),
        replace(check, tokens=(1, *tokens[1:])),
        forged_reply(check, text=ok["text"][:-1] + "!"),
        forged_reply(check, finish="end"),
        forged_reply(check, prompt_tokens=ok["prompt_tokens"] + 1),
        forged_reply(check, logprobs=logprobs),
        forged_reply(check, logprobs=ok["logprobs"][:-1]),
        forged_reply(check, more=1),
        replace(check, reply="[]"),
    ]
    for number, forged in enumerate(forgeries):
        [reply] = checked(model, forged)
        assert reply.departure is not None, number
    [reply] = checked(model, forgeries[0])
    assert reply.departure is not None
    assert reply.departure.index == 5
    assert reply.departure.expected is not None
    assert reply.departure.expected.id == other
    assert ok["text"].startswith(reply.departure.before)


def test_errors_that_are_recorded(load: Load) -> None:
    model = load(MODELS[0])
    [honest] = generated(model, {}, 1)
    error = canonical({"error": {"kind": "refused", "message": "no"}})
    [reply] = checked(model, replace(honest, tokens=(), reply=error))
    assert (reply.departure, reply.compared) == (None, False)
    [wrong] = generated(model, BODIES["refused"], 1)
    [reply] = checked(model, replace(wrong, reply=error))
    assert reply.departure is not None


def test_a_check_has_room_for_the_token_that_makes_a_piece_even(load: Load) -> None:
    """Checks of every length about those by which rows grow, each alone in an engine."""
    model = load("genai-fp32")
    for length in range(118, 134):
        (check,) = generated(model, {**BODIES["greedy"], "prompt": "x" * length, "tokens_max": 3}, 1)
        (reply,) = checked(model, check)
        assert (reply.departure, reply.tokens) == (None, len(check.tokens))


class Held:
    """A sequence that would choose other tokens, which are as far away as it is told."""

    prompt = (1, 2)
    finish: str | None = None
    text = "so far"

    def __init__(self, away: Sequence[float | None]) -> None:
        self.away = away
        self.tokens = 0

    def margin(self, margin: float) -> float:
        return margin

    def hold(self, logits: object, token: int, margin: float) -> tuple[int, float | None]:
        away = self.away[self.tokens]
        return (token, 0.0) if away == 0.0 else (token + 1, away)

    def give(self, token: int, logits: object) -> None:
        self.tokens += 1
        if self.tokens == len(self.away):
            self.finish = "length"

    def spell(self, token: int) -> str:
        return f"<{token}>"

    def reply_body(self) -> str:
        return '{"ok":{"text":"x"}}'


def held_against(*away: float | None) -> CheckReply:
    request = GenerateRequest(7, "m", "{}", bytes(32))
    check = CheckRequest(request, tuple(range(10, 10 + len(away))), '{"ok":{"text":"x"}}')
    sequence = CheckedSequence(check, Held(away), 0.5)  # type: ignore[arg-type]
    for _ in away:
        sequence.accept(np.zeros(1))
    assert sequence.reply is not None
    return sequence.reply


def test_tokens_that_would_be_others_here_are_told_with_how_far_they_are() -> None:
    assert held_against(0.0, 0.25, 0.0, 0.125) == CheckReply(7, 4, ((1, 0.25), (3, 0.125)), 0.5)
    assert held_against(0.0, 0.0) == CheckReply(7, 2, (), 0.5)


def test_a_token_that_is_too_far_ends_the_check_with_both_tokens() -> None:
    reply = held_against(0.25, None, 0.0)
    assert (reply.tokens, reply.others, reply.compared) == (1, ((0, 0.25),), True)
    departure = reply.departure
    assert departure is not None
    assert (departure.index, departure.before) == (1, "so far")
    assert departure.expected is not None
    assert departure.actual is not None
    assert [(one.id, one.text) for one in (departure.expected, departure.actual)] == [(11, "<11>"), (12, "<12>")]


def test_the_first_token_in_which_two_answers_part() -> None:
    parts: Any = {"tokenizer": Tokenizer(byte_tokenizer(), BOS), "ends": frozenset({END})}

    def parted(recorded: str, own: str) -> Any:
        tokens = [[ord(letter) + 2 for letter in text] for text in (recorded, own)]
        return _parted(*tokens, **parts)

    assert parted("same", "same") is None
    found = parted("this", "that")
    assert (found.index, found.before, found.expected.text, found.actual.text) == (2, "th", "i", "a")
    found = parted("the", "then")
    assert (found.index, found.before, found.expected, found.actual.text) == (3, "the", None, "n")
    found = parted("then", "the")
    assert (found.index, found.expected.text, found.actual) == (3, "n", None)


def test_a_request_that_is_refused_here_is_one_that_was_refused_there() -> None:
    request = GenerateRequest(7, "m", "{}", bytes(32))
    assert refused(7, CheckRequest(request, (), "body"), 0.5, "body") == CheckReply(7, 0, (), 0.5)
    reply = refused(7, CheckRequest(request, (), "other"), 0.5, "body")
    assert (reply.tokens, reply.others, reply.compared) == (0, (), True)
    assert reply.departure is not None
    assert "refused here: body" in reply.departure.what


@pytest.mark.parametrize(("away", "near"), [(0.0, True), (0.9e-5, True), (-0.9e-5, True), (1.2e-5, False)])
def test_log_probabilities_may_be_written_otherwise_in_the_last_digit(away: float, near: bool) -> None:
    one = {"id": 1, "text": "a", "logprob": -1.0}
    assert _near_entry(one, one | {"logprob": -1.0 + away}, 0.0) is near
    assert _near_entry(one, one | {"logprob": -1.0 + away}, 0.5) is True
    assert not _near_entry(one, one | {"id": 2}, 0.5)
