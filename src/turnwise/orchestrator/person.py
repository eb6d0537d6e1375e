"""A person in the place of an agent: its code is another, which shows its mail and does what somebody says."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from turnwise.errors import UsageError
from turnwise.world import World
from turnwise.world.written.types import Agent

W = TypeVar("W", bound=World)

PERSON: Final = '''"""An agent whose turns a person takes: each line that is answered is a message, or a command."""

from turnwise_guest import Turn

HOW = "NAME: TEXT sends to NAME; /finish RESULT ends the run; /wake ROUNDS asks again then; an empty line passes."


def turn(t: Turn) -> None:
    for message in t.inbox:
        if message.sender != "outside":
            t.state["to"] = message.sender
    heard = [f"{message.sender}: {message.body}" for message in t.inbox] or ["(no mail)"]
    to = t.state.get("to")
    how = f"TEXT goes to {to}. {HOW}" if to else HOW
    said = t.ask("\\n".join([f"Round {t.round}", *heard, how]), schema={"type": "string"})
    for line in said.splitlines():
        act(t, line.strip(), to)


def act(t: Turn, line: str, to: str | None) -> None:
    word, _, rest = line.partition(" ")
    name, colon, body = line.partition(":")
    if word == "/finish":
        t.finish(rest or None)
    elif word == "/wake" and rest.isdecimal() and int(rest) > 0:
        t.wake_in(int(rest))
    elif line.startswith("/"):
        t.log(f"there is no command {word}", level="warning")
    elif colon and name and " " not in name:
        t.send(name, body.strip())
    elif line and to:
        t.send(to, line)
    elif line:
        t.log("nobody has written yet: say to whom it goes (NAME: TEXT)", level="warning")
'''
"""Source of the agent that a person plays."""


def with_person(world: W, name: str) -> W:
    """Return a world in which a person can take the turns of an agent.

    An agent that may ask people stays as it is: the person answers what it asks. The code of another one becomes
    `PERSON`, with the grant `ask`. Raises `UsageError` if there is no such agent, or several share its code.
    """
    plan = world.resolve()
    kind = world.agents.get(name)
    if kind is None or not _is_alone(kind):
        asks = [of for of, agent in world.agents.items() if name.startswith(f"{of}-") and agent.grants.ask]
        if asks:
            return world
        alone = [of for of, agent in world.agents.items() if _is_alone(agent)]
        raise UsageError(
            f"nobody can play {name!r} in {plan.name}",
            where="--as",
            expected=", ".join(alone),
            actual=name,
            hint="Name an agent that has a table of its own in the world file, or one that may ask people.",
        )
    if kind.grants.ask:
        return world
    person = replace(kind, source=PERSON, grants=replace(kind.grants, ask=True))
    return replace(world, agents={**world.agents, name: person})


def _is_alone(agent: Agent) -> bool:
    return agent.count is None and agent.table is None and not isinstance(agent.args, list | tuple)
