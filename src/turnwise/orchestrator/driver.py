"""The driver: carries out what the machine decides, with real sandboxes, models and a journal.

One event loop, one thread. Results arrive in whatever order the machine's parts deliver them; the machine makes the
order. A round's commit goes to the journal's writer while the next round already executes: turns are pure, so nothing
is lost if the commit never happens.

A small round does not come by the loop at all: its results are waited for where it was handed out (`take_soon`). So
that whatever else goes on in the loop does not stand still, it runs at least each LOOP_HELD_NS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from turnwise.core.calling import CALL, may_sample
from turnwise.core.envelope import decode_needs, decode_output
from turnwise.core.events import (
    Action,
    Answer,
    CallLeft,
    Commit,
    EffectAnswered,
    End,
    Event,
    Execute,
    Input,
    Keep,
    Request,
    TurnEnded,
    TurnTaken,
    WaveRun,
)
from turnwise.core.machine import Machine
from turnwise.core.plan import Plan
from turnwise.core.question import answer_reply
from turnwise.core.records import EndRecord, RoundRecord, WaveRecord
from turnwise.core.run_python import RUN_PYTHON, run_execution, run_reply
from turnwise.core.turn import EffectRequest, Failed, Failure, FailureClass, Outcome
from turnwise.errors import InvariantError, TurnwiseError
from turnwise.journal.file.box_position import BoxPosition
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.orchestrator.contents import Contents
from turnwise.orchestrator.counts import Counts
from turnwise.orchestrator.crash_points import reached
from turnwise.orchestrator.driven import CallMaker, Effects, Replies, Sandboxes, Sink
from turnwise.orchestrator.left_calls import CallKey, LeftCalls
from turnwise.orchestrator.round_clock import RoundClock
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.system.clock import SYSTEM_CLOCK, Clock

LOOP_HELD_NS = 2_000_000
"""Time after which the loop runs between two rounds that did without it."""

HANDED_OUT = 256
"""Turns of a round that are handed out before those behind them are opened."""


class Driver:
    """Plays rounds. `sandboxes` and `effects` are set before the first round and report through the callbacks.

    `take_soon` waits a moment, outside of the event loop, for results that come to `on_results`; it says whether any
    came. None: all come by the loop.
    """

    def __init__(self, machine: Machine, sink: Sink, clock: Clock = SYSTEM_CLOCK) -> None:
        self.machine = machine
        self.counts = Counts()
        self.sandboxes: Sandboxes | None = None
        self.effects: Effects | None = None
        self.calls: CallMaker | None = None
        self.on_news: Callable[[], None] | None = None
        self.contents = Contents()
        self.received: BoxPosition | None = None
        """Place up to which the next round has read what is sent to the run; None: that of the last."""
        self.kept: BoxPosition | None = None
        """Place up to which rounds have that were handed to the sink; None: none has read anything."""
        self.take_soon: Callable[[], bool] | None = None
        self._sink = sink
        sink.on_failure = self._lost
        self._jobs: dict[int, int] = {}
        self._requests: dict[int, tuple[int, int]] = {}
        self._runs: dict[int, tuple[int, int]] = {}
        self._calls: dict[int, CallKey] = {}
        self._left = LeftCalls()
        self._may_sample: set[int] = set()
        self._id_next = 0
        hooks = ("taken", "decide")
        self._executes_all = all(getattr(type(self), hook) is getattr(Driver, hook) for hook in hooks)
        self._outcome: asyncio.Future[Commit | End] | None = None
        self._failure: TurnwiseError | None = None
        self._end_kept = False
        self._clock = RoundClock(clock)
        self._time = clock
        self._loop_ran_ns = 0

    @property
    def executing(self) -> Collection[int]:
        """Places of the turns that are executed, or wait for a sandbox. For display only."""
        return self._jobs.values()

    @property
    def asking(self) -> Mapping[int, tuple[int, int]]:
        """Effects that are not answered (place, index), by the ids that they are asked with. For display only."""
        return self._requests

    # -- rounds ------------------------------------------------------------------------------------------------

    def input(self, to: str, body: str, after: int = 0) -> None:
        """A message from outside; it enters with the next round, and not before round `after` has been played."""
        self.machine.step(Input(to, body, after))

    def answer(self, question: int, value: Any, asked: str) -> None:
        """A person's answer to a question; it enters with the next round. `asked` is the question that is meant."""
        self.machine.step(Answer(question, answer_reply(value), asked=asked))

    async def round(self, *, durable: bool = False) -> RoundRecord | EndRecord:
        """Play one round, or end the run. Unless it is to be `durable`, it may not be yet: see `settle`.

        Raises whatever has failed, now or since the last round; then no further round can be played.
        """
        await self._let_loop_run()
        self.raise_failure()
        decided: asyncio.Future[Commit | End] = asyncio.get_running_loop().create_future()
        self._outcome = decided
        try:
            self._clock.begin()
            received, self.received = self.received, None
            self._hand_out()
            self._take_soon(decided)
            outcome = await decided
            await self._keep(outcome, received, durable)
        except TurnwiseError as error:
            self._failure = error
            raise
        finally:
            self._outcome = None
        return outcome.record

    def raise_failure(self) -> None:
        """Raise what has failed, if anything has."""
        if self._failure is not None:
            raise self._failure

    async def _let_loop_run(self) -> None:
        """Let the event loop run, if it has not for long."""
        if self.take_soon is not None:
            now_ns = self._time.elapsed_ns()
            if now_ns - self._loop_ran_ns > LOOP_HELD_NS:
                self._loop_ran_ns = now_ns
                await asyncio.sleep(0)

    def _hand_out(self) -> None:
        """Begin a round. Its first turns are executed while the others are opened."""
        actions = self.machine.advance()
        while some := list(islice(actions, HANDED_OUT)):
            self._carry_out(some)

    def _take_soon(self, decided: asyncio.Future[Commit | End]) -> None:
        """Take the results of a small round here and now, unless something else is to be waited for as well."""
        if self.take_soon is not None:
            while not (decided.done() or self._requests) and self.take_soon():
                pass

    async def _keep(self, outcome: Commit | End, received: BoxPosition | None, durable: bool) -> None:
        """Hand what came of a round to the sink."""
        if isinstance(outcome, End):
            await self.settle()
            if not self._end_kept:
                await self._sink.end(outcome.record)
            return
        times = self._clock.times(outcome.record.round)
        self.counts.add(outcome.record)
        if self._left:
            for question, came in self._left.parked(outcome.record):
                self._call_answered(question, came)
        self._end_kept = outcome.end is not None
        keep = self._sink.commit if durable else self._sink.hand_over
        self.kept = received or self.kept
        await keep(RoundCommit(outcome.record, outcome.end, times, outcome.snapshot, received))
        reached("round: handed over")

    def _lost(self, error: BaseException) -> None:
        """A round was lost on its way to the disk: so is the one in progress, which could not be committed either."""
        if isinstance(error, TurnwiseError):
            self.on_failure(error)
        else:
            self.on_failure(InvariantError(f"a round could not be kept: {type(error).__name__}: {error}"))

    async def settle(self) -> None:
        """Wait until every round that has been played is durable."""
        await self._sink.wait_durable()

    @property
    def over(self) -> bool:
        """True when the run has ended, or will with the next step, in which nobody moves."""
        return self._end_kept or self.machine.end is not None

    # -- callbacks ---------------------------------------------------------------------------------------------

    def on_results(self, results: Sequence[TurnResult]) -> None:
        """Turns were executed. A failure of ours in here ends the round with an error, never silently."""
        actions: list[Action] = []
        try:
            if self._runs:
                results = self._code_run(results, actions)
            jobs, machine = self._jobs, self.machine
            places = [jobs.pop(result.id) for result in results]
            self._clock.executed(places)
            for place, result in zip(places, results, strict=True):
                outcome = outcome_of(result, machine.plan)
                actions += machine.turn_ended(place, outcome, self.spent(result), result.stdout)
        except TurnwiseError as error:
            self.on_failure(error)
            return
        self._carry_out(actions)

    def _code_run(self, results: Sequence[TurnResult], actions: list[Action]) -> list[TurnResult]:
        """Take results of code that agents had executed; return those of turns."""
        turns: list[TurnResult] = []
        for result in results:
            effect = self._runs.pop(result.id, None)
            if effect is None:
                turns.append(result)
                continue
            self._clock.answered([effect])
            reply = run_reply(outcome_of(result, self.machine.plan), result.stdout)
            actions += self.machine.step(EffectAnswered(*effect, reply))
        return turns

    def on_replies(self, replies: Replies) -> None:
        """Take answers to effects."""
        actions: list[Action] = []
        self._clock.answered([self._requests[id_] for id_, _, _ in replies])
        try:
            for id_, reply, tokens in replies:
                place, index = self._requests.pop(id_)
                actions += self.machine.step(EffectAnswered(place, index, reply, tokens))
        except TurnwiseError as error:
            self.on_failure(error)
            return
        self._carry_out(actions)

    # -- calls of tools ----------------------------------------------------------------------------------------

    def resume_calls(self) -> None:
        """Take up the calls that turns are parked with, and that an earlier process has made."""
        requests: list[tuple[int, Request]] = []
        for place, turn, stage, answers, record in self.machine.calls():
            id_, key = self._id(), (place, turn, record.index, stage)
            self._calls[id_] = key
            self._left.leave(key, record.id)
            request = EffectRequest(CALL, None, record.request)
            requests.append((id_, Request(place, record.index, request, b"", 0, (), turn, stage, answers)))
        if requests and self.calls is not None:
            self.calls.submit(self.machine.plan, requests, is_left=True)

    def _call(self, requests: Sequence[Request]) -> None:
        numbered = []
        for request in requests:
            id_ = self._id()
            self._calls[id_] = request.place, request.turn, request.index, request.stage
            self._requests[id_] = request.place, request.index
            if may_sample(self.machine.plan, request.request.body):
                self._may_sample.add(id_)
            numbered.append((id_, request))
        if self.calls is None:
            raise InvariantError("nobody makes calls of tools")
        self._clock.asks([(request.place, request.index) for request in requests])
        self.calls.submit(self.machine.plan, numbered)

    @property
    def is_alone(self) -> bool:
        """True if nothing could go on while one effect is: no turn is executed, and no other effect is open."""
        return len(self._requests) <= 1 and not (self._jobs or self._runs)

    def may_leave(self, id_: int) -> bool:
        """Return whether the turn of a call may wait for it beyond the round."""
        return self.machine.may_leave(self._calls[id_][0])

    def on_call_left(self, id_: int) -> None:
        """A call takes long: its turn waits for it no longer in this round."""
        key = self._calls[id_]
        self._left.leave(key)
        self._answered(id_)
        self._stepped(CallLeft(key[0], key[2]))

    def on_call(self, id_: int, outcome: str) -> None:
        """A call has come to its outcome, which is durable."""
        key = self._calls.pop(id_)
        if key not in self._left:
            self._answered(id_)
            self._stepped(EffectAnswered(key[0], key[2], outcome))
        elif (question := self._left.outcome(key, outcome)) is not None:
            self._call_answered(question, outcome)

    def _answered(self, id_: int) -> None:
        effect = self._requests.pop(id_)
        self._may_sample.discard(id_)
        self._clock.answered([effect])

    def _stepped(self, event: Event) -> None:
        try:
            actions = self.machine.step(event)
        except TurnwiseError as error:
            self.on_failure(error)
            return
        self._carry_out(actions)
        if self._outcome is not None:
            self._take_soon(self._outcome)

    def _call_answered(self, question: int, outcome: str) -> None:
        if not self.machine.is_answer_coming(question):
            self.machine.step(Answer(question, outcome))
        if self.on_news is not None:
            self.on_news()

    def on_wave(self, records: Sequence[WaveRecord], replies: Replies) -> None:
        """Models have answered effects together."""
        self._clock.wave_ended(records)
        try:
            for record in records:
                self.machine.step(WaveRun(record))
        except TurnwiseError as error:
            self.on_failure(error)
            return
        self.on_replies(replies)

    def on_wave_begun(self) -> None:
        """Models are given effects to answer together."""
        self._clock.wave_begins()

    def on_failure(self, error: TurnwiseError) -> None:
        """A part cannot go on: the round in progress ends with the error, and nothing of it is committed.

        Between rounds the error is kept, and the next round raises it, or who waits for one: nobody would tell of it
        again.
        """
        if self._failure is None:
            self._failure = error
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_exception(error)
        if self.on_news is not None:
            self.on_news()

    # -- actions -----------------------------------------------------------------------------------------------

    def _carry_out(self, actions: list[Action]) -> None:
        jobs: list[TurnJob] = []
        runs: list[TurnJob] = []
        requests: list[tuple[int, Request]] = []
        calls: list[Request] = []
        decided: list[Action] = []
        for action in actions:
            match action:
                case Execute():
                    known = None if self._executes_all else self._known(action)
                    if known is None:
                        jobs.append(self.job(action))
                    else:
                        decided += self.machine.step(known)
                case Request() if action.request.kind == RUN_PYTHON and self.executes(action):
                    runs.append(self._run(action))
                case Request() if action.request.kind == CALL and self.calls is not None:
                    calls.append(action)
                case Request():
                    id_ = self._id()
                    self._requests[id_] = (action.place, action.index)
                    requests.append((id_, action))
                case Keep(kept, content):
                    self.contents.keep(kept, content)
                case Commit() | End():
                    if self._outcome is None:
                        raise InvariantError("the outcome of a round that nobody plays")
                    if not self._outcome.done():
                        self._outcome.set_result(action)
        if jobs or runs:
            if self.sandboxes is None:
                raise InvariantError("no sandboxes")
            self._clock.executes([self._jobs[job.id] for job in jobs])
            if runs:
                self._clock.asks([self._runs[job.id] for job in runs])
                jobs += runs
            self.sandboxes.submit(jobs)
        if requests:
            if self.effects is None:
                raise InvariantError("nothing answers effects")
            self._clock.asks([(action.place, action.index) for _, action in requests])
            self.effects.submit(requests)
        if calls:
            self._call(calls)
        if decided:
            self._carry_out(decided)
        elif self._requests and not (self._jobs or self._runs or self._may_sample) and self.effects is not None:
            calling = [key[0] for id_, key in self._calls.items() if id_ in self._requests]
            self.effects.settled(self.machine.round, calling)

    # -- what a replay may decide otherwise --------------------------------------------------------------------

    def _known(self, action: Execute) -> TurnTaken | TurnEnded | None:
        """Return how a turn ends that is not executed, or None."""
        taken = self.taken(action)
        if taken is not None:
            return taken
        failure = self.decide(action)
        return None if failure is None else TurnEnded(action.place, Failed(failure), 0)

    def taken(self, action: Execute) -> TurnTaken | None:
        """Return what is recorded of a turn that cannot be executed, since texts that it was given were taken out."""
        return None

    def decide(self, action: Execute) -> Failure | None:
        """Return the failure of a turn that need not be executed to know it."""
        return None

    def spent(self, result: TurnResult) -> int:
        """Return the fuel that an execution is charged."""
        return result.fuel

    def executes(self, request: Request) -> bool:
        """Return whether code that a turn has executed is executed here; otherwise it is an effect like any other."""
        return True

    def _run(self, request: Request) -> TurnJob:
        """Return the job that executes code for a turn."""
        machine = self.machine
        if machine.plan.run_python is None:
            raise InvariantError("a plan that grants run_python to nobody", actual=request.place)
        id_ = self._id()
        self._runs[id_] = request.place, request.index
        agent = machine.world.agents[request.place]
        return self.made(id_, run_execution(request, agent, machine.plan.run_python, machine.round))

    def job(self, action: Execute) -> TurnJob:
        """Return the job of an execution, and wait for its result."""
        self._id_next = id_ = self._id_next + 1
        self._jobs[id_] = action.place
        return self.made(id_, action)

    def made(self, id_: int, action: Execute) -> TurnJob:
        """Return an execution as the sandboxes take it, under a number."""
        limits = action.limits
        replies = tuple([self.contents.handed(reply) for reply in action.replies]) if action.replies else ()
        return TurnJob(
            id_, action.code, action.input, replies, action.fuel, limits.memory_bytes, limits.output_bytes_max
        )

    def _id(self) -> int:
        self._id_next += 1
        return self._id_next


def outcome_of(result: TurnResult, plan: Plan) -> Outcome:
    """Decode the report of a sandbox. Whatever is wrong with it is the agent's failure."""
    if result.status == "completed":
        return decode_output(result.body, results_sorted=plan.version == 1)
    if result.status == "needs":
        return decode_needs(result.body, result.content)
    kind = result.failure or FailureClass.TRAP
    return Failed(Failure(kind, result.body.decode(errors="replace")))
