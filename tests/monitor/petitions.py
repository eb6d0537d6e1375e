"""A run in which an agent asks people: one question is answered, one is not in time, and one waits."""

from __future__ import annotations

from pathlib import Path

import turnwise
from turnwise import Agent, Grants, Model, World

OFFICE = """
def turn(t):
    if t.turn == 1:
        t.send("clerk", "A bridge over the river", attach=t.put(b"a plan"))
"""
CLERK = """
def turn(t):
    for message in t.inbox:
        t.generate("m", "A bridge", tokens_max=3)
        allowed = t.ask(f"{message.body}?", schema={"type": "boolean"})
        reason = t.ask("Why?", deadline=3, default="no reason")
        t.send("office", f"{allowed}: {reason}")
        t.ask("Sign <b>here</b>", schema={"enum": ["A", "B"]})
        t.finish([allowed, reason])
"""
CLOCK = """
def turn(t):
    if t.turn < 8:
        t.wake_in(1)
"""


def petitions() -> World:
    """The world of it."""
    return World(
        name="petitions",
        agents={
            "office": Agent(OFFICE, start=True, grants=Grants(send=["clerk"])),
            "clerk": Agent(CLERK, grants=Grants(send=["office"], ask=True, generate=["m"], finish=True)),
            "clock": Agent(CLOCK, start=True),
        },
        models={"m": Model("builtin:demo")},
    )


def petition(path: Path) -> None:
    """Play until the third question waits, and nobody has anything else to do.

    Round 2 asks the first, which is answered for round 5. That asks the second, whose default is taken in round 8.
    """
    with petitions().start(journal=path, workers=1) as live:
        while live.step():
            asked = {one.id for one in live.questions()}
            if 1 in asked and live.progress().round == 4:
                assert live.answer(1, True)
        assert [one.id for one in live.questions()] == [3]


def granted(path: Path) -> None:
    """Play to the end."""
    petition(path)
    assert turnwise.answer(path, 3, "B")
    turnwise.resume(path, workers=1).result().close()
