"""The state of a world: a fold over its rounds.

`WorldState.apply` is the one place where a round changes anything. A live run applies what it has just decided; resume
and replay apply what the journal holds. The state after round r is therefore the same however it was reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from turnwise.core.contents import PUT, Kept, counted_bytes, put_of
from turnwise.core.envelope import encode_mail
from turnwise.core.head import agent_line, change_line, text_digest
from turnwise.core.inbox import Letter
from turnwise.core.parked import Parked
from turnwise.core.plan import OUTSIDE, Kind, KindGrants, Plan
from turnwise.core.plan_change import changed_plan, concerns_turns
from turnwise.core.records import (
    AgentRecord,
    AnswerRecord,
    ChangeRecord,
    MessageRecord,
    ParkRecord,
    QuestionRecord,
    RoundRecord,
)
from turnwise.core.schedule import Discipline, Rounds, Sequential
from turnwise.errors import InvariantError, JournalError


class AgentState:
    """One agent, living or stopped. Its place never changes and its name is never used again."""

    __slots__ = (
        "alive",
        "args",
        "grants",
        "inbox",
        "kind",
        "left",
        "name",
        "parked",
        "place",
        "record",
        "state",
        "turns",
        "wake_at",
    )

    def __init__(self, record: AgentRecord, kind: Kind, grants: tuple[KindGrants, ...]) -> None:
        self.record = record
        self.place = record.place
        self.name = record.name
        self.kind = kind
        self.args = record.args
        self.state = record.state
        self.left = 0  # round of the turn that left the state, 0 for none
        self.grants = grants
        self.turns = 0
        self.wake_at: int | None = None
        self.alive = True
        self.inbox: list[Letter] = []
        self.parked: Parked | None = None

    @property
    def unread_any(self) -> bool:
        return bool(self.inbox) and self.parked is None

    @property
    def due_at(self) -> int | None:
        return self.wake_at if self.parked is None else self.parked.due_at

    @property
    def is_waiting(self) -> bool:
        return self.parked is not None

    def has_unread(self, seq: int) -> bool:
        return bool(self.inbox) and self.inbox[0].seq <= seq


class WorldState:
    """Agents, their mail and their alarms after round `round` (0: before the first)."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.round = 0
        self.message_seq_next = 0
        self._changed = False
        self.turns_since_digest = 0  # since the latest digest of the state
        self.question_next = 1
        self.asked: dict[int, int] = {}  # places of agents by the numbers of questions that they wait for
        self.others = bytes(32)  # a chain over the agents and changes that did not come from the plan
        self.changed_ever = False
        self.contents: dict[str, Kept] = {}
        self.contents_bytes = 0
        self.contents_chain: bytes | None = None  # over all that was put; None before the first
        self.kinds = {kind.name: kind for kind in plan.kinds}
        self._layers: dict[tuple[str, ...], tuple[KindGrants, ...]] = {}  # grants by the kinds that bound an agent
        self.agents: list[AgentState] = []
        self.by_name: dict[str, AgentState] = {}
        self.groups: dict[str, list[int]] = {group: [] for kind in plan.kinds for group in kind.groups}
        self.schedule: Discipline = self._new_schedule()
        for record in first_agents(plan):
            self._add(record)

    # -- questions ---------------------------------------------------------------------------------------------

    def groups_of(self, name: str) -> tuple[str, ...]:
        """The groups that the agent called `name` belongs to; none for a group or for nobody."""
        agent = self.by_name.get(name)
        return agent.kind.groups if agent else ()

    def recipients(self, to: str, sender: int | None) -> tuple[int, ...]:
        """The places that a message reaches now. A group's message does not come back to its sender."""
        agent = self.by_name.get(to)
        if agent is not None:
            return (agent.place,) if agent.alive else ()
        members = self.groups.get(to, ())
        return tuple([place for place in members if place != sender and self.agents[place].alive])

    def sender_name(self, message: MessageRecord) -> str:
        return OUTSIDE if message.sender is None else self.agents[message.sender].name

    def is_asked(self, question: int, round_: int, asked: str | None = None) -> bool:
        """Return whether a question can be answered before a round; `asked` is the SHA-256 of the one that is meant."""
        place = self.asked.get(question)
        parked = None if place is None else self.agents[place].parked
        if parked is None or not parked.is_open(question, round_):
            return False
        name = self.agents[parked.parts[0].place].name
        return asked is None or asked == asked_digest(name, parked.turn, parked.questions[question])

    # -- the fold ----------------------------------------------------------------------------------------------

    def apply(self, record: RoundRecord) -> None:
        """Change the state by a round. The record must be the next one of this world."""
        if record.round <= self.round:
            raise InvariantError(f"round {record.round} cannot follow round {self.round}")
        self.round = record.round
        self.turns_since_digest += len(record.turns)
        self.deliver(record.inputs)
        if not self._changed:
            self.change(record.changes)
        self._changed = False
        for answer in record.answers:
            if answer.question in self.asked:  # it is not, where the answer has been taken before the round
                self.take_answer(answer, record.round)
        self._clear_alarms(record)
        for turn in record.turns:
            agent = self.agents[turn.place]
            agent.turns = turn.turn
            if agent.parked is not None:
                self._unpark(agent)
            del agent.inbox[: len(turn.inbox)]
            if agent.inbox:
                self.schedule.backlog(agent.place)
            if turn.output is not None:
                agent.state = turn.output.state
                agent.left = record.round
                if turn.output.wake_in is not None:
                    agent.wake_at = record.round + turn.output.wake_in
                    self.schedule.alarm(agent.place, agent.wake_at)
                for effect in turn.effects:
                    if effect.kind == PUT:
                        self.put(record.round, turn.place, effect.index, effect.request, effect.reply)
        for park in record.parks:
            self._park(park, record.round)
        for spawned in record.spawned:
            self.spawn(spawned)
        for place in record.stopped:
            self._stop(self.agents[place])
        self.deliver(record.messages)

    def take_answer(self, answer: AnswerRecord, round_: int) -> None:
        """Take the answer to a question that is open; the round begins with it."""
        place = self.asked.pop(answer.question)
        parked = self.agents[place].parked
        if parked is not None:
            parked.answer(answer.question, answer.reply, round_)
            if parked.due_at is not None:
                self.schedule.alarm(place, parked.due_at)

    def _park(self, park: ParkRecord, round_: int) -> None:
        agent = self.agents[park.place]
        if agent.parked is None:
            agent.parked = Parked(park, round_)
        else:
            for question in agent.parked.questions:
                self.asked.pop(question, None)
            agent.parked.add(park, round_)
        for asked in park.questions:
            self.asked[asked.id] = park.place
            self.question_next = max(self.question_next, asked.id + 1)
        if agent.parked.due_at is not None:
            self.schedule.alarm(agent.place, agent.parked.due_at)

    def _unpark(self, agent: AgentState) -> None:
        """Forget the turn that an agent waits with: it is over, or never will be."""
        for question in agent.parked.questions if agent.parked is not None else ():
            self.asked.pop(question, None)
        agent.parked = None
        if agent.wake_at is not None:  # the schedule may have dropped it meanwhile
            self.schedule.alarm(agent.place, agent.wake_at)

    def _begin_again(self, agent: AgentState) -> None:
        """Have an agent whose turn waits take it anew in the next round, since something of its input is another."""
        self._unpark(agent)
        agent.wake_at = self.round + 1
        self.schedule.alarm(agent.place, agent.wake_at)
        if agent.inbox:
            self.schedule.backlog(agent.place)

    def put(self, round_: int, place: int, index: int, request: str, reply: str) -> None:
        """Know a content that a turn has put, by its recorded request and reply, as long as it was not refused."""
        line = f"{round_} {place} {index} {text_digest(request)} {text_digest(reply)}"
        self.contents_chain = sha256((self.contents_chain or b"") + line.encode()).digest()
        found = put_of(request, reply)
        if found is not None:
            handle, content_hash, size = found
            self.contents[handle] = Kept(content_hash, size, round_, place, index)
            self.contents_bytes += counted_bytes(size)

    def change(self, changes: Sequence[ChangeRecord]) -> None:
        """Change the world from outside, before the next round, whose record then changes nothing once more.

        Raises JournalError for a change of what is not there, since only a journal that is damaged has one.
        """
        for change in changes:
            self._changed = self.changed_ever = True
            self.others = sha256(self.others + change_line(change).encode()).digest()
            if change.what == "plan":
                self._change_plan(change.text or "")
            elif change.what == "drop":
                for agent in self.agents:
                    if any(letter.seq == change.target for letter in agent.inbox):
                        agent.inbox[:] = [letter for letter in agent.inbox if letter.seq != change.target]
                        if agent.parked is not None and change.target in agent.parked.inbox:
                            self._begin_again(agent)
            else:
                self._change_agent(change)

    def _change_plan(self, text: str) -> None:
        self.plan = changed_plan(self.plan, text)
        self.kinds = {kind.name: kind for kind in self.plan.kinds}
        self._layers.clear()
        for agent in self.agents:
            agent.kind = self.kinds[agent.record.kind]
            agent.grants = self._grants_of(agent.record)
            if agent.parked is not None and concerns_turns(text, agent.kind.name):
                self._begin_again(agent)

    def _change_agent(self, change: ChangeRecord) -> None:
        place = change.target
        if place is None or not 0 <= place < len(self.agents) or (change.text is None) != (change.what == "stop"):
            raise JournalError(
                f"after round {self.round}, something was changed that is not there",
                actual=change,
                hint="The journal has been damaged or changed after it was written.",
            )
        agent = self.agents[place]
        if change.what == "stop":
            self._stop(agent)
            return
        if change.what == "state":
            agent.state = change.text or ""
        else:
            agent.args = change.text or ""
        if agent.parked is not None:
            self._begin_again(agent)

    def _stop(self, agent: AgentState) -> None:
        self._unpark(agent)
        agent.alive = False
        agent.wake_at = None
        agent.inbox.clear()

    def deliver(self, messages: Sequence[MessageRecord]) -> None:
        """Put messages into the inboxes of their recipients. Those already delivered (inputs) are passed over."""
        for message in messages:
            if message.seq < self.message_seq_next:
                continue
            self.message_seq_next = message.seq + 1
            if not message.recipients:
                continue
            self._put(message, message.recipients)

    def _put(self, message: MessageRecord, places: Iterable[int]) -> None:
        letter = Letter(
            message.seq, encode_mail(self.sender_name(message), message.round, message.body, message.attach)
        )
        for place in places:
            self.agents[place].inbox.append(letter)
            self.schedule.mail(place, message.seq, message.round + 1)

    def _clear_alarms(self, record: RoundRecord) -> None:
        """Clear the alarms that turns were begun for. One that rang while a turn waited rings after it."""
        for turn in record.turns:
            agent = self.agents[turn.place]
            if agent.wake_at is not None and agent.wake_at <= record.round:
                agent.wake_at = None
                if agent.parked is not None:
                    agent.wake_at = record.round + 1
                    self.schedule.alarm(agent.place, agent.wake_at)
        for park in record.parks:
            agent = self.agents[park.place]
            if agent.parked is None and agent.wake_at is not None and agent.wake_at <= record.round:
                agent.wake_at = None

    def spawn(self, record: AgentRecord) -> None:
        """Add an agent that does not come from the plan."""
        self.others = sha256(self.others + agent_line(record).encode()).digest()
        self._add(record)

    def stand_after(
        self,
        round_: int,
        message_seq_next: int,
        messages: Iterable[MessageRecord],
        readers: Mapping[int, list[int]],
        waiting: Iterable[tuple[int, ParkRecord | AnswerRecord]] = (),
    ) -> None:
        """Take agents as they are now for those after a round, with mail by its readers' places.

        `messages` are all that somebody has not read, in order; `waiting` is what became of turns that wait, and the
        answers that they have got, with their rounds, in order. Raises ValueError for mail that cannot be.
        """
        self.round = round_
        self.message_seq_next = message_seq_next
        self.turns_since_digest = 0
        self.schedule = self._new_schedule()
        for agent in self.agents:
            agent.inbox.clear()
            if agent.wake_at is not None:
                self.schedule.alarm(agent.place, agent.wake_at)
        unseen = dict(readers)
        for message in messages:
            places = unseen.pop(message.seq, None)
            if places is None or not set(places) <= set(message.recipients) or message.seq >= message_seq_next:
                raise ValueError(f"message {message.seq} does not wait for those that it names")
            self._put(message, places)
        if unseen:
            raise ValueError(f"message {min(unseen)} is not there")
        for at, record in waiting:
            if isinstance(record, ParkRecord):
                self._park(record, at)
            elif record.question in self.asked:
                self.take_answer(record, at)

    def _new_schedule(self) -> Discipline:
        return (Rounds if self.plan.schedule == "rounds" else Sequential)(self.agents)

    def _grants_of(self, record: AgentRecord) -> tuple[KindGrants, ...]:
        """The grants that bound an agent; all that are bounded alike have the same."""
        found = self._layers.get(record.grants)
        if found is None:
            found = self._layers[record.grants] = tuple([self.kinds[name].grants for name in record.grants])
        return found

    def _add(self, record: AgentRecord) -> None:
        if record.place != len(self.agents) or record.name in self.by_name:
            raise InvariantError(f"agent {record.name} cannot have place {record.place}")
        kind = self.kinds[record.kind]
        agent = AgentState(record, kind, self._grants_of(record))
        self.agents.append(agent)
        self.by_name[record.name] = agent
        for group in kind.groups:
            self.groups[group].append(record.place)
        if kind.start:
            agent.wake_at = record.born + 1
            self.schedule.alarm(agent.place, agent.wake_at)


def first_agents(plan: Plan) -> list[AgentRecord]:
    """The agents of the world file, in order of place."""
    return [
        AgentRecord(place, agent.name, agent.kind, agent.args, agent.state, 0, None, (agent.kind,))
        for place, agent in enumerate(plan.agents)
    ]


def asked_digest(agent: str, turn: int, question: QuestionRecord) -> str:
    """SHA-256 (hex) of a question and of the agent and the turn that ask it: equal for the same one in a fork."""
    return text_digest(f"{agent} {turn} {question.index} {text_digest(question.request)}")
