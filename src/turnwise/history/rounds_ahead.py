"""Rounds of a journal, whose turns are executed before it is their round's turn to be played.

What a turn is given is in the journal: its state and its mail follow from the rounds before, the replies to its effects
are recorded. So a second state of the world, folded from the journal alone, knows the executions of later rounds, and
hands them to the pool while earlier rounds are still compared. Nothing is concluded from that: the machine that is
compared asks for its executions as ever, one round after another, and gets a result that is there already only if it
asks for exactly that execution, which is a pure function. Where the journal is forged, it asks for another, which is
then executed as usual. So what is found is the same as without, whatever the number of workers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from turnwise.core.events import Action, Execute, Keep, Request
from turnwise.core.open_turn import OpenTurn
from turnwise.core.records import EffectRecord, RoundRecord
from turnwise.core.state import WorldState
from turnwise.core.turn import Needs
from turnwise.core.turn_input import TurnInput
from turnwise.errors import InvariantError, JournalError
from turnwise.history.replay_driver import ReplayDriver
from turnwise.orchestrator.driven import Sandboxes
from turnwise.orchestrator.driver import outcome_of
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult

TURNS_MAX: Final = 512
"""Turns of later rounds that are executed ahead; a round that has more by itself keeps all workers busy anyway."""

TURNS_OF_A_WORKER: Final = 32
"""Turns a round and worker, from which on rounds have enough turns for all workers."""

BYTES_MAX: Final = 64 * 1024 * 1024
"""Inputs and results of turns that are executed ahead, above which no further round is begun."""

Key = tuple[str, int]
"""Name of the agent, number of calls that were answered."""


class _TurnAhead:
    """A turn that is executed ahead, with what is recorded of its effects."""

    __slots__ = ("effects", "open")

    def __init__(self, turn: OpenTurn, effects: dict[int, EffectRecord]) -> None:
        self.open = turn
        self.effects = effects


class _ExecutionAhead:
    """An execution that was handed out ahead. `wanted` is the number of the job that waits for its result."""

    __slots__ = ("job", "result", "turn", "wanted")

    def __init__(self, job: TurnJob, turn: _TurnAhead) -> None:
        self.job = job
        self.turn: _TurnAhead = turn
        self.result: TurnResult | None = None
        self.wanted: int | None = None


class RoundsAhead:
    """Yields the rounds of a journal, and executes those that follow meanwhile. The `Sandboxes` of the driver.

    `world` is the state before the first of `rounds`, and becomes this object's own. `pool` executes; its results come
    to `on_results`. `turns` and `bytes` count what is ahead now.
    """

    def __init__(self, driver: ReplayDriver, world: WorldState, rounds: Iterable[RoundRecord]) -> None:
        self._driver = driver
        self._world = world
        self._head = driver.machine.head
        self._rounds = iter(rounds)
        self._error: JournalError | None = None
        self._next = self._read()
        self._ready: deque[RoundRecord] = deque()
        self._ahead: dict[int, dict[Key, _ExecutionAhead]] = {}
        self._handed: dict[int, _ExecutionAhead | int] = {}
        self._id = 0
        self.turns = 0
        self.bytes = 0
        self._lost = False
        self.pool: Sandboxes | None = None

    def __iter__(self) -> Iterator[RoundRecord]:
        while True:
            self._fill()
            if not self._ready:
                if self._error is not None:
                    raise self._error
                return
            record = self._ready.popleft()
            self.turns -= len(record.turns)
            yield record
            self._forget(record.round)

    # -- of the driver ---------------------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[TurnJob]) -> None:
        """Execute turns of the round that is played; what was executed ahead is reported soon."""
        there: list[TurnResult] = []
        others: list[TurnJob] = []
        for job in jobs:
            found = self._found(job)
            if found is None or not _same(found.job, job):
                others.append(self._numbered(job, job.id))
            elif found.result is not None:
                there.append(replace(found.result, id=job.id))
            else:
                found.wanted = job.id
        if others:
            self._submit(others)
        if there:
            asyncio.get_running_loop().call_soon(self._driver.on_results, there)

    # -- of the pool -----------------------------------------------------------------------------------------------

    def on_results(self, results: Sequence[TurnResult]) -> None:
        """Results of the pool, in any order."""
        wanted: list[TurnResult] = []
        more: list[TurnJob] = []
        for result in results:
            handed = self._handed.pop(result.id)
            if isinstance(handed, int):
                wanted.append(replace(result, id=handed))
                continue
            if handed.wanted is not None:
                wanted.append(replace(result, id=handed.wanted))
            if self._found(handed.job) is handed:
                handed.result = result
                self.bytes += len(result.body)
                more += self._continued(handed, result)
        if wanted:
            self._driver.on_results(wanted)
        if more:
            self._submit(more)

    # -- ahead -----------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Begin rounds as long as there is room; at least one is ready then, if any is left."""
        while (record := self._next) is not None:
            if self._ready and (self.turns + len(record.turns) > TURNS_MAX or self.bytes > BYTES_MAX):
                return
            self._next = self._read()
            self._ready.append(record)
            self.turns += len(record.turns)
            if not self._lost:
                self._begin(record)

    def _read(self) -> RoundRecord | None:
        """Read the next round. Damage is kept until all rounds before it have been played."""
        try:
            return next(self._rounds, None)
        except JournalError as error:
            self._error = error
            return None

    def _begin(self, record: RoundRecord) -> None:
        """Hand out the first executions of a round, and go on to the state after it."""
        world = self._world
        jobs: list[TurnJob] = []
        try:
            world.deliver(record.inputs)
            world.change(record.changes)
            for answer in record.answers:
                world.take_answer(answer, record.round)
            places = world.schedule.take(record.round)
            if len(record.turns) <= TURNS_MAX:
                recorded = {turn.place: turn for turn in record.parts}
                for place in places:
                    turn = recorded.get(place)
                    if turn is None or self._driver.takes_as_recorded(turn):
                        continue
                    opened = OpenTurn(world, world.agents[place], record.round, self._head)
                    effects = {effect.index: effect for effect in turn.effects}
                    jobs += self._executed(
                        _TurnAhead(opened, effects), opened.go_on() if opened.has_calls else [opened.execute()]
                    )
            world.apply(record)
            self._head = record.head
        except (InvariantError, JournalError, LookupError):
            # What cannot be is what the comparison will find, round by round, without any help from here.
            self._lost = True
        if jobs:
            self._submit(jobs)

    def _continued(self, execution: _ExecutionAhead, result: TurnResult) -> list[TurnJob]:
        """Return the next execution of a turn, if its record has the answers to what it asks."""
        turn = execution.turn
        outcome = outcome_of(result, self._world.plan)
        if not turn.open.executed(self._driver.spent(result), result.stdout) or not isinstance(outcome, Needs):
            return []
        return self._executed(turn, turn.open.suspend(outcome))

    def _executed(self, turn: _TurnAhead, actions: list[Action]) -> list[TurnJob]:
        """Return the next execution of a turn that asks for this, if its record has the answers."""
        while actions:
            action = actions.pop(0)
            if isinstance(action, Execute):
                return [self._job(turn, action)]
            if isinstance(action, Keep):
                self._driver.contents.keep(action.kept, action.content)
                continue
            if not isinstance(action, Request):
                break
            effect = turn.effects.get(action.index)
            if effect is None or effect.request != action.request.body:
                break
            actions += turn.open.answer(action.index, effect.reply)
        return []

    def _job(self, turn: _TurnAhead, action: Execute) -> TurnJob:
        job = self._driver.made(self._id + 1, action)
        execution = _ExecutionAhead(job, turn)
        round_, key = _key(job)
        self._ahead.setdefault(round_, {})[key] = execution
        self.bytes += job.size_bytes
        return self._numbered(job, execution)

    def _numbered(self, job: TurnJob, handed: _ExecutionAhead | int) -> TurnJob:
        """The job under a number of the pool's."""
        self._id += 1
        self._handed[self._id] = handed
        return job if job.id == self._id else replace(job, id=self._id)

    def _submit(self, jobs: Sequence[TurnJob]) -> None:
        if self.pool is None:
            raise InvariantError("no pool")
        self.pool.submit(jobs)

    def _found(self, job: TurnJob) -> _ExecutionAhead | None:
        """Return the execution that was handed out ahead in the place of this one."""
        round_, key = _key(job)
        return self._ahead.get(round_, {}).get(key)

    def _forget(self, round_: int) -> None:
        """Drop what was executed of a round that has been played."""
        for execution in self._ahead.pop(round_, {}).values():
            self.bytes -= execution.job.size_bytes
            if execution.result is not None:
                self.bytes -= len(execution.result.body)


def worthwhile(turns: int, rounds: int, workers: int) -> bool:
    """True if rounds have so few turns that workers would wait at the end of each."""
    return turns < rounds * workers * TURNS_OF_A_WORKER


def _key(job: TurnJob) -> tuple[int, Key]:
    """The round of a job, and its place there."""
    if not isinstance(job.input, TurnInput):
        raise InvariantError("a job without the input of a turn", actual=type(job.input).__name__)
    return job.input.round, (job.input.name, len(job.replies))


def _same(one: TurnJob, other: TurnJob) -> bool:
    """True if two jobs are the same but for their numbers."""
    return (one.input, one.replies, one.code, one.fuel, one.memory_bytes, one.output_bytes_max) == (
        other.input,
        other.replies,
        other.code,
        other.fuel,
        other.memory_bytes,
        other.output_bytes_max,
    )
