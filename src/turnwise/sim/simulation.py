"""Whole runs under virtual time: the real orchestrator on a simulated machine, with faults and without.

Driver, waves, pool, host, their supervision and the journal's writer are those that run for real; processes, clocks,
transport and disk are simulated. A run with faults has a number of lives: in each the orchestrator plays until it is
killed, closed, or stopped by a failure of the machine; the next resumes what is on disk. In the last life nothing fails
any more, and the run must end as if nothing ever had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.machine import Machine
from turnwise.core.plan import Plan
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.state import first_agents
from turnwise.core.turn import EffectRequest
from turnwise.errors import EnvironmentFailure, UsageError
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.journal import CodeSource
from turnwise.orchestrator.parts import Prepared, connect, continued, host_of
from turnwise.orchestrator.session import Session
from turnwise.orchestrator.settings import Settings
from turnwise.sandbox.build.code import Code
from turnwise.sim.behaviour import Answer, Behaviour
from turnwise.sim.chance import Chance
from turnwise.sim.checks import InputWitness, Violation, check_ledger, check_round
from turnwise.sim.disk import SimulatedDisk
from turnwise.sim.faults import CALM, Faults
from turnwise.sim.machine import SimulatedMachine
from turnwise.sim.simulator import Answers
from turnwise.sim.virtual_time import Stalled, VirtualLoop

LIVES_MAX_DEFAULT: Final = 6
CRASH_S_MAX: Final = 1.0
VERSIONS: Final = canonical({"simulated": True})

Inputs = Mapping[int, Sequence[tuple[str, str]]]
"""Messages from outside, (to, body), by the round after which they are sent."""


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


class Simulator:
    """Runs of one plan, whose agents and models are Python functions.

    - `behaviours`: kinds' agents
    - `answer`: answers effects; needed if there are any
    - `waved`: models that are asked in waves, since their bits depend on what runs beside what
    - `inputs`: messages from outside
    - `answers`: answers of people to questions
    - `workers`: simulated sandbox processes
    - `lives_max`: lives with faults, at most
    """

    def __init__(
        self,
        plan: Plan,
        behaviours: Mapping[str, Behaviour],
        *,
        answer: Answer | None = None,
        waved: Collection[str] = (),
        inputs: Inputs | None = None,
        answers: Answers | None = None,
        workers: int = 3,
        lives_max: int = LIVES_MAX_DEFAULT,
    ) -> None:
        missing = sorted({kind.name for kind in plan.kinds} - behaviours.keys())
        if missing:
            raise UsageError(f"kinds without a behaviour: {', '.join(missing)}", hint="Pass a function for each kind.")
        by_code: dict[str, str] = {}
        for kind in plan.kinds:
            other = by_code.setdefault(kind.code, kind.name)
            if behaviours[other] is not behaviours[kind.name]:
                raise UsageError(
                    f"the kinds {other} and {kind.name} have one code and two behaviours",
                    hint="Give each kind of the plan the hash of a code of its own.",
                )
        self._plan = plan
        self._behaviours = behaviours
        self._answer = answer or _no_answer
        self._waved = frozenset(waved)
        self._inputs = inputs or {}
        self._answers = answers or {}
        self._settings = Settings(workers=workers)
        self._lives_max = lives_max
        self._witness = InputWitness()

    @cached_property
    def undisturbed(self) -> Simulated:
        """The run without faults."""
        run = _Run(self._plan, self, Chance(0), self._witness, None)
        return run.play([CALM])

    def disturbed(self, seed: int, faults: Faults | None = None) -> Simulated:
        """Play the run with faults, drawn from `seed` unless given, and check it all the time.

        Raises `Violation`, with the seed, for whatever is not as in the undisturbed run.
        """
        truth = self.undisturbed
        chance = Chance(seed)
        lives = 1 + chance.below(self._lives_max)
        drawn = [Faults.drawn(chance.generator) if faults is None else faults for _ in range(lives)]
        run = _Run(self._plan, self, chance, InputWitness(self._witness), truth)
        try:
            return run.play([*drawn, CALM])
        except Violation as violation:
            violation.message = f"seed {seed}: {violation.message}"
            violation.hint = f"It is repeated by: disturbed({seed})"
            raise


class _Run:
    """One run over all lives of its orchestrator. `truth`: the undisturbed run; None: this is it."""

    def __init__(
        self, plan: Plan, simulator: Simulator, chance: Chance, witness: InputWitness, truth: Simulated | None
    ) -> None:
        self._simulator = simulator
        self._plan = plan
        self._chance = chance
        self._truth = truth
        self._expected = {} if truth is None else {record.round: record for record in truth.rounds}
        self._witness = witness
        self._violation: Violation | None = None
        self._playing: asyncio.Future[bool] | None = None
        self._killing: asyncio.TimerHandle | None = None
        self._killed = False
        self._acknowledged = 0
        self._looked = 0
        self._codes = {kind.name: Code(kind.code, "module", Path(kind.name), None) for kind in plan.kinds}
        self._machine = SimulatedMachine(
            chance,
            simulator._behaviours,
            simulator._answer,
            dict(plan.models),
            simulator._waved,
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
        settings = self._simulator._settings
        specs = [ModelSpec(name, Path(name)) for name, _ in self._plan.models]
        async with AsyncExitStack() as stack:
            host, answers = host_of(specs, settings, edges)
            stack.push_async_callback(host.close)
            await host.start()
            file = stack.enter_context(self._disk.open())
            machine = continued(file, versions=VERSIONS, info="{}")
            session = await connect(stack, settings, Prepared(self._codes, host, answers), machine, file, edges)
        try:
            return await self._rounds(session, machine)
        finally:
            await session.close()

    async def _rounds(self, session: Session, machine: Machine) -> bool:
        """Play rounds until the run has ended, or this life."""
        chance = self._chance
        while session.end is None:
            for to, body in self._simulator._inputs.get(machine.world.round, ()):
                session.send(to, body)
            for question, value in self._simulator._answers.get(machine.world.round, ()):
                session.answer(question, value)
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
        for record in file.rounds.between(self._looked + 1):
            self._chance.note(f"round {record.round}")
            self._looked = record.round
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
        head = end.head or (rounds[-1].head if rounds else b"")
        struck = dict(sorted(self._chance.struck.items()))
        return Simulated(rounds, end, head.hex(), lives, self._witness.executions, struck, now_s, self._chance.trace)


def _no_answer(request: EffectRequest, _: bytes) -> dict[str, Any]:
    raise UsageError("this world has effects: pass `answer`", where=request.kind)
