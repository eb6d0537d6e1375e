"""The machine: decides who moves, with what, and what is committed. It does nothing itself.

``step(event) -> actions``. Whoever drives it (the event loop, the simulator, a replay) carries the actions out in any
order and tells the machine what came of them. What it commits does not depend on that order: results wait until the
round is complete and are then taken in order of place.

A round: `Advance` → `Execute` for everybody who is due → per turn `TurnEnded`, perhaps `Request`/`EffectAnswered` and
`Execute` again → `Commit`. Then `Advance` again, which ends the run if there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from turnwise.core import head, round_outcome, waiting
from turnwise.core import snapshot as snapshots
from turnwise.core.acceptance import refusal
from turnwise.core.events import (
    Action,
    Advance,
    Answer,
    CallLeft,
    Commit,
    EffectAnswered,
    End,
    Event,
    Input,
    OutsideChange,
    TurnEnded,
    TurnTaken,
    WaveRun,
)
from turnwise.core.open_turn import OpenTurn
from turnwise.core.outside import Outside
from turnwise.core.plan import Plan
from turnwise.core.question import AskedQuestion
from turnwise.core.records import (
    AgentRecord,
    AnswerRecord,
    ChangeRecord,
    EndRecord,
    MessageRecord,
    ParkRecord,
    QuestionRecord,
    RoundRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.snapshot import Snapshot
from turnwise.core.state import WorldState
from turnwise.core.turn import Completed, Failed, Failure, FailureClass, Needs, Outcome, TurnOutput
from turnwise.errors import DifferenceFound, InvariantError


class Machine:
    """The core of a run. `versions` is canonical JSON of all that executes the run (for the execution digest).

    `rule` is the rule of the run's chains, an older one if its journal was begun by an older version.
    """

    def __init__(self, plan: Plan, versions: str = "{}", rule: int = head.RULE) -> None:
        self.rule = rule
        self.world = WorldState(plan)
        self.head = head.genesis(plan, rule)
        self.execution = head.execution_genesis(versions, rule)
        self.end: EndRecord | None = None
        self._last: RoundRecord | None = None
        self._round: int | None = None
        self._open: dict[int, OpenTurn] = {}
        self._open_count = 0
        self._round_inputs: tuple[MessageRecord, ...] = ()
        self._waves: list[WaveRecord] = []
        self._children: dict[str, AgentRecord] = {}
        self._outside = Outside([Input(message.to, message.body) for message in plan.messages])
        self._round_changes: tuple[ChangeRecord, ...] = ()
        self._round_answers: tuple[AnswerRecord, ...] = ()

    # -- the past ----------------------------------------------------------------------------------------------

    def restore(self, rounds: Iterable[RoundRecord]) -> None:
        """Take over rounds that were committed before. Raises `DifferenceFound` if their heads do not follow."""
        for record in rounds:
            facts = head.facts_of(record, self.rule)
            self._outside.check(record, self.world)
            self.head = head.advance(self.head, facts, self.rule, record.state)
            self.execution = record.execution
            if self.head != record.head:
                raise _unlike(
                    f"the head of round {record.round} does not follow from what the journal holds of it",
                    record.head,
                    self.head,
                )
            self.world.apply(record)
            state = snapshots.digest(self.world) if self._snapshot_due() else None
            if state != record.state:
                what = f"the state after round {record.round} is not what its head names"
                raise _unlike(what, record.state, state)
            self._last = record

    def restore_snapshot(
        self,
        snapshot: Snapshot,
        record: RoundRecord,
        spawned: Iterable[AgentRecord],
        states: Sequence[str],
        messages: Iterable[MessageRecord],
        waiting: Sequence[tuple[int, ParkRecord | AnswerRecord]] = (),
        puts: Iterable[tuple[int, int, int, str, str]] = (),
    ) -> None:
        """Take over a world as it stood after a round, whose `record` the caller has compared with the chain.

        `spawned`, `states`, `messages`, `waiting` and `puts` are what `turnwise.core.snapshot.restore` needs; raises
        what that does, and `DifferenceFound` if the world is not the one that the round's head names.
        """
        snapshots.restore(self.world, snapshot, spawned, states, messages, waiting, puts)
        state = snapshots.digest(self.world)
        if snapshot.round != record.round or state != record.state:
            what = f"the snapshot of round {record.round} is not the state that its head names"
            raise _unlike(what, record.state, state)
        self.head, self.execution = record.head, record.execution
        self._last = record
        self._outside.inputs.clear()

    def continued_by(self, versions: str) -> None:
        """From here on, other versions execute the run than those that have executed it so far."""
        self.execution = head.execution_continued(self.execution, versions)

    # -- questions ---------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """The plan, with all that was changed of it."""
        return self.world.plan

    @property
    def round(self) -> int:
        """The round in progress, or the last one that was committed."""
        return self._round if self._round is not None else self.world.round

    @property
    def between_rounds(self) -> bool:
        return self._round is None

    @property
    def due(self) -> bool:
        """True if anything is left to do: mail, an alarm, or an input from outside."""
        return self._outside.is_due(self.world) or self.world.schedule.next_round(self.world.round) is not None

    @property
    def waits(self) -> bool:
        """True if no round can begin before a question is answered, or something else comes from outside."""
        if not self.world.asked or self.end is not None or not self.between_rounds or self.ending or self.due:
            return False
        return self.world.round < self.plan.rounds_max

    @property
    def is_overdue_next(self) -> bool:
        """True if the next round takes the default of a question, unless it is answered before."""
        return waiting.is_overdue_next(self.world, self._outside)

    def questions(self) -> list[AskedQuestion]:
        """The questions that an answer would reach that comes now, in order of number."""
        return waiting.asked_questions(self.world, self._outside, self.round, self._open)

    def is_answer_coming(self, question: int) -> bool:
        """Return whether an answer to a question that waits is to come from outside."""
        return waiting.is_answer_coming(self.world, self._outside, question)

    def may_leave(self, place: int) -> bool:
        """Return whether a turn of the round in progress may wait for a call beyond the round."""
        return self._open_turn(place).may_wait

    def calls(self) -> list[tuple[int, int, int, str | None, QuestionRecord]]:
        """Calls of tools that turns wait for between their rounds: `waiting.parked_calls`."""
        return waiting.parked_calls(self.world, self._outside)

    @property
    def ending(self) -> bool:
        """True if no round can follow those that were committed: what comes from outside now reaches nobody."""
        last = self._last
        if self.end is not None:
            return True
        return self.between_rounds and last is not None and self._ending(last.round, last.turns) is not None

    def waiting(self) -> list[tuple[str, int]]:
        """Agents whose turn waits for effects, with how many: for display only."""
        return [(turn.agent.name, turn.unanswered) for turn in self._open.values() if turn.unanswered]

    @property
    def executing(self) -> int:
        """The number of turns that are executed or wait for a sandbox: for display only."""
        return sum(not turn.over and not turn.unanswered for turn in self._open.values())

    @property
    def backlog(self) -> int:
        """The number of messages that did not fit the inboxes of the round in progress: for display only."""
        return sum(turn.backlog for turn in self._open.values())

    # -- step --------------------------------------------------------------------------------------------------

    def step(self, event: Event) -> list[Action]:
        """Take an event; return what is to be done next. Raises `InvariantError` if the event cannot come now."""
        match event:
            case TurnEnded(place, outcome, fuel, stdout):
                return self.turn_ended(place, outcome, fuel, stdout)
            case TurnTaken(record, children):
                self._open_turn(record.place).take(record)
                self._children |= {child.name: child for child in children}
                return self._turn_over()
            case EffectAnswered():
                turn = self._open_turn(event.place)
                actions = turn.answer(event.index, event.reply, event.tokens)
                return self._turn_over() if turn.is_parked else actions
            case CallLeft(place, index):
                turn = self._open_turn(place)
                turn.leave(index)
                return self._turn_over() if turn.is_parked else []
            case Advance():
                return list(self.advance())
            case Input() | OutsideChange() | Answer():
                self._outside.put(event)
                return []
            case WaveRun(record):
                for place, _ in record.requests:
                    self._open_turn(place)
                self._waves.append(record)
                return []

    def advance(self) -> Iterator[Action]:
        """Do what `step(Advance())` does, action by action: a turn is opened when its execution is asked for.

        So the first can be executed while the others are still opened. All must be asked for before the next `step`.
        """
        if self._round is not None or self.end is not None:
            raise InvariantError("a round is in progress, or the run is over")
        end = self._end_after(self._last) if self._last else None
        if end is not None:
            yield self._finish(end)
            return
        round_ = self._next_round()
        if (round_ is None or round_ > self.plan.rounds_max) and self._dead_letters_round is not None:
            round_ = self._dead_letters_round
        if round_ is None and self.waits:
            raise InvariantError("no round can begin before a question is answered")
        if round_ is None:
            bound = bool(self.world.asked)
            yield self._finish(self._chained(EndRecord("rounds_max" if bound else "quiet", self.world.round, None)))
            return
        if round_ > self.plan.rounds_max:
            yield self._finish(self._chained(EndRecord("rounds_max", self.world.round, None)))
            return
        self._round = round_
        places = self.world.schedule.take(round_)
        self._open = {}
        self._open_count = len(places)
        if not places:
            yield self._commit(round_)
        agents = self.world.agents
        for place in places:
            turn = self._open[place] = OpenTurn(self.world, agents[place], round_, self.head)
            if not turn.has_calls:
                yield turn.execute()
                continue
            calls = turn.go_on()
            if turn.over:
                self._open_count -= 1
                if not self._open_count:
                    yield self._commit(round_)
            yield from calls

    @property
    def _dead_letters_round(self) -> int | None:
        """The round of nobody that keeps inputs which reach nobody at the end of a run; None if there are none.

        Runs of plans of version 1 lost them, and are replayed so.
        """
        if not self._round_inputs or self.plan.version == 1:
            return None
        round_ = self._round_inputs[-1].round + 1
        return round_ if round_ <= self.plan.rounds_max else None

    def _next_round(self) -> int | None:
        """Take what comes from outside before the next round; return its number, or None if there is none."""
        outside, world, before = self._outside, self.world, self.world.round
        if outside.is_empty:
            self._round_answers = ()
            return world.schedule.next_round(before)
        while True:
            due, later = world.schedule.next_round(before), outside.later
            if outside.changes or later is None or later <= before or due is None or due > later:
                before = before if outside.changes or later is None else max(before, later)
                self._round_inputs += outside.take_inputs(world, before)
            if outside.changes:
                self._round_changes = outside.take_changes(world)
            self._round_answers = outside.take_answers(world, before)
            if self._round_changes or self._round_answers:
                return before + 1
            due = world.schedule.next_round(before)
            if due is not None or not (outside.inputs or outside.answers):
                return due

    def _finish(self, end: EndRecord) -> End:
        self.end = end
        self.head = end.head or self.head
        return End(end)

    def _open_turn(self, place: int) -> OpenTurn:
        try:
            return self._open[place]
        except KeyError:
            raise InvariantError(f"the agent at place {place} has no turn in round {self.round}") from None

    def turn_ended(self, place: int, outcome: Outcome, fuel: int, stdout: str) -> list[Action]:
        """Do what `step` does with the event of the same name, of which every turn would take one."""
        turn = self._open_turn(place)
        if turn.executed(fuel, stdout):
            match outcome:
                case Completed() as completed:
                    self._complete(turn, completed.output)
                case Needs() as needs:
                    actions = turn.suspend(needs)
                    if not turn.over:
                        return actions
                case Failed(failure):
                    turn.fail(failure.kind, failure.message)
        return self._turn_over()

    def _turn_over(self) -> list[Action]:
        """A turn has no further part in the round, which is over with the last."""
        self._open_count -= 1
        return [] if self._open_count else [self._commit(self.round)]

    def _complete(self, turn: OpenTurn, output: TurnOutput) -> None:
        failure = refusal(turn.agent, output, self.world)
        for send in output.send:
            if failure is None and send.attach is not None and not turn.contents.knows(send.attach):
                message = f"{turn.agent.name} was given no content with the handle that it attaches"
                failure = Failure(FailureClass.DENIED, message)
        if failure is None:
            turn.complete(output)
        else:
            turn.fail(failure.kind, failure.message)

    # -- the end of a round ------------------------------------------------------------------------------------

    def _commit(self, round_: int) -> Commit:
        world = self.world
        round_outcome.check_contents(world, self._open.values())
        spawned = round_outcome.spawned(world, round_, self._open.values(), self._children)
        opened = self._open.values()
        turns = tuple([turn.record() for turn in opened if turn.output is not None or turn.failure is not None])
        parks = self._parks()
        stopped = round_outcome.stopped(world, turns)
        if self._ending(round_, turns) is not None:
            self._round_inputs += self._outside.take_late(world, round_)
        messages = round_outcome.messages(world, round_, turns, spawned, set(stopped))
        inputs, changes, answers = self._round_inputs, self._round_changes, self._round_answers
        facts = head.facts(round_, inputs, turns, messages, spawned, stopped, self.rule, changes, answers, parks)
        outcome = head.outcome(facts, self.rule)
        waves = tuple(sorted(self._waves, key=lambda wave: (wave.wave, wave.model)))
        self.execution = head.execution_advance(self.execution, round_, turns, waves, self.rule, parks)
        record = RoundRecord(
            round_,
            turns,
            inputs,
            messages,
            spawned,
            stopped,
            b"",
            self.execution,
            waves,
            outcome,
            changes,
            parks=parks,
            answers=answers,
        )
        world.apply(record)
        state = snapshot = None
        if self._snapshot_due():
            state = snapshots.digest(world)
            if not world.changed_ever:  # numbers do not say what came from outside: such a run is folded from there on
                snapshot = snapshots.take(world)
        self.head = head.advance(self.head, facts, self.rule, state)
        record = record.chained(self.head, state)
        self._last = record
        self._round = None
        self._open = {}
        self._round_inputs = ()
        self._round_changes = ()
        self._round_answers = ()
        self._waves = []
        return Commit(record, self._end_after(record), snapshot)

    def _parks(self) -> tuple[ParkRecord, ...]:
        parks: list[ParkRecord] = []
        first = self.world.question_next
        for turn in self._open.values():
            if turn.is_parked:
                parks.append(turn.park(first))
                first += len(parks[-1].questions)
        return tuple(parks)

    def _snapshot_due(self) -> bool:
        """Tell whether one is due after the latest round, and count from there on if so."""
        if self.rule == 1 or not snapshots.due(self.world):
            return False
        self.world.turns_since_digest = 0
        return True

    def _end_after(self, record: RoundRecord) -> EndRecord | None:
        """Return the end of the run, with its head, if this round is its last."""
        end = self._ending(record.round, record.turns)
        return None if end is None else self._chained(end)

    def _ending(self, round_: int, turns: Iterable[TurnRecord]) -> EndRecord | None:
        """Return the end that the turns of a round bring about: somebody finished the run, or a failure ends it."""
        if self.plan.on_failure == "stop":
            for turn in turns:
                if turn.failure is not None:
                    name = self.world.agents[turn.place].name
                    message = f"{name} failed in round {round_}: {turn.failure.message}"
                    return EndRecord("failed", round_, None, message)
        for turn in turns:
            if turn.output is not None and turn.output.finish is not None:
                return EndRecord("finished", round_, turn.output.finish)
        return None

    def _chained(self, end: EndRecord) -> EndRecord:
        """An end with the head of the run that it ends."""
        return replace(end, head=head.ended(self.head, end, self.rule))


def _unlike(what: str, expected: bytes | None, actual: bytes | None) -> DifferenceFound:
    return DifferenceFound(
        what,
        expected=None if expected is None else expected.hex(),
        actual=None if actual is None else actual.hex(),
        hint="The journal has been damaged or changed after it was written.",
    )
