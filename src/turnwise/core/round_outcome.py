"""Consequences of all turns of a round together: agents that come and go, and messages with their recipients."""

from __future__ import annotations

from collections.abc import Iterable

from turnwise.core.canonical import canonical
from turnwise.core.json_text import decode
from turnwise.core.open_turn import OpenTurn
from turnwise.core.records import AgentRecord, MessageRecord, TurnRecord
from turnwise.core.state import WorldState
from turnwise.core.turn import FailureClass


def check_contents(world: WorldState, turns: Iterable[OpenTurn]) -> None:
    """Fail turns, in order of place, whose contents come to more than the run may have."""
    bytes_max = world.plan.contents_bytes_max
    left = bytes_max - world.contents_bytes
    for turn in turns:
        if turn.output is None or not turn.put_bytes:
            continue
        if turn.put_bytes <= left:
            left -= turn.put_bytes
        else:
            message = f"contents of the run cannot come to more than {bytes_max:,} bytes (world.contents_mib)"
            turn.fail(FailureClass.OUTPUT_SIZE, message)


def spawned(
    world: WorldState, round_: int, turns: Iterable[OpenTurn], recorded: dict[str, AgentRecord]
) -> tuple[AgentRecord, ...]:
    """The children of a round. A turn that spawns a name that exists, or too many agents, fails as a whole.

    `recorded` are those of turns that were taken as they are recorded; they are taken out of it.
    """
    found: dict[str, AgentRecord] = {}
    for turn in turns:
        if turn.output is None or not turn.output.spawn:
            continue
        children: dict[str, AgentRecord] = {}
        for spawn in turn.output.spawn:
            name = spawn.name
            if name in world.by_name or name in world.groups or name in found or name in children:
                turn.fail(
                    FailureClass.CONFLICT,
                    f"an agent called {name!r} cannot be spawned: the name exists (names are never used again)",
                )
                break
            kind = world.kinds[spawn.kind]
            if name in recorded:
                children[name] = recorded.pop(name)
                continue
            children[name] = AgentRecord(
                place=len(world.agents) + len(found) + len(children),
                name=name,
                kind=kind.name,
                args=kind.args if spawn.args is None else merged(kind.args, spawn.args),
                state=kind.state if spawn.state is None else spawn.state,
                born=round_,
                parent=turn.agent.place,
                grants=tuple(dict.fromkeys((kind.name, *turn.agent.record.grants))),
            )
        else:
            most = world.plan.agents_max
            if most is not None and len(world.agents) + len(found) + len(children) > most:
                turn.fail(FailureClass.OUTPUT_SIZE, f"there cannot be more than {most:,} agents (world.agents_max)")
            else:
                found |= children
    return tuple(found.values())


def stopped(world: WorldState, turns: Iterable[TurnRecord]) -> tuple[int, ...]:
    """The places of living agents that turns have stopped, in order."""
    named = {name for turn in turns if turn.output for name in turn.output.stop}
    agents = [world.by_name[name] for name in named if name in world.by_name]
    return tuple(sorted([agent.place for agent in agents if agent.alive]))


def messages(
    world: WorldState, round_: int, turns: Iterable[TurnRecord], born: Iterable[AgentRecord], gone: set[int]
) -> tuple[MessageRecord, ...]:
    """Return a round's messages in the order of delivery, to those who will live in the next round."""
    places = {agent.name: agent.place for agent in born}
    members: dict[str, list[int]] = {}
    for agent in born:
        for group in world.kinds[agent.kind].groups:
            members.setdefault(group, []).append(agent.place)
    found: list[MessageRecord] = []
    seq = world.message_seq_next
    for turn in turns:
        if turn.output is None:
            continue
        for send in turn.output.send:
            if send.to in places:
                recipients: tuple[int, ...] = (places[send.to],)
            else:
                recipients = world.recipients(send.to, turn.place)
                if gone:
                    recipients = tuple([place for place in recipients if place not in gone])
                if send.to in members:
                    recipients += tuple(members[send.to])
            found.append(MessageRecord(seq, round_, turn.place, send.to, send.body, recipients, send.attach))
            seq += 1
    return tuple(found)


def merged(base: str, over: str) -> str:
    """Two JSON objects as canonical text; members of `over` win."""
    return canonical(decode(base) | decode(over))
