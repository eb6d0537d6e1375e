"""Faults planted in the real code: the simulator finds each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.sim.calling import calling
from tests.sim.worlds import WORLDS
from turnwise.core.events import Request
from turnwise.core.machine import Machine
from turnwise.core.plan import Plan
from turnwise.core.records import RoundRecord
from turnwise.inference.host import open_requests
from turnwise.inference.host.open_requests import OpenRequests
from turnwise.inference.host.supervisor import Supervisor
from turnwise.inference.plans.wave import Wave
from turnwise.inference.protocol import WaveReplyPart
from turnwise.journal.write.writer import JournalWriter
from turnwise.orchestrator.ahead import Ahead
from turnwise.orchestrator.calls import Calls
from turnwise.orchestrator.driver import Driver
from turnwise.orchestrator.left_calls import LeftCalls
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.pool.deadline import Deadline
from turnwise.sandbox.pool.pool import Pool
from turnwise.sim import Simulator, Violation, virtual_time
from turnwise.sim.engine import PLAN

SEEDS = range(200)
Patch = pytest.MonkeyPatch
PLANTED: dict[str, tuple[str, Callable[[Patch], None]]] = {}


def planted(world: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def keep(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
        PLANTED[plant.__name__] = world, plant
        return plant

    return keep


def after_restore(patch: Patch, spoil: Callable[[Machine], None]) -> None:
    restore = Machine.restore

    def spoiled(self: Machine, rounds: Iterable[RoundRecord]) -> None:
        restore(self, rounds)
        if self._last is not None:
            spoil(self)

    patch.setattr(Machine, "restore", spoiled)


@planted("mixed")
def a_turn_is_counted_twice_at_resume(patch: Patch) -> None:
    def spoil(machine: Machine) -> None:
        assert machine._last is not None
        machine.world.agents[machine._last.turns[0].place].turns += 1

    after_restore(patch, spoil)


@planted("mixed")
def an_alarm_is_lost_at_resume(patch: Patch) -> None:
    def spoil(machine: Machine) -> None:
        for agent in machine.world.agents:
            agent.wake_at = None

    after_restore(patch, spoil)


@planted("mixed")
def a_message_is_delivered_twice_at_resume(patch: Patch) -> None:
    def spoil(machine: Machine) -> None:
        for agent in machine.world.agents:
            if agent.inbox:
                agent.inbox.append(agent.inbox[0])
                return

    after_restore(patch, spoil)


@planted("mixed")
def messages_of_the_world_are_sent_again_at_resume(patch: Patch) -> None:
    restore = Machine.restore

    def spoiled(self: Machine, rounds: Iterable[RoundRecord]) -> None:
        inputs = list(self._inputs)
        restore(self, rounds)
        self._inputs = inputs

    patch.setattr(Machine, "restore", spoiled)


@planted("mixed")
def turns_are_taken_in_the_order_of_arrival(patch: Patch) -> None:
    ended = Machine.turn_ended

    def spoiled(self: Machine, place: int, *rest: Any) -> Any:
        if place in self._open:
            self._open[place] = self._open.pop(place)
        return ended(self, place, *rest)

    patch.setattr(Machine, "turn_ended", spoiled)


@planted("crowd")
def a_commit_is_acknowledged_before_it_is_durable(patch: Patch) -> None:
    async def spoiled(self: JournalWriter, count: int | None = None) -> None:
        """Wait for nothing."""

    patch.setattr(JournalWriter, "wait_durable", spoiled)


@planted("crowd")
def a_round_is_written_after_one_that_was_lost(patch: Patch) -> None:
    patch.setattr(JournalWriter, "_raise_failure", lambda self: None)


@planted("waves")
def a_wave_is_issued_again_with_another_plan(patch: Patch) -> None:
    send = open_requests.send_wave
    other = replace(PLAN, rows_max=1)
    patch.setattr(open_requests, "send_wave", lambda wave, to: send(replace(wave, plan=other), to))


@planted("waves")
def an_answer_to_a_wave_is_taken_in_part(patch: Patch) -> None:
    def spoiled(self: OpenRequests, part: WaveReplyPart) -> None:
        reply = self._wave_parts.reply(part)
        wave: Wave | None = self.waves.pop(reply.id, None) if reply is not None else None
        if reply is not None and wave is not None:
            self._on_wave(reply)

    patch.setattr(OpenRequests, "_take_wave", spoiled)


@planted("mixed")
def requests_are_forgotten_when_their_process_dies(patch: Patch) -> None:
    patch.setattr(OpenRequests, "process_ended", lambda self: self._requests.clear())


@planted("crowd")
def a_job_is_lost_with_its_worker(patch: Patch) -> None:
    died = Pool.slot_died

    def spoiled(self: Pool, unfinished: list[TurnJob], reason: str) -> None:
        died(self, unfinished[1:], reason)

    patch.setattr(Pool, "slot_died", spoiled)


@planted("crowd")
def fuel_is_counted_twice_when_a_worker_was_replaced(patch: Patch) -> None:
    results = Pool.slot_results

    def spoiled(self: Pool, found: Sequence[TurnResult], costs_us: dict[int, tuple[int, int]]) -> None:
        again = any(slot.deaths for slot in self._slots)
        results(self, [replace(result, fuel=result.fuel * 2) if again else result for result in found], costs_us)

    patch.setattr(Pool, "slot_results", spoiled)


@planted("crowd")
def a_worker_that_stands_still_is_never_ended(patch: Patch) -> None:
    patch.setattr(Deadline, "check", lambda self, jobs: None)


@planted("mixed")
def a_process_is_left_when_the_run_is_closed(patch: Patch) -> None:
    async def spoiled(self: Supervisor) -> None:
        return

    patch.setattr(Supervisor, "close", spoiled)


def without(patch: Patch, told: str) -> None:
    """Have notes of effects that say this left out."""
    note = Ahead.note

    async def spoiled(self: Ahead, request: Request, **known: Any) -> None:
        if not known.get(told):
            await note(self, request, **known)

    patch.setattr(Ahead, "note", spoiled)


@planted("calling")
def a_call_is_made_before_that_is_on_disk(patch: Patch) -> None:
    without(patch, "is_made")


@planted("calling")
def an_outcome_is_told_before_it_is_on_disk(patch: Patch) -> None:
    note, writing = Ahead.note, list[asyncio.Future[None]]()

    async def spoiled(self: Ahead, request: Request, **known: Any) -> None:
        if known.get("outcome") is None:
            await note(self, request, **known)
        else:
            writing.append(asyncio.ensure_future(note(self, request, **known)))

    patch.setattr(Ahead, "note", spoiled)


@planted("calling")
def an_outcome_is_kept_nowhere(patch: Patch) -> None:
    without(patch, "outcome")


@planted("calling")
def a_call_is_made_again_after_a_crash(patch: Patch) -> None:
    outcome = Calls._outcome

    async def spoiled(self: Calls, request: Request, plan: Plan, is_made: bool) -> str:
        return await outcome(self, request, plan, False)

    patch.setattr(Calls, "_outcome", spoiled)


@planted("calling")
def what_is_known_of_effects_is_forgotten_at_resume(patch: Patch) -> None:
    patch.setattr(Ahead, "found", lambda self, request: None)


@planted("calling")
def calls_that_turns_wait_for_are_forgotten_at_resume(patch: Patch) -> None:
    patch.setattr(Driver, "resume_calls", lambda self: None)


@planted("calling")
def the_outcome_of_a_call_that_was_left_is_lost(patch: Patch) -> None:
    patch.setattr(LeftCalls, "parked", lambda self, record: [])


def test_there_are_as_many_as_are_promised() -> None:
    assert len(PLANTED) >= 21


def play(simulator: Simulator) -> None:
    for seed in SEEDS:
        simulator.disturbed(seed)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, monkeypatch: Patch) -> None:
    world, plant = PLANTED[name]
    monkeypatch.setattr(virtual_time, "CALLBACKS_MAX", 50_000)
    plant(monkeypatch)
    simulator = (calling if world == "calling" else WORLDS[world])().simulator()
    with pytest.raises(Violation):
        play(simulator)
