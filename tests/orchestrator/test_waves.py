"""Who is in a wave depends on the turns alone, whatever order results and answers come in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from tests.core.worlds import kind, plan
from turnwise.core.canonical import canonical
from turnwise.core.events import Request
from turnwise.core.machine import Machine
from turnwise.core.plan import KindGrants, Schedule
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.streams import effect_stream
from turnwise.core.turn import EffectRequest
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.requests.infer_request import InferRequest
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.orchestrator.driver import Driver
from turnwise.orchestrator.effects import ModelEffects
from turnwise.orchestrator.waves import Waves
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult

PLAN = BatchPlan("free", 0, None, 512, 512, 512, 8, 1)
MODELS = ("bound", "bound-too", "free")
CODE = "0" * 64
Effect = Callable[..., Any]


class _SuspendedError(BaseException):
    """An effect has no reply yet."""


def generate(*prompts: str, model: str = "bound") -> dict[str, Any]:
    asked = [{"effect": "generate", "model": model, "prompt": prompt} for prompt in prompts]
    return {"effects": asked}


def behaviour(turn: dict[str, Any], effect: Effect) -> str:
    """Agents that ask often and seldom, one model and another, at once and one after the other."""
    number = int(turn["self"].rpartition("-")[2])
    seen = [turn["state"][-40:]]
    for step in range(number % 4):
        model = "free" if (number + step) % 3 == 0 else "bound"
        seen += texts(effect(generate(f"{seen[-1]}:{step}", "x" * step, model=model)))
    if number == 2:  # both at once: it waits for the wave and for what is not in it
        mixed = generate("one")["effects"] + generate("two", model="free")["effects"]
        seen += texts(effect({"effects": mixed + generate("three", model="bound-too")["effects"]}))
    if number == 3:
        effect(generate("no", model="secret"))
        seen += texts(effect(generate("last", model="bound-too")))
    return "".join(seen)[-200:]


def texts(reply: dict[str, Any]) -> list[str]:
    return [str(one["ok"]["text"]) for one in reply["results"]]


@dataclass
class World:
    """Sandboxes and models that answer when they are told to, in an order that is drawn."""

    chance: Random
    waved: bool
    driver: Driver | None = None
    effects: ModelEffects | None = None
    jobs: list[TurnJob] = field(default_factory=list)
    asked: list[GenerateRequest] = field(default_factory=list)
    waves: list[Wave] = field(default_factory=list)
    seen: list[Wave] = field(default_factory=list)
    beside: int = 0

    # What the driver and the effects call.

    def submit(self, items: Sequence[TurnJob | GenerateRequest | InferRequest | EmbedRequest]) -> None:
        for item in items:
            if isinstance(item, TurnJob):
                self.jobs.append(item)
            else:
                assert isinstance(item, GenerateRequest)
                assert item.model == "free" or not self.waved
                self.asked.append(item)

    def submit_wave(self, wave: Wave) -> None:
        assert not self.jobs, "a turn is still being executed"
        self.waves.append(wave)
        self.seen.append(wave)

    async def hand_over(self, commit: RoundCommit) -> None:
        """Rounds are taken from the driver."""

    commit = hand_over

    async def wait_durable(self) -> None:
        """There is nothing to wait for."""

    async def end(self, record: EndRecord) -> None:
        """So is the end."""

    # What happens next.

    def step(self) -> None:
        assert self.driver is not None
        assert self.effects is not None
        choices = [kind for kind in ("jobs", "asked", "waves") if getattr(self, kind)]
        if not choices:
            return
        waiting = getattr(self, self.chance.choice(choices))
        item = waiting.pop(self.chance.randrange(len(waiting)))
        if isinstance(item, TurnJob):
            self.driver.on_results([executed(item)])
        elif isinstance(item, GenerateRequest):
            self.beside += 1
            beside = self.beside if item.model != "free" else 0
            self.effects.on_replies([reply(item, f"{beside}")])
        else:
            beside_it = " ".join(request.body for request in item.requests)
            replies = tuple(reply(request, f"{len(beside_it)}.{n}") for n, request in enumerate(item.requests))
            self.effects.on_wave(WaveReply(item.id, PLAN, replies))


def reply(request: GenerateRequest, beside: str) -> GenerateReply:
    """An answer that tells what ran beside it."""
    text = f"<{request.model} {beside} {request.stream.hex()[:6]}>"
    return GenerateReply(request.id, canonical({"ok": {"text": text}}))


def executed(job: TurnJob) -> TurnResult:
    replies = iter(job.replies)
    asked: list[str] = []

    def effect(request: dict[str, Any]) -> dict[str, Any]:
        known = next(replies, None)
        if known is None:
            asked.append(canonical(request))
            raise _SuspendedError
        value: dict[str, Any] = json.loads(known)
        return value

    turn = json.loads(job.encoded_input())
    try:
        state = behaviour(turn, effect)
    except _SuspendedError:
        return TurnResult(job.id, "needs", asked[0].encode(), None, 1, "")
    output = {"state": state} | ({"wake_in": 1} if turn["turn"] < 3 else {})
    return TurnResult(job.id, "completed", canonical(output).encode(), None, 1, "")


def play(seed: int, schedule: Schedule = "rounds", *, waved: bool = True) -> tuple[list[RoundRecord], World]:
    names = [f"a-{number}" for number in range(8)]
    kinds = [kind("a", start=True, grants=KindGrants(generate=MODELS))]
    models = tuple((name, "0" * 64) for name in MODELS)
    whole = plan(kinds, [f"{name}:a" for name in names], models=models, schedule=schedule)
    world = World(Random(seed), waved)
    machine = Machine(whole)
    world.driver = driver = Driver(machine, world)
    driver.sandboxes = world
    bound = [name for name in MODELS if name != "free"] if waved else []
    world.effects = driver.effects = ModelEffects(world, driver, driver.contents, bound)  # type: ignore[arg-type]

    async def main() -> list[RoundRecord]:
        rounds: list[RoundRecord] = []
        while True:
            task = asyncio.ensure_future(driver.round())
            while not task.done():
                await asyncio.sleep(0)
                world.step()
            outcome = task.result()
            if isinstance(outcome, EndRecord):
                return rounds
            rounds.append(outcome)

    return asyncio.run(main()), world


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_no_order_of_results_and_answers_shows(schedule: Schedule) -> None:
    expected, _ = play(0, schedule)
    assert len(expected) == 3 if schedule == "rounds" else 24
    assert all(turn.failure is None for record in expected for turn in record.turns)
    for seed in range(1, 25):
        rounds, _ = play(seed, schedule)
        assert rounds == expected, f"seed {seed}"


def test_without_waves_it_shows() -> None:
    assert len({play(seed, waved=False)[0][-1].head for seed in range(5)}) == 5


def test_waves_are_recorded_in_order_and_hold_every_effect_of_their_models() -> None:
    rounds, world = play(7)
    for record in rounds:
        asked = {(turn.place, effect.index): effect.model for turn in record.turns for effect in turn.effects}
        bound = {request for request, model in asked.items() if model in ("bound", "bound-too")}
        assert {request for wave in record.waves for request in wave.requests} == bound
        assert sum(len(wave.requests) for wave in record.waves) == len(bound)
        keys = [(wave.wave, wave.model) for wave in record.waves]
        assert keys == sorted(keys)
        assert {number for number, _ in keys} == set(range(1, keys[-1][0] + 1))
        for wave in record.waves:
            assert list(wave.requests) == sorted(wave.requests)
            assert wave.plan == PLAN.text()
    together = [wave for record in rounds for wave in record.waves]
    assert len(together) == len(world.seen)
    assert {wave.model for wave in together} == {"bound", "bound-too"}
    assert len({wave.wave for wave in together}) > 2


def test_requests_of_a_wave_go_in_order_of_place_and_with_their_own_streams() -> None:
    rounds, world = play(3)
    sent = iter(sorted(world.seen, key=lambda wave: wave.id))
    for record in rounds:
        by_number: dict[int, list[Wave]] = {}
        for wave in record.waves:
            by_number.setdefault(wave.wave, []).append(next(sent))
        for number, waves in by_number.items():
            for recorded in (wave for wave in record.waves if wave.wave == number):
                one = next(wave for wave in waves if wave.model == recorded.model)
                turns = {turn.place: turn for turn in record.turns}
                assert [request.body for request in one.requests] == [
                    turns[place].effects[index].request for place, index in recorded.requests
                ]
                assert [request.stream for request in one.requests] == [
                    effect_stream(7, f"a-{place}", turns[place].turn, index) for place, index in recorded.requests
                ]


class Submitted:
    """A host that takes waves, and does nothing."""

    def __init__(self) -> None:
        self.waves: list[Wave] = []

    def submit_wave(self, wave: Wave) -> None:
        self.waves.append(wave)


def test_the_effects_of_a_wave_are_known_by_the_numbers_that_the_host_has() -> None:
    host, ended = Submitted(), []
    waves = Waves(host, lambda records, replies: ended.append(replies), lambda: None)
    for id_, place in ((3, 7), (5, 2)):
        asked = Request(place, 0, EffectRequest("generate", "bound", f'"{place}"'), bytes(32), 0)
        waves.hold(id_, "bound", asked)
    assert [waves.asked(number) for number in (3, 5)] == [None, None]
    waves.settled(1, ())
    (wave,) = host.waves
    assert [(request.id, request.body) for request in wave.requests] == [(3, '"2"'), (5, '"7"')]
    assert [waves.asked(number) for number in (3, 5, 6)] == [5, 3, None]
    waves.take(WaveReply(wave.id, PLAN, tuple(GenerateReply(request.id, "{}") for request in wave.requests)))
    assert [waves.asked(number) for number in (3, 5)] == [None, None]
    assert [id_ for id_, _, _ in ended[0]] == [5, 3]
