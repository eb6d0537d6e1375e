"""Worlds for whole runs."""

from __future__ import annotations

from pathlib import Path

import turnwise
from tests.guests import LIVELY, chooser
from tests.inference import toy
from turnwise import Agent, Grants, InitialMessage, Model, World

LIVELY_WAT = chooser(LIVELY)

TALKER = """
import random, time, uuid

def turn(t):
    t.state["turns"] = t.state.get("turns", 0) + 1
    names = [message.sender for message in t.inbox]
    t.log(f"{t.self_name} heard {names} at {t.now()}")
    print("chance", random.random(), uuid.uuid4(), hash(t.self_name), sorted({"b", "a", "c"}), time.time())
    t.record("luck", t.random.random())
    if t.random.random() < 0.1:
        raise ValueError("bad luck")
    if t.state["turns"] < 9:
        t.send("talkers", f"{t.self_name} says {t.random.randint(0, 99)}")
        t.wake_in(1)
"""


def lively(seed: int = 5, rounds_max: int = 25, schedule: str = "rounds") -> World:
    """Core modules that do a bit of everything."""
    everything = Grants(send=["*", "all"], spawn=["lively"], stop=["*"])
    return turnwise.World(
        name="lively",
        seed=seed,
        schedule=schedule,  # type: ignore[arg-type]
        rounds_max=rounds_max,
        agents={
            "lively": Agent(LIVELY_WAT, count=6, start=True, groups=["all"], grants=everything),
            "hub": Agent(LIVELY_WAT, grants=everything),
        },
        messages=[InitialMessage("hub", "go")],
    )


def talkers(seed: int = 3, count: int = 4) -> World:
    """Python agents that use chance, the clock and sets, print, and fail now and then."""
    return turnwise.World(
        name="talkers",
        seed=seed,
        rounds_max=12,
        agents={"talker": Agent(TALKER, count=count, start=True, groups=["talkers"], grants=Grants(send=["talkers"]))},
    )


CALLER = """
def stop() -> str:
    return "stopped"

def turn(t):
    t.act("m", "Go", tools=[stop], begin="required", steps_max=2, calls_max=1, tokens_max=60)
"""


def calling_run(folder: Path) -> Path:
    """The journal of a run in which a model of random bytes asks for one call, since it has to."""
    model = toy.write_folder(
        folder / "model",
        toy.attention_graph(),
        configuration=toy.config(16, 2, context_length=4096),
        tokenizer_config={"chat_template": toy.SHOWS_TOOLS},
    )
    agent = Agent(CALLER, start=True, grants=Grants(generate=["m"]))
    path = folder / "calling.journal"
    turnwise.run(World(name="calling", models={"m": Model(str(model))}, agents={"a": agent}), journal=path).close()
    return path
