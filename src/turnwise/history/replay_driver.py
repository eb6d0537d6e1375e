"""A driver that plays rounds again, keeps nothing, and takes as recorded what only another version could decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

from turnwise.core.contents import GET, given_of
from turnwise.core.events import CallLeft, Execute, Request, TurnTaken
from turnwise.core.machine import Machine
from turnwise.core.records import EndRecord, ParkRecord, RoundRecord, TurnRecord
from turnwise.core.run_python import failure_of
from turnwise.core.turn import Failure, FailureClass
from turnwise.core.withheld import Withheld
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.orchestrator.driver import Driver
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult

HOST_DEPENDENT = frozenset({FailureClass.FUEL, FailureClass.STACK})
"""Failures that depend on the version of wasmtime."""

FUEL_UNBOUNDED = 2**62


class Nowhere:
    """A sink that keeps nothing."""

    def __init__(self) -> None:
        self.on_failure: Callable[[BaseException], None] | None = None

    async def hand_over(self, commit: RoundCommit) -> None:
        """Keep nothing."""

    commit = hand_over

    async def wait_durable(self) -> None:
        """Wait for nothing."""

    async def end(self, record: EndRecord) -> None:
        """Keep nothing."""


class ReplayDriver(Driver):
    """A driver that takes from the journal what only another version of wasmtime could decide."""

    def __init__(self, machine: Machine, sink: Nowhere, foreign: str | None) -> None:
        super().__init__(machine, sink)
        self.foreign = foreign
        self.without: set[int] = set()
        self._contents_withheld: set[str] = set()
        self.is_redacted = False
        self.taken_turns: list[TurnRecord | ParkRecord] = []
        self._record: RoundRecord | None = None
        self._decided: dict[int, tuple[int, Failure]] = {}
        self.notes: list[str] = []
        if foreign is not None:
            self.notes.append(
                f"the journal was made with wasmtime {foreign}, this is {version('wasmtime')}: fuel and what failed "
                "turns said are not compared, and turns that ran out of fuel or stack are taken from the journal"
            )

    def expect(self, record: RoundRecord) -> None:
        """The round that is played next."""
        self._record = record
        self.taken_turns = []
        if self.foreign is not None:
            self._decided = {
                turn.place: (turn.executions, turn.failure)
                for turn in record.turns
                if turn.failure is not None and self.takes_as_recorded(turn)
            }

    def takes_as_recorded(self, turn: TurnRecord | ParkRecord) -> bool:
        """True if a turn ended as only another version of wasmtime could decide."""
        if self.foreign is None or isinstance(turn, ParkRecord):
            return False
        return turn.failure is not None and turn.failure.kind in HOST_DEPENDENT

    def withhold(self, messages: set[int], contents: set[str]) -> None:
        """Of this journal texts were taken out, among them bodies of these messages, and contents with these hashes."""
        self.is_redacted = True
        self.without = messages
        self._contents_withheld = contents

    def found(self, record: RoundRecord) -> None:
        """Note the round as it was played: bodies that came of turns that were executed are there again."""
        self.without.difference_update(message.seq for message in record.messages if type(message.body) is str)

    def taken(self, action: Execute) -> TurnTaken | None:
        if not self.is_redacted or self._record is None:
            return None
        agent = self.machine.world.agents[action.place]
        moved = self._record.parts
        turn = next((turn for turn in moved if turn.place == action.place), None)
        if turn is None:
            return None
        told = [agent.args, agent.state, *[effect.reply for effect in turn.effects], *action.replies]
        if agent.parked is not None:
            told += [reply for _, reply in agent.parked.effects_so_far() if reply is not None]
            told += [question.request for question in agent.parked.questions.values()]
        if turn.effects:
            told.append(agent.kind.system)
        if isinstance(turn, ParkRecord):
            told += [question.request for question in turn.questions]
        given = {given_of(effect.reply) for effect in turn.effects if effect.kind == GET}
        if (
            not any(type(text) is Withheld for text in told)
            and self.without.isdisjoint(turn.inbox)
            and self._contents_withheld.isdisjoint(given)
        ):
            return None
        self.taken_turns.append(turn)
        return TurnTaken(turn, tuple([child for child in self._record.spawned if child.parent == action.place]))

    def on_left(self, id_: int) -> None:
        """A call with which its turn parked, as is recorded."""
        place, index = self._requests[id_]
        self._answered(id_)
        self._stepped(CallLeft(place, index))

    def executes(self, request: Request) -> bool:
        """Return whether code is executed again: not where another version of wasmtime decided how it ended."""
        if self.foreign is None or self._record is None:
            return True
        for turn in self._record.turns:
            if turn.place == request.place:
                for effect in turn.effects:
                    if effect.index == request.index:
                        return type(effect.reply) is str and failure_of(effect.reply) not in HOST_DEPENDENT
        return True

    def decide(self, action: Execute) -> Failure | None:
        executions, failure = self._decided.get(action.place, (0, None))
        return failure if executions == len(action.replies) + 1 else None

    def made(self, id_: int, action: Execute) -> TurnJob:
        return super().made(id_, action if self.foreign is None else replace(action, fuel=FUEL_UNBOUNDED))

    def comparable(self, record: RoundRecord, outcome: RoundRecord) -> RoundRecord:
        """Replace what another version of wasmtime counts and says otherwise by what is recorded."""
        if self.foreign is None:
            return outcome
        recorded = {turn.place: turn for turn in record.turns}
        turns = tuple([_as_recorded(turn, recorded.get(turn.place)) for turn in outcome.turns])
        fuel = {park.place: park.fuel for park in record.parks}
        parks = tuple([replace(park, fuel=fuel.get(park.place, park.fuel)) for park in outcome.parks])
        return replace(outcome, turns=turns, parks=parks)

    def spent(self, result: TurnResult) -> int:
        return result.fuel if self.foreign is None else 0


def _as_recorded(turn: TurnRecord, recorded: TurnRecord | None) -> TurnRecord:
    if recorded is None:
        return turn
    turn = replace(turn, fuel=recorded.fuel)
    if turn.failure is None or recorded.failure is None or turn.failure.kind != recorded.failure.kind:
        return turn
    return replace(turn, failure=recorded.failure, stdout=recorded.stdout, executions=recorded.executions)
