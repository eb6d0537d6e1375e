"""Replay: execute every turn of a journal again, in sandboxes, with the effects that were recorded, and compare.

Nothing is asked of a model: replay proves that the agents' logic, the order and the journal belong together. The first
difference ends it, since all that follows may be its consequence.

Fuel is counted alike by one version of wasmtime only. A journal of another version is replayed without a bound, and
turns that ran out of fuel or stack then are taken from the journal: `Replay.notes` says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from turnwise.core.compare import Difference, first_difference
from turnwise.core.events import Execute
from turnwise.core.head import genesis
from turnwise.core.machine import Machine
from turnwise.core.plan_json import plan_from_json
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.turn import Failure, FailureClass
from turnwise.history.recorded import Departure, RecordedEffects
from turnwise.journal import Journal
from turnwise.orchestrator.assembly import check_codes, stored_sources
from turnwise.orchestrator.driver import Driver
from turnwise.orchestrator.settings import Settings
from turnwise.sandbox.build.code import prepare
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.pool.pool import Pool

OnProgress = Callable[[int, int], None]
"""Told (rounds done, rounds in all)."""

HOST_DEPENDENT = frozenset({FailureClass.FUEL, FailureClass.STACK})
"""Failures that depend on the version of wasmtime."""

FUEL_UNBOUNDED = 2**62


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found. `head` (hex) is that of the last round that was equal; `difference` is None if all were."""

    rounds: int
    turns: int
    head: str
    difference: Difference | None
    notes: tuple[str, ...]


def replay(journal: Path, settings: Settings, progress: OnProgress | None = None) -> Replay:
    """Replay a journal. Raises `TurnwiseError` if it cannot be replayed here."""
    return asyncio.run(_replay(journal, settings, progress or _silent))


def _silent(_done: int, _total: int) -> None:
    """Tells nobody."""


async def _replay(path: Path, settings: Settings, progress: OnProgress) -> Replay:
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal.open(path))
        plan = plan_from_json(journal.header.plan)
        sources = stored_sources(journal, plan)
        codes = dict(zip(sources, await prepare(list(sources.values())), strict=True))
        check_codes(path, plan, codes)
        foreign = _foreign(journal)
        machine = Machine(plan, journal.header.versions)
        driver = _ReplayDriver(machine, {kind: code.hash for kind, code in codes.items()}, _Nothing(), foreign)
        effects = RecordedEffects(driver.on_replies, driver.on_failure, lambda place: machine.world.agents[place].name)
        driver.effects = effects
        driver.sandboxes = await stack.enter_async_context(
            Pool(
                list({code.hash: code for code in codes.values()}.values()),
                workers=settings.workers_count,
                on_results=driver.on_results,
                on_failure=driver.on_failure,
                transport=settings.transport,
                deadline_ms=settings.deadline_ms,
            )
        )
        return await _compare(journal, machine, driver, effects, progress)


async def _compare(
    journal: Journal, machine: Machine, driver: _ReplayDriver, effects: RecordedEffects, progress: OnProgress
) -> Replay:
    total = sum(1 for _ in journal.rounds.summaries())
    head = genesis(machine.plan)
    done = turns = 0
    difference: Difference | None = None
    given = len(machine.plan.messages)  # inputs of the first round that the machine knows of by itself
    for record in journal.rounds.between():
        driver.expect(record)
        effects.expect(record)
        for message in record.inputs[given:]:
            driver.input(message.to, message.body)
        given = 0
        difference = await _round(driver, record)
        if difference is not None:
            break
        head = record.head
        done += 1
        turns += len(record.turns)
        progress(done, total)
    return Replay(done, turns, head.hex(), difference, tuple(driver.notes))


async def _round(driver: _ReplayDriver, record: RoundRecord) -> Difference | None:
    """Play one round; where it leaves the record."""
    try:
        outcome = await driver.round()
    except Departure as departure:
        return departure.difference
    if isinstance(outcome, EndRecord):
        return Difference(record.round, None, "the run goes on", "another round", f"it has ended: {outcome.reason}")
    agents = driver.machine.world.agents
    difference = first_difference(record, outcome, lambda place: agents[place].name)
    if difference is None and outcome.head != record.head:
        return Difference(record.round, None, "head", record.head.hex(), outcome.head.hex())
    return difference


def _foreign(journal: Journal) -> str | None:
    """The version of wasmtime that made the journal, if it is another one than ours."""
    recorded = {json.loads(writer.versions).get("wasmtime") for writer in journal.header.writers()}
    recorded.discard(version("wasmtime"))
    return ", ".join(sorted(str(other) for other in recorded)) or None


class _Nothing:
    """Where replayed rounds go."""

    async def commit(self, record: RoundRecord) -> None:
        """Keep nothing."""

    async def end(self, record: EndRecord) -> None:
        """Keep nothing."""


class _ReplayDriver(Driver):
    """A driver that takes from the journal what only another version of wasmtime could decide."""

    def __init__(self, machine: Machine, codes: dict[str, str], sink: _Nothing, foreign: str | None) -> None:
        super().__init__(machine, codes, sink)
        self._foreign = foreign
        self._decided: dict[int, tuple[int, Failure]] = {}
        self.notes: list[str] = []
        if foreign is not None:
            self.notes.append(
                f"the journal was made with wasmtime {foreign}, this is {version('wasmtime')}: fuel is not compared, "
                "and turns that ran out of fuel or stack are taken from the journal"
            )

    def expect(self, record: RoundRecord) -> None:
        """The round that is played next."""
        if self._foreign is not None:
            self._decided = {
                turn.place: (turn.executions, turn.failure)
                for turn in record.turns
                if turn.failure is not None and turn.failure.kind in HOST_DEPENDENT
            }

    def decide(self, action: Execute) -> Failure | None:
        executions, failure = self._decided.get(action.place, (0, None))
        return failure if executions == len(action.replies) + 1 else None

    def job(self, action: Execute) -> TurnJob:
        return super().job(action if self._foreign is None else replace(action, fuel=FUEL_UNBOUNDED))

    def spent(self, result: TurnResult) -> int:
        return result.fuel if self._foreign is None else 0
