"""Waves with a graph whose bits depend, for real, on what runs in the same step."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.inference import toy
from turnwise.core.canonical import canonical
from turnwise.errors import InvariantError
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.server.model_server import ModelServer

PROMPTS = [
    "a story of a dog",
    "b",
    "a story of a dog and of a cat that goes to the sea and does not come back",
    "cc",
    "d",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return mixing(tmp_path_factory.mktemp("mixing") / "model")


def mixing(path: Path, **options: Any) -> LanguageModel:
    folder = toy.write_mixing_folder(path)
    found = load_model(ModelSpec("m", folder, "cpu", batching="free"), EngineOptions(**options))
    assert found.info.numeric is not None
    assert found.info.numeric.numeric_class == "plan-bound"
    return found


def request(number: int, prompt: str, **body: Any) -> GenerateRequest:
    text = canonical({"prompt": prompt, "temperature": 0.9, "tokens_max": 6 + 5 * (number % 3)} | body)
    return GenerateRequest(number, "m", text, bytes([number % 7]) * 32)


def wave(id_: int = 1, first: int = 0, prompts: Iterable[str] = PROMPTS, **options: Any) -> Wave:
    requests = [replace(request(n, prompt), id=first + n) for n, prompt in enumerate(prompts)]
    return Wave(id_, "m", tuple(requests), **options)


def played(server: ModelServer) -> tuple[dict[int, str], list[WaveReply]]:
    """(replies to requests by number, what came of waves)"""
    replies: dict[int, str] = {}
    waves = []
    while server.pending:
        for event in server.step():
            if isinstance(event, GenerateReply):
                replies[event.id] = event.body
            elif isinstance(event, WaveReply):
                waves.append(event)
    return replies, waves


def answers(reply: WaveReply) -> list[str]:
    assert reply.problem is None
    return [json.loads(answer.body)["ok"]["text"] for answer in reply.replies]


def one(server: ModelServer, asked: Wave) -> WaveReply:
    server.submit_wave(asked)
    _, [reply] = played(server)
    assert [answer.id for answer in reply.replies] == [item.id for item in asked.requests]
    return reply


def test_without_waves_an_answer_depends_on_when_it_was_asked_and_on_what_is_kept(model: LanguageModel) -> None:
    def asked(late: bool, warm: bool) -> dict[int, str]:
        server = ModelServer(model)
        if warm:
            server.submit(request(90, PROMPTS[2] + "!"))
            played(server)
        items = [request(n, prompt) for n, prompt in enumerate(PROMPTS)]
        server.submit(items[0])
        if late:
            server.step()
            server.step()
        for item in items[1:]:
            server.submit(item)
        return played(server)[0]

    assert asked(late=False, warm=False) == asked(late=False, warm=False)
    assert asked(late=False, warm=False) != asked(late=True, warm=False)
    assert asked(late=False, warm=False) != asked(late=False, warm=True)


def test_a_wave_gives_the_same_bits_whatever_went_before_or_comes_after(model: LanguageModel) -> None:
    expected = one(ModelServer(model), wave())
    server = ModelServer(model)
    server.submit(request(900, PROMPTS[2] + "!", tokens_max=90))
    for _ in range(3):
        server.step()
    server.submit_wave(wave(1))
    server.submit(request(901, PROMPTS[0], tokens_max=5))
    server.submit_wave(wave(2, first=100, prompts=PROMPTS[:2]))
    server.submit_wave(wave(3, first=200))
    replies, waves = played(server)
    assert [reply.id for reply in waves] == [1, 2, 3]
    assert answers(waves[0]) == answers(waves[2]) == answers(expected)
    assert waves[0].plan == waves[2].plan == expected.plan
    assert answers(waves[1]) != answers(expected)[:2], "a wave of two is another wave"
    assert replies.keys() == {900, 901}
    assert server.statistics().running == server.statistics().waiting == 0


def test_a_request_beside_waves_waits_and_finds_the_engine_as_it_was(model: LanguageModel) -> None:
    alone = ModelServer(model)
    alone.submit(request(5, "zz"))
    expected, _ = played(alone)
    server = ModelServer(model)
    server.submit_wave(wave(prompts=["x"]))
    server.submit(request(5, "zz"))
    assert server.statistics().waiting == 2
    replies, [_] = played(server)
    assert replies == expected
    server.submit(request(6, "zz"))
    server.submit(request(7, "zz"))
    server.cancel(7)
    assert played(server)[0].keys() == {6}


def test_a_plan_that_is_issued_again_gives_the_same_bits(model: LanguageModel, tmp_path: Path) -> None:
    first = one(ModelServer(model), wave())
    plan = first.plan
    assert plan.rows_max == len(PROMPTS)
    assert one(ModelServer(model), wave(plan=plan)) == first
    kv_bytes = plan.positions_max * model.decoder.kv.bytes_per_token
    for kv_bytes_max, rows_max in ((4 * kv_bytes, 5), (400 * kv_bytes, 64)):
        other = mixing(tmp_path / str(rows_max), kv_bytes_max=kv_bytes_max, rows_max=rows_max)
        assert other.machine_plan != model.machine_plan
        assert one(ModelServer(other), wave(plan=plan)) == first
        assert one(ModelServer(other), wave()) == first


def test_another_plan_gives_other_bits(model: LanguageModel) -> None:
    first = one(ModelServer(model), wave())
    changes: list[dict[str, Any]] = [
        {"rows_max": 2},
        {"positions_max": 128},
        {"chunk_tokens": 8},
        {"prefill_tokens_max": 1},
    ]
    found = [answers(one(ModelServer(model), wave(plan=replace(first.plan, **change)))) for change in changes]
    assert all(other != answers(first) for other in found)
    long = [text * 3 for text in PROMPTS]
    kept = one(ModelServer(model), wave(prompts=long))
    assert kept.plan.blocks > 0
    assert answers(one(ModelServer(model), wave(prompts=long, plan=replace(kept.plan, blocks=0)))) != answers(kept)


def test_a_machine_that_is_too_small_for_its_own_wave_makes_a_plan_that_any_other_can_issue(
    model: LanguageModel, tmp_path: Path
) -> None:
    long = [text * 5 for text in PROMPTS]
    tight = mixing(tmp_path / "tight", kv_bytes_max=600 * model.decoder.kv.bytes_per_token, rows_max=3)
    assert (model.info.room_for_waves, tight.info.room_for_waves) == (True, False)
    first = one(ModelServer(tight), wave(prompts=long))
    assert first.plan.rows_max == 3
    assert first.plan.positions_max == tight.machine_plan.positions_max
    assert one(ModelServer(model), wave(prompts=long, plan=first.plan)) == first
    assert answers(one(ModelServer(model), wave(prompts=long))) != answers(first)


def test_a_plan_that_is_not_possible_here_runs_nothing(model: LanguageModel) -> None:
    server = ModelServer(model)
    plan = model.machine_plan
    server.submit_wave(wave(plan=replace(plan, threads=plan.threads + 1)))
    server.submit_wave(wave(2, first=50, prompts=["a"]))
    _, [refused, ran] = played(server)
    assert refused.problem == f"it ran on {plan.threads + 1} threads, and here the model runs on {plan.threads}"
    assert refused.replies == ()
    assert len(answers(ran)) == 1


def test_what_is_wrong_with_one_request_is_part_of_the_wave(model: LanguageModel) -> None:
    bad = Wave(1, "m", (request(0, ""), request(1, "a"), request(2, "b" * 600), request(3, "c", stop=["x"] * 17)))
    reply = one(ModelServer(model), bad)
    kinds = [json.loads(answer.body).get("error", {}).get("kind") for answer in reply.replies]
    assert kinds == ["refused", None, "context_full", "refused"]
    assert reply.plan.rows_max == 1
    assert one(ModelServer(model), bad) == reply
    only = one(ModelServer(model), Wave(1, "m", (request(1, "a"),)))
    assert only.replies[0].body == reply.replies[1].body
    none = one(ModelServer(model), Wave(2, "m", (request(0, ""),)))
    assert "error" in json.loads(none.replies[0].body)


def test_a_cancelled_request_of_a_wave_runs_on_for_the_others(model: LanguageModel) -> None:
    expected = one(ModelServer(model), wave())
    server = ModelServer(model)
    server.submit_wave(wave())
    for _ in range(4):
        assert server.step() == []
    server.cancel(1)
    assert played(server)[1] == [expected]


def test_the_requests_of_a_wave_rise() -> None:
    for numbers in ([], [1, 0], [1, 1]):
        with pytest.raises(InvariantError, match="do not rise"):
            Wave(1, "m", tuple(request(number, "a") for number in numbers))


@pytest.mark.parametrize("cache", ["in place", "growing"])
def test_where_bits_do_not_depend_on_it_a_wave_answers_as_requests_are_answered(cache: str, tmp_path: Path) -> None:
    write = toy.write_attention_folder if cache == "in place" else toy.write_folder
    server = ModelServer(load_model(ModelSpec("m", write(tmp_path / "model"), "cpu")))
    asked = wave()
    for item in asked.requests:
        server.submit(item)
    replies, _ = played(server)
    for _ in range(2):
        assert {answer.id: answer.body for answer in one(server, asked).replies} == replies
