"""Worlds that are measured, and runs of them."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import turnwise
from turnwise import Agent, Grants, InitialMessage, Model, World

ASKER = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    told = t.state.get("told", "")
    prompt = f"{t.self_name} has a story of the day. {told[-200:]}"
    t.state["told"] = told + t.generate("model", prompt, tokens_max=t.args["tokens"], temperature=0.8).text
    t.wake_in(1)
"""
PASSER = """
def turn(t):
    total = 0
    for number in range(t.args["steps"]):
        total += number * number % 7
    t.state["total"] = t.state.get("total", 0) + total
    for _ in t.inbox:
        t.send(t.args["to"], str(t.turn))
"""
CHATTER = """
def turn(t):
    t.state["luck"] = t.random.random()
    t.state["heard"] = [message.body for message in t.inbox]
    t.send(t.args["to"], f"{t.self_name} has had {t.turn} turns and says {t.state['luck']:.3f}")
    t.wake_in(1)
"""
NO_OP = """
(module
  (memory (export "memory") 1)
  (data (i32.const 16) "{\\22state\\22:\\22\\22,\\22wake_in\\22:1}")
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "turnwise_turn") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 24))))
"""
ROUNDS_ALWAYS = 10**6
"""Rounds of a world that is stopped from outside."""


def askers(model: str, agents: int, rounds: int, tokens: int) -> World:
    """Agents that all ask a model in each round."""
    asker = Agent(ASKER, args=[{"tokens": tokens}] * agents, start=True, grants=Grants(generate=["model"]))
    return turnwise.World(
        name="askers", seed=1, rounds_max=rounds, models={"model": Model(model)}, agents={"asker": asker}
    )


def passers(rounds: int, steps: int) -> World:
    """Two agents that compute; one has a turn at a time."""
    args = [{"to": f"passer-{other}", "steps": steps} for other in (2, 1)]
    return turnwise.World(
        name="passers",
        rounds_max=rounds,
        agents={"passer": Agent(PASSER, args=args, grants=Grants(send=["*"]))},
        messages=[InitialMessage("passer-1", "go")],
    )


def chatters(agents: int, rounds: int, seed: int = 0) -> World:
    """Agents with luck of their own, each of which writes to the next in every round."""
    args = [{"to": f"chatter-{number % agents + 1}"} for number in range(1, agents + 1)]
    chatter = Agent(CHATTER, args=args, start=True, grants=Grants(send=["*"]))
    return turnwise.World(name="chatters", seed=seed, rounds_max=rounds, agents={"chatter": chatter})


def no_ops(agents: int, rounds: int = ROUNDS_ALWAYS) -> World:
    """Agents that do nothing, and that every round."""
    return turnwise.World(name="no-ops", rounds_max=rounds, agents={"no-op": Agent(NO_OP, count=agents, start=True)})


class Journals:
    """Journals in one folder; each has a name of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def path(self) -> Path:
        """A path at which nothing is."""
        return self._folder / f"{next(self._numbers)}.journal"

    def run(self, world: World, path: Path | None = None, workers: int = 2) -> str:
        """Run a world to its end; return its head."""
        with turnwise.run(world, journal=path or self.path(), workers=workers) as run:
            return run.head

    def played(self, world: World) -> Path:
        """Run a world to its end; return its journal."""
        path = self.path()
        self.run(world, path)
        return path

    def left_open(self, world: World, rounds: int) -> Path:
        """Run so many rounds of a world; return the journal, which can be gone on with."""
        path = self.path()
        with turnwise.start(world, journal=path, workers=2) as live:
            for _ in range(rounds):
                live.step()
        return path
