"""The machine: decides who moves, with what, and what is committed. It does nothing itself.

``step(event) -> actions``. Whoever drives it (the event loop, the simulator, a replay) carries the actions out in any
order and tells the machine what came of them. What it commits does not depend on that order: results wait until the
round is complete and are then taken in order of place.

A round: `Advance` → `Execute` for everybody who is due → per turn `TurnEnded`, perhaps `Request`/`EffectAnswered` and
`Execute` again → `Commit`. Then `Advance` again, which ends the run if there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from turnwise.core import head
from turnwise.core import snapshot as snapshots
from turnwise.core.acceptance import refusal
from turnwise.core.canonical import canonical
from turnwise.core.events import (
    Action,
    Advance,
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
from turnwise.core.json_text import decode
from turnwise.core.open_turn import OpenTurn
from turnwise.core.plan import Plan
from turnwise.core.records import (
    AgentRecord,
    ChangeRecord,
    EndRecord,
    MessageRecord,
    RoundRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.snapshot import Snapshot
from turnwise.core.state import WorldState
from turnwise.core.turn import Completed, Failed, FailureClass, Needs, TurnOutput
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
        self._inputs: list[Input] = [Input(message.to, message.body) for message in plan.messages]
        self._changes: list[ChangeRecord] = []
        self._round_changes: tuple[ChangeRecord, ...] = ()

    # -- the past ----------------------------------------------------------------------------------------------

    def restore(self, rounds: Iterable[RoundRecord]) -> None:
        """Take over rounds that were committed before. Raises `DifferenceFound` if their heads do not follow."""
        for record in rounds:
            facts = head.facts_of(record, self.rule)
            self._check_outside(record)
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

    def _check_outside(self, record: RoundRecord) -> None:
        """Compare what was to come from outside before a round with what the round says that came."""
        due = [entry for entry in self._inputs if entry.after < record.round]
        self._inputs = [entry for entry in self._inputs if entry.after >= record.round]
        changes, self._changes = self._changes, []
        expected = [(entry.to, entry.body) for entry in due], tuple(changes)
        actual = [(message.to, message.body) for message in record.inputs[: len(due)]], record.changes
        if expected[0] != actual[0] or (changes and expected[1] != actual[1]):
            raise DifferenceFound(
                f"what came from outside before round {record.round} is not what was to come",
                expected=expected,
                actual=actual,
                hint="The journal has been damaged or changed after it was written.",
            )

    def restore_snapshot(
        self,
        snapshot: Snapshot,
        record: RoundRecord,
        spawned: Iterable[AgentRecord],
        states: Sequence[str],
        messages: Iterable[MessageRecord],
    ) -> None:
        """Take over a world as it stood after a round, whose `record` the caller has compared with the chain.

        `spawned`, `states` and `messages` are what `turnwise.core.snapshot.restore` needs; raises what that does, and
        `DifferenceFound` if the world is not the one that the round's head names.
        """
        snapshots.restore(self.world, snapshot, spawned, states, messages)
        state = snapshots.digest(self.world)
        if snapshot.round != record.round or state != record.state:
            what = f"the snapshot of round {record.round} is not the state that its head names"
            raise _unlike(what, record.state, state)
        self.head, self.execution = record.head, record.execution
        self._last = record
        self._inputs.clear()

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
        return bool(self._inputs or self._changes) or self.world.schedule.next_round(self.world.round) is not None

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
        return sum(not turn.ended and not turn.unanswered for turn in self._open.values())

    @property
    def backlog(self) -> int:
        """The number of messages that did not fit the inboxes of the round in progress: for display only."""
        return sum(turn.backlog for turn in self._open.values())

    # -- step --------------------------------------------------------------------------------------------------

    def step(self, event: Event) -> list[Action]:
        """Take an event; return what is to be done next. Raises `InvariantError` if the event cannot come now."""
        match event:
            case TurnEnded():
                return self._turn_ended(event)
            case TurnTaken(record, children):
                self._open_turn(record.place).take(record)
                self._children |= {child.name: child for child in children}
                self._open_count -= 1
                return [] if self._open_count else [self._commit(self.round)]
            case EffectAnswered():
                return self._open_turn(event.place).answer(event.index, event.reply, event.tokens)
            case Advance():
                return self._advance()
            case Input():
                self._inputs.append(event)
                return []
            case OutsideChange(change):
                self._changes.append(change)
                return []
            case WaveRun(record):
                for place, _ in record.requests:
                    self._open_turn(place)
                self._waves.append(record)
                return []

    def _advance(self) -> list[Action]:
        if self._round is not None or self.end is not None:
            raise InvariantError("a round is in progress, or the run is over")
        end = self._end_after(self._last) if self._last else None
        if end is not None:
            return self._finish(end)
        round_ = self._next_round()
        if (round_ is None or round_ > self.plan.rounds_max) and self._dead_letters_round is not None:
            round_ = self._dead_letters_round
        if round_ is None:
            return self._finish(self._chained(EndRecord("quiet", self.world.round, None)))
        if round_ > self.plan.rounds_max:
            return self._finish(self._chained(EndRecord("rounds_max", self.world.round, None)))
        self._round = round_
        agents = [self.world.agents[place] for place in self.world.schedule.take(round_)]
        self._open = {agent.place: OpenTurn(self.world, agent, round_) for agent in agents}
        self._open_count = len(self._open)
        if not agents:
            return [self._commit(round_)]
        return [turn.execute() for turn in self._open.values()]

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
        schedule, before = self.world.schedule, self.world.round
        while True:
            due = schedule.next_round(before)
            later = min((entry.after for entry in self._inputs), default=None)
            if self._changes or later is None or later <= before or due is None or due > later:
                before = before if self._changes or later is None else max(before, later)
                self._round_inputs += self._take_inputs(before)
            if self._changes:
                self._round_changes = tuple(self._changes)
                self._changes.clear()
                self.world.change(self._round_changes)
                return before + 1
            due = schedule.next_round(before)
            if due is not None or not self._inputs:
                return due

    def _finish(self, end: EndRecord) -> list[Action]:
        self.end = end
        self.head = end.head or self.head
        return [End(end)]

    def _take_inputs(self, before: int) -> tuple[MessageRecord, ...]:
        """Inputs become messages that were sent in round `before`, by nobody."""
        first = self.world.message_seq_next
        due = [entry for entry in self._inputs if entry.after <= before]
        messages = tuple(
            [
                MessageRecord(seq, before, None, entry.to, entry.body, self.world.recipients(entry.to, None))
                for seq, entry in enumerate(due, first)
            ]
        )
        self._inputs = [entry for entry in self._inputs if entry.after > before]
        self.world.deliver(messages)
        return messages

    def _open_turn(self, place: int) -> OpenTurn:
        try:
            return self._open[place]
        except KeyError:
            raise InvariantError(f"the agent at place {place} has no turn in round {self.round}") from None

    def _turn_ended(self, event: TurnEnded) -> list[Action]:
        turn = self._open_turn(event.place)
        if turn.executed(event.fuel, event.stdout):
            match event.outcome:
                case Needs() as needs:
                    actions = turn.suspend(needs)
                    if not turn.ended:
                        return actions
                case Completed(output):
                    self._complete(turn, output)
                case Failed(failure):
                    turn.fail(failure.kind, failure.message)
        self._open_count -= 1
        return [] if self._open_count else [self._commit(self.round)]

    def _complete(self, turn: OpenTurn, output: TurnOutput) -> None:
        failure = refusal(turn.agent, output, self.world)
        if failure is None:
            turn.complete(output)
        else:
            turn.fail(failure.kind, failure.message)

    # -- the end of a round ------------------------------------------------------------------------------------

    def _commit(self, round_: int) -> Commit:
        world = self.world
        spawned = self._spawned(round_)
        turns = tuple([turn.record() for turn in self._open.values()])
        stopped = self._stopped(turns)
        if self._ending(round_, turns) is not None:
            self._round_inputs += self._late_inputs(round_)
        messages = self._messages(round_, turns, spawned, set(stopped))
        inputs, changes = self._round_inputs, self._round_changes
        facts = head.facts(round_, inputs, turns, messages, spawned, stopped, self.rule, changes)
        outcome = head.outcome(facts, self.rule)
        waves = tuple(sorted(self._waves, key=lambda wave: (wave.wave, wave.model)))
        self.execution = head.execution_advance(self.execution, round_, turns, waves, self.rule)
        record = RoundRecord(
            round_, turns, inputs, messages, spawned, stopped, b"", self.execution, waves, outcome, changes
        )
        world.apply(record)
        state = snapshot = None
        if self._snapshot_due():
            state = snapshots.digest(world)
            if not world.changed_ever:  # numbers do not say what came from outside: such a run is folded from there on
                snapshot = snapshots.take(world)
        self.head = head.advance(self.head, facts, self.rule, state)
        record = replace(record, head=self.head, state=state)
        self._last = record
        self._round = None
        self._open = {}
        self._round_inputs = ()
        self._round_changes = ()
        self._waves = []
        return Commit(record, self._end_after(record), snapshot)

    def _snapshot_due(self) -> bool:
        """Tell whether one is due after the latest round, and count from there on if so."""
        if self.rule == 1 or not snapshots.due(self.world):
            return False
        self.world.turns_since_digest = 0
        return True

    def _spawned(self, round_: int) -> tuple[AgentRecord, ...]:
        """The children of this round. A turn that spawns a name that exists, or too many agents, fails as a whole."""
        world = self.world
        spawned: dict[str, AgentRecord] = {}
        for turn in self._open.values():
            if turn.output is None or not turn.output.spawn:
                continue
            children: dict[str, AgentRecord] = {}
            for spawn in turn.output.spawn:
                name = spawn.name
                if name in world.by_name or name in world.groups or name in spawned or name in children:
                    turn.fail(
                        FailureClass.CONFLICT,
                        f"an agent called {name!r} cannot be spawned: the name exists (names are never used again)",
                    )
                    break
                kind = world.kinds[spawn.kind]
                if name in self._children:
                    children[name] = self._children.pop(name)
                    continue
                children[name] = AgentRecord(
                    place=len(world.agents) + len(spawned) + len(children),
                    name=name,
                    kind=kind.name,
                    args=kind.args if spawn.args is None else merged(kind.args, spawn.args),
                    state=kind.state if spawn.state is None else spawn.state,
                    born=round_,
                    parent=turn.agent.place,
                    grants=tuple(dict.fromkeys((kind.name, *turn.agent.record.grants))),
                )
            else:
                most = self.plan.agents_max
                if most is not None and len(world.agents) + len(spawned) + len(children) > most:
                    turn.fail(FailureClass.OUTPUT_SIZE, f"there cannot be more than {most:,} agents (world.agents_max)")
                else:
                    spawned |= children
        return tuple(spawned.values())

    def _stopped(self, turns: Iterable[TurnRecord]) -> tuple[int, ...]:
        named = {name for turn in turns if turn.output for name in turn.output.stop}
        agents = [self.world.by_name[name] for name in named if name in self.world.by_name]
        return tuple(sorted([agent.place for agent in agents if agent.alive]))

    def _messages(
        self, round_: int, turns: Iterable[TurnRecord], spawned: Iterable[AgentRecord], stopped: set[int]
    ) -> tuple[MessageRecord, ...]:
        """Return this round's messages in the order of delivery, to those who will live in the next round."""
        world = self.world
        born = {agent.name: agent.place for agent in spawned}
        members: dict[str, list[int]] = {}
        for agent in spawned:
            for group in world.kinds[agent.kind].groups:
                members.setdefault(group, []).append(agent.place)
        messages: list[MessageRecord] = []
        seq = world.message_seq_next
        for turn in turns:
            if turn.output is None:
                continue
            for send in turn.output.send:
                if send.to in born:
                    recipients: tuple[int, ...] = (born[send.to],)
                else:
                    recipients = world.recipients(send.to, turn.place)
                    if stopped:
                        recipients = tuple([place for place in recipients if place not in stopped])
                    if send.to in members:
                        recipients += tuple(members[send.to])
                messages.append(MessageRecord(seq, round_, turn.place, send.to, send.body, recipients))
                seq += 1
        return tuple(messages)

    def _late_inputs(self, round_: int) -> tuple[MessageRecord, ...]:
        """Inputs that came while the last round was in progress: dead letters of this round, since none follows."""
        late = [entry for entry in self._inputs if entry.after <= round_]
        self._inputs = [entry for entry in self._inputs if entry.after > round_]
        first = self.world.message_seq_next
        messages = tuple(
            [MessageRecord(seq, round_, None, entry.to, entry.body, ()) for seq, entry in enumerate(late, first)]
        )
        self.world.deliver(messages)
        return messages

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


def merged(base: str, over: str) -> str:
    """Two JSON objects as canonical text; members of `over` win."""
    return canonical(decode(base) | decode(over))


def _unlike(what: str, expected: bytes | None, actual: bytes | None) -> DifferenceFound:
    return DifferenceFound(
        what,
        expected=None if expected is None else expected.hex(),
        actual=None if actual is None else actual.hex(),
        hint="The journal has been damaged or changed after it was written.",
    )
