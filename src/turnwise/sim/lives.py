"""The lives of a simulated run: in each an orchestrator plays it, until it is killed, closed, or stopped by a failure.

Driver, waves, calls, pool, host, their supervision and the journal's writer are those that run for real; processes,
servers of tools, clocks, transport and disk are simulated. The next life resumes what is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.events import Request
from turnwise.core.machine import Machine
from turnwise.core.plan import Plan
from turnwise.core.plan_json import plan_to_json
from turnwise.core.question import AskedQuestion
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.state import first_agents
from turnwise.errors import EnvironmentFailure
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.journal import CodeSource
from turnwise.orchestrator.parts import Prepared, connect, continued, host_of
from turnwise.orchestrator.session import Session
from turnwise.orchestrator.settings import Settings
from turnwise.sandbox.build.code import Code
from turnwise.sim.behaviour import Answer, Behaviour
from turnwise.sim.chance import Chance
from turnwise.sim.checks import InputWitness, ReplyWitness, Violation, check_calls, check_ledger, check_round
from turnwise.sim.disk import SimulatedDisk
from turnwise.sim.faults import CALM, Faults
from turnwise.sim.machine import SimulatedMachine
from turnwise.sim.outside import OutsideWorld, key_of
from turnwise.sim.recorded import check_recorded
from turnwise.sim.simulator import Answers
from turnwise.sim.tools import SimulatedDesk, Tool
from turnwise.sim.virtual_time import Stalled, VirtualLoop

CRASH_S_MAX: Final = 1.0
NEWS_S_MAX: Final = 60.0
VERSIONS: Final = canonical({"simulated": True})

Inputs = Mapping[int, Sequence[tuple[str, str]]]
"""Messages from outside, (to, body), by the round after which they are sent."""


@dataclass(frozen=True, slots=True)
class SimulatedWorld:
    """A plan, with all that plays in it: functions."""

    plan: Plan
    """Plan of the run."""
    behaviours: Mapping[str, Behaviour]
    """Agents of each kind."""
    answer: Answer
    """Answers effects with models."""
    waved: Collection[str] = ()
    """Models that are asked in waves."""
    inputs: Inputs = field(default_factory=dict)
    """Messages from outside."""
    answers: Answers = field(default_factory=dict)
    """Answers of people, by rounds."""
    person: Callable[[AskedQuestion], Any] | None = None
    """Answers every question, sooner or later; None: `answers` are all there are."""
    tool: Tool | None = None
    """Answers calls of tools; None: there are no tools."""
    park_after_ms: int = 0
    """Milliseconds after which a turn waits for a call beyond its round."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """A run that has ended.

    - `rounds`, `end`, `head`: as its journal has them
    - `lives`: how often an orchestrator was started
    - `executions`: of turns, those that were repeated included
    - `faults`: how often each struck
    - `virtual_s`: how long it took in virtual time
    - `trace`: digest of all that happened in its order; equal for two runs of one seed
    """

    rounds: tuple[RoundRecord, ...]
    end: EndRecord
    head: str
    lives: int
    executions: int
    faults: Mapping[str, int]
    virtual_s: float
    trace: str


class Lives:
    """One run over all lives of its orchestrator. `truth`: the undisturbed run, if this one must be like it."""

    def __init__(
        self,
        world: SimulatedWorld,
        settings: Settings,
        chance: Chance,
        truth: Simulated | None,
        witness: InputWitness | None = None,
    ) -> None:
        """`witness` sees all executions; None where tools are called: then the run has one of its own."""
        self._world = world
        self._settings = settings
        self._plan = plan = world.plan
        self._chance = chance
        self._truth = truth
        self._expected = {} if truth is None else {record.round: record for record in truth.rounds}
        self._outside = OutsideWorld()
        self._durable: dict[int, RoundRecord] = {}
        self._replies = ReplyWitness(self._is_durable)
        self._witness = witness or self._replies
        self._violation: Violation | None = None
        self._playing: asyncio.Future[bool] | None = None
        self._killing: asyncio.TimerHandle | None = None
        self._killed = False
        self._acknowledged = 0
        self._looked = 0
        self._codes = {kind.name: Code(kind.code, "module", Path(kind.name), None) for kind in plan.kinds}
        self._machine = SimulatedMachine(
            chance,
            world.behaviours,
            world.answer,
            dict(plan.models),
            world.waved,
            self._see,
            self._before_write,
            self._look,
        )
        self._disk = SimulatedDisk(chance, self._machine.clock)

    # -- lives -------------------------------------------------------------------------------------------------------

    def play(self, lives: Sequence[Faults]) -> Simulated:
        """Play through lives with these faults, until the run has ended. The last must end it."""
        codes = {code.hash: CodeSource(code.carrier, name, ((name, b""),)) for name, code in self._codes.items()}
        self._disk.create(
            plan=plan_to_json(self._plan), versions=VERSIONS, codes=codes, agents=first_agents(self._plan)
        )
        now_s = 0.0
        try:
            for number, faults in enumerate(lives, 1):
                loop = VirtualLoop(self._chance.generator, now_s)  # type: ignore[abstract]  # it has what a run uses
                try:
                    ended = loop.run(self._life(faults, loop))
                    self._check_leftovers(loop)
                except Stalled as stalled:
                    self._give_up(loop)
                    raise Violation(f"life {number} does not end: {stalled}") from None
                except Violation:
                    self._give_up(loop)
                    raise
                now_s = loop.time()
                self._check_journal()
                if ended:
                    return self._result(number, now_s)
            raise Violation("the run does not end though nothing disturbs it any more")
        finally:
            self._disk.close()

    def _give_up(self, loop: VirtualLoop) -> None:
        self._machine.cut()
        loop.abandon()

    async def _life(self, faults: Faults, loop: VirtualLoop) -> bool:
        """Start, resume or go on with the run; True if it has ended."""
        self._chance.faults = faults
        self._killing, self._killed = None, False
        playing = self._playing = asyncio.ensure_future(self._orchestrate())
        await asyncio.wait([playing])
        if self._killing is not None:
            self._killing.cancel()
        self._chance.faults = CALM
        if self._killed:
            await self._bury(loop)
            return False
        await asyncio.sleep(1.0)  # what has been closed comes to its end
        return self._outcome(playing, faults)

    def _outcome(self, playing: asyncio.Future[bool], faults: Faults) -> bool:
        error = None if playing.cancelled() else playing.exception()
        if self._violation is not None:
            raise self._violation
        if error is None and not playing.cancelled():
            return playing.result()
        if isinstance(error, EnvironmentFailure) and faults != CALM:
            self._chance.note(f"stopped: {error.message}")
            return False
        if isinstance(error, Violation):
            raise error
        raise Violation(f"the orchestrator failed: {type(error).__name__}: {error}", actual=error) from error

    def _kill(self) -> None:
        """Kill the orchestrator: what it has in memory is lost."""
        self._killed = True
        self._machine.cut()
        self._disk.cut()
        if self._playing is not None:
            self._playing.cancel()

    async def _bury(self, loop: VirtualLoop) -> None:
        """Let everything of a life that was killed come to its end, which reaches neither disk nor processes."""
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks(loop) if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._violation is not None:
            raise self._violation

    # -- the orchestrator --------------------------------------------------------------------------------------------

    async def _orchestrate(self) -> bool:
        edges = self._machine.edges
        settings, world = self._settings, self._world
        specs = [ModelSpec(name, Path(name)) for name, _ in self._plan.models]
        async with AsyncExitStack() as stack:
            host, answers = host_of(specs, settings, edges)
            stack.push_async_callback(host.close)
            await host.start()
            file = stack.enter_context(self._disk.open())
            machine = continued(file, versions=VERSIONS, info="{}")
            desk = None
            if world.tool is not None:
                called, given = self._check_intent, self._replies.outcome
                desk = SimulatedDesk(self._chance, machine.plan, world.tool, self._outside, called, given)
            prepared = Prepared(self._codes, host, answers, desk, park_after_ms=world.park_after_ms)
            session = await connect(stack, settings, prepared, machine, file, edges)
        try:
            return await self._rounds(session, machine)
        finally:
            await session.close()

    async def _rounds(self, session: Session, machine: Machine) -> bool:
        """Play rounds until the run has ended, or this life."""
        chance = self._chance
        while session.end is None:
            for to, body in self._world.inputs.get(machine.world.round, ()):
                session.send(to, body)
            for question, value in self._world.answers.get(machine.world.round, ()):
                session.answer(question, value)
            self._answer(session)
            while session.waits:
                await session.wait_news(NEWS_S_MAX)
            if self._killing is None and chance.strikes("crash"):
                self._killing = asyncio.get_running_loop().call_later(CRASH_S_MAX * chance.random() ** 2, self._kill)
            record = await session.round()
            if record is not None and chance.below(3) == 0:
                await session.settle()
                self._acknowledge(record.round)
            if record is not None and chance.strikes("leave"):
                return False
        await session.settle()
        return True

    def _answer(self, session: Session) -> None:
        """Have the person answer, some of it later."""
        person = self._world.person
        for asked in session.questions() if person is not None else ():
            if person is not None and (session.waits or self._chance.below(2)):
                session.answer(asked.id, person(asked))

    def _acknowledge(self, round_: int) -> None:
        """A round was said to be durable."""
        if self._looked < round_:
            self._violate(Violation(f"round {round_} was said to be durable, and is not on disk"))
        self._acknowledged = round_

    # -- checks ------------------------------------------------------------------------------------------------------

    def _see(self, envelope: bytes, replies: tuple[bytes, ...]) -> None:
        try:
            self._witness.see(envelope, replies)
        except Violation as violation:
            self._violate(violation)

    def _check_intent(self, request: Request) -> None:
        """A call is handed to its server: that it will be must be on disk."""
        rows = {row.key: row for row in self._disk.open(write=False).ahead.rows()}
        row = rows.get(key_of(request))
        if row is None or not row.is_made or row.request != request.request.body:
            self._violate(Violation(f"call {key_of(request)} is made, and that is not on disk", actual=row))

    def _is_durable(self, outcome: str) -> bool:
        return any(row.outcome == outcome for row in self._disk.open(write=False).ahead.rows())

    def _violate(self, violation: Violation) -> None:
        if self._violation is None:
            self._violation = violation
        if self._playing is not None:
            self._playing.cancel()

    def _before_write(self) -> None:
        if self._chance.strikes("full"):
            self._disk.fill()

    def _look(self) -> None:
        """Compare what has come to the disk with the undisturbed run."""
        file = self._disk.open(write=False)
        self._replies.look()
        for record in file.rounds.between(self._looked + 1):
            self._chance.note(f"round {record.round}")
            self._looked = record.round
            self._durable[record.round] = record
            if self._truth is not None:
                try:
                    check_round(self._expected.get(record.round), record)
                except Violation as violation:
                    self._violate(violation)

    def _check_journal(self) -> None:
        """Compare all of the journal with the undisturbed run, after a life."""
        self._disk.uncut()
        file = self._disk.open(write=False)
        rounds = list(file.rounds.between())
        if self._truth is not None:
            for expected, record in zip(self._truth.rounds, rounds, strict=False):
                check_round(expected, record)
            if len(rounds) > len(self._truth.rounds):
                raise Violation("the journal has more rounds than the undisturbed run")
        for record in rounds:
            check_round(self._durable.setdefault(record.round, record), record)
        last = rounds[-1].round if rounds else 0
        if last < self._acknowledged:
            raise Violation(f"round {self._acknowledged} was said to be durable, and the journal ends with {last}")
        check_ledger(self._plan, rounds)

    def _check_leftovers(self, loop: VirtualLoop) -> None:
        """Check that a life has left no process, and no error that nobody was told."""
        if living := self._machine.living:
            raise Violation(f"processes are left: {', '.join(living)}")
        if loop.errors:
            raise Violation(f"an error that nobody was told: {loop.errors[0]!r}") from loop.errors[0]

    def _result(self, lives: int, now_s: float) -> Simulated:
        file = self._disk.open(write=False)
        rounds, end = tuple(file.rounds.between()), file.rounds.end_record
        if end is None:
            raise Violation("the run has ended, and the journal does not say how")
        if self._truth is not None and end != self._truth.end:
            raise Violation("the run ends otherwise than without faults", expected=self._truth.end, actual=end)
        if self._world.tool is not None:
            check_calls(rounds, self._outside, lives)
            check_recorded(self._plan, self._world.behaviours, rounds)
        head = end.head or (rounds[-1].head if rounds else b"")
        struck = dict(sorted(self._chance.struck.items()))
        return Simulated(rounds, end, head.hex(), lives, self._witness.executions, struck, now_s, self._chance.trace)
