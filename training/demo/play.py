"""Plays the haggling world in this process: the real core and the real model, but no sandboxes and no journal.

What is committed is what a whole run commits, so that heads can be compared; the requests of a round are answered
together, so that their replies can be mixed up.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

from turnwise.core.canonical import canonical
from turnwise.core.envelope import decode_needs, decode_output
from turnwise.core.events import Action, Advance, Commit, EffectAnswered, End, Execute, Request, TurnEnded
from turnwise.core.machine import Machine
from turnwise.core.plan import Plan
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.turn import Failed, Failure, FailureClass, Outcome
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise_guest.turn import Turn, output

Mode = Literal["honest", "shuffled", "blanked"]
Agent = Callable[[Turn], None]

MODEL: Final = "haggler"


class Model:
    """Answers many requests with the engine of the inference host."""

    def __init__(self, folder: Path) -> None:
        self._engine = Engine(load_model(ModelSpec(MODEL, folder, "cpu")))

    def answer(self, requests: Sequence[Request]) -> list[str]:
        """The replies (canonical JSON text), in the order of the requests."""
        for number, request in enumerate(requests):
            self._engine.submit(GenerateRequest(number, MODEL, request.request.body, request.stream))
        replies: dict[int, str] = {}
        while self._engine.pending:
            replies |= {event.id: event.body for event in self._engine.step() if isinstance(event, GenerateReply)}
        return [replies[number] for number in range(len(requests))]


class Interference:
    """What happens to replies between the model and those who asked."""

    def __init__(self, mode: Mode, seed: int) -> None:
        self._mode = mode
        self._chance = Random(f"{mode} {seed}")
        self._earlier: list[str] = []

    def __call__(self, replies: list[str]) -> list[str]:
        if self._mode == "blanked":
            return [_blank(reply) for reply in replies]
        if self._mode == "shuffled":
            return self._shuffled(replies)
        return replies

    def _shuffled(self, replies: list[str]) -> list[str]:
        """Every request gets the reply of another: of the same round, or of an earlier one where it is alone."""
        earlier, self._earlier = self._earlier, [*self._earlier, *replies][-32:]
        if len(replies) == 1:
            return [self._chance.choice(earlier)] if earlier else [_blank(replies[0])]
        places = list(range(len(replies)))
        while any(place == number for number, place in enumerate(places)):
            self._chance.shuffle(places)
        return [replies[place] for place in places]


def _blank(reply: str) -> str:
    value = json.loads(reply)
    if "ok" in value:
        value["ok"]["text"] = ""
    return canonical(value)


def load_agents(folder: Path, names: Sequence[str]) -> dict[str, Agent]:
    """The `turn` functions of the world's agents, by kind."""
    sys.path.insert(0, str(folder))
    try:
        agents = {}
        for name in names:
            spec = importlib.util.spec_from_file_location(f"haggle_{name}", folder / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            agents[name] = module.turn
        return agents
    finally:
        sys.path.remove(str(folder))


class Play:
    """One run of a plan. `rounds` are what a journal would hold."""

    def __init__(self, plan: Plan, agents: Mapping[str, Agent], model: Model, interference: Interference) -> None:
        self.machine = Machine(plan)
        self.rounds: list[RoundRecord] = []
        self.end: EndRecord | None = None
        self._agents = agents
        self._model = model
        self._interference = interference
        while self.end is None:
            self._round()

    @property
    def result(self) -> Any:
        """What the world's `finish` was given."""
        return None if self.end is None or self.end.result is None else json.loads(self.end.result)

    def _round(self) -> None:
        pending = list(self.machine.step(Advance()))
        asked: list[Request] = []
        while pending or asked:
            if not pending:
                asked.sort(key=lambda request: (request.place, request.index))
                replies = self._interference(self._model.answer(asked))
                for request, reply in zip(asked, replies, strict=True):
                    pending += self.machine.step(EffectAnswered(request.place, request.index, reply))
                asked = []
                continue
            pending, asked = self._carry_out(pending, asked)

    def _carry_out(self, pending: list[Action], asked: list[Request]) -> tuple[list[Action], list[Request]]:
        action, *rest = pending
        match action:
            case Execute():
                outcome = _execute(action, self._agents[action.kind])
                rest += self.machine.step(TurnEnded(action.place, outcome, fuel=0))
            case Request():
                asked = [*asked, action]
            case Commit(record):
                self.rounds.append(record)
            case End(record):
                self.end = record
        return rest, asked


class _Suspended(BaseException):
    """Ends an execution whose effect has no reply yet."""


def _execute(action: Execute, agent: Agent) -> Outcome:
    replies = iter(action.replies)
    asked = ""

    def effect(request: str) -> str:
        nonlocal asked
        reply = next(replies, None)
        if reply is None:
            asked = request
            raise _Suspended
        return reply

    def effect_bytes(request: str, content: bytes) -> bytes:
        raise NotImplementedError("agents of this world have no contents")

    turn = Turn(json.loads(action.input.encode()), effect, effect_bytes)
    try:
        agent(turn)
    except _Suspended:
        return decode_needs(asked)
    except Exception as error:  # an agent's own fault, whatever it is
        return Failed(Failure(FailureClass.RAISED, f"{type(error).__name__}: {error}"))
    return decode_output(output(turn))
