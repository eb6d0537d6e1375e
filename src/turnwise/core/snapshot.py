"""Snapshots: where a world stands after a round, so that a run can go on from there without all that came before.

A snapshot holds numbers alone. The texts behind them (states, messages, arguments) are in the rounds, and stay where
they are; so a snapshot is small, is told from a wrong one by the digest of the state, and holds nothing private.

The digest of a state is in the head (`turnwise.core.head`) of every round in which one is due, which follows from
outcomes alone: once as many turns have been taken as `TURNS_MIN`, or as `TURNS_PER_AGENT` times the agents that there
are, if that is more. So a turn pays for its part of a snapshot whatever the number of idle agents, and at most so many
turns lie between a round and the snapshot before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from turnwise.core.head import text_digest
from turnwise.core.records import AgentRecord, AnswerRecord, MessageRecord, ParkRecord
from turnwise.core.state import AgentState, WorldState
from turnwise.errors import JournalError

TURNS_MIN: Final = 1_024
"""Turns between two snapshots at least."""

TURNS_PER_AGENT: Final = 4
"""Turns between two snapshots for every agent that there is, at least."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A world after a round, without its texts. Lists of one item an agent are in order of place."""

    round: int
    """Round after which it is."""
    message_seq_next: int
    """Sequence number of the next message."""
    turns: tuple[int, ...]
    """Turns that each agent has had."""
    left: tuple[int, ...]
    """Round of the turn that left each agent's state; 0 for an agent that has the state it began with."""
    wake_at: tuple[int, ...]
    """Round in which each agent wants to be woken; 0 if in none."""
    stopped: tuple[int, ...]
    """Places of agents that were stopped."""
    unread: tuple[tuple[int, tuple[int, ...]], ...]
    """Places of agents with unread messages, each with the messages' sequence numbers."""
    question_next: int = 1
    """Number of the next question to people."""
    waiting: tuple[tuple[int, int], ...] = ()
    """Places of agents whose turns wait for answers, each with the round in which the turn began."""


def due(world: WorldState) -> bool:
    """Return whether a snapshot is due after the world's latest round."""
    return world.turns_since_digest >= max(TURNS_MIN, TURNS_PER_AGENT * len(world.agents))


def take(world: WorldState) -> Snapshot:
    """Return a snapshot of a world."""
    agents = world.agents
    return Snapshot(
        world.round,
        world.message_seq_next,
        tuple([agent.turns for agent in agents]),
        tuple([agent.left for agent in agents]),
        tuple([agent.wake_at or 0 for agent in agents]),
        tuple([agent.place for agent in agents if not agent.alive]),
        tuple([(agent.place, tuple([letter.seq for letter in agent.inbox])) for agent in agents if agent.inbox]),
        world.question_next,
        tuple([(agent.place, agent.parked.began) for agent in agents if agent.parked is not None]),
    )


def digest(world: WorldState) -> bytes:
    """SHA-256 of all that decides how a world goes on, apart from its plan: states, alarms, mail, spawned agents.

    It is over lines: round, next sequence number and number of agents; the chain over spawned agents and changes; for
    each agent its turns, the SHA-256 of its state, its alarm, and what it has not read (`!`: it was stopped); for each
    unread message its number and the SHA-256 of what its readers will see; and if people were ever asked, the number
    of the next question. A turn that waits adds what it will go on with to the line of its agent. If anything was ever
    put, the chain over that stands before the messages.
    """
    lines = [f"state {world.round} {world.message_seq_next} {len(world.agents)}", world.others.hex()]
    unread: dict[int, bytes] = {}
    for agent in world.agents:
        line = f"{agent.turns} {text_digest(agent.state)}"
        if agent.inbox or agent.wake_at is not None or not agent.alive:
            line += f" {agent.wake_at or 0} {_numbers(agent)}{'' if agent.alive else '!'}"
            unread.update([(letter.seq, letter.text) for letter in agent.inbox])
        if agent.parked is not None:
            line += f" waits {agent.parked.digest()}"
        lines.append(line)
    if world.contents_chain is not None:
        lines.append(f"contents {world.contents_chain.hex()}")
    lines += [f"{seq} {sha256(text).hexdigest()}" for seq, text in sorted(unread.items())]
    if world.question_next > 1:
        lines.append(f"asked {world.question_next}")
    return sha256(("\n".join(lines) + "\n").encode()).digest()


def _numbers(agent: AgentState) -> str:
    inbox = agent.inbox
    if not inbox:
        return "-"
    first, last = inbox[0].seq, inbox[-1].seq
    if last - first == len(inbox) - 1:  # they ascend, so these are all between
        return f"{first}-{last}"
    return ",".join([str(letter.seq) for letter in inbox])


def restore(
    world: WorldState,
    snapshot: Snapshot,
    spawned: Iterable[AgentRecord],
    states: Sequence[str],
    messages: Iterable[MessageRecord],
    parks: Sequence[tuple[int, ParkRecord | AnswerRecord]] = (),
    puts: Iterable[tuple[int, int, int, str, str]] = (),
) -> None:
    """Bring a world from its beginning to where a snapshot says that it stood.

    `spawned` are the agents that came later, in order of place; `states` those of all agents, by place; `messages` the
    unread ones, in order; `parks` what became of turns that wait, and answers to them, with their rounds; `puts` the
    contents that were put: round, place, index, request and reply. Whether that is what the run's chain names is to be
    seen by `digest`. Raises ValueError for what cannot belong together.
    """
    for record in spawned:
        if record.kind not in world.kinds or not set(record.grants) <= world.kinds.keys():
            raise ValueError(f"agent {record.name} is of a kind that is not there")
        if record.place != len(world.agents) or record.name in world.by_name:
            raise ValueError(f"agent {record.name} cannot have place {record.place}")
        world.spawn(record)
    agents = world.agents
    columns = (snapshot.turns, snapshot.left, snapshot.wake_at, states)
    if any(len(column) != len(agents) for column in columns):
        raise ValueError(f"it is not of {len(agents)} agents")
    for agent, turns, left, wake_at, state in zip(agents, *columns, strict=True):
        agent.turns, agent.left, agent.wake_at, agent.state = turns, left, wake_at or None, state
    try:
        for place in snapshot.stopped:
            agents[place].alive = False
        waiting = {place: set(numbers) for place, numbers in snapshot.unread}
        readers: dict[int, list[int]] = {}
        for place, numbers in waiting.items():
            _ = agents[place]
            for seq in numbers:
                readers.setdefault(seq, []).append(place)
    except IndexError:
        raise ValueError("it names an agent that is not there") from None
    for put in puts:
        world.put(*put)
    try:
        world.stand_after(snapshot.round, snapshot.message_seq_next, messages, readers, parks)
    except JournalError as error:
        raise ValueError(error.message) from error
    world.question_next = snapshot.question_next
