"""A real instruct model: a run is verified strictly and by tolerance, and a fork reaches only who hears of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import turnwise
from tests.history.test_verify import played
from turnwise import Agent, Grants, InitialMessage, Model, World

PERSON = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    for message in t.inbox:
        chat = [{"role": "user", "content": message.body + " Answer in one short sentence."}]
        answer = t.generate("assistant", messages=chat, tokens_max=24, temperature=0.7)
        t.send(t.args["next"], "What do you think of this: " + answer.text)
"""


@pytest.fixture(scope="module")
def instruct_model() -> Path:
    """The folder of an instruct model in full precision, `TURNWISE_TEST_INSTRUCT_MODEL`, if it is named."""
    named = os.environ.get("TURNWISE_TEST_INSTRUCT_MODEL")
    if not named:
        pytest.skip("no instruct model is named: set TURNWISE_TEST_INSTRUCT_MODEL to a folder in full precision")
    return Path(named)


def pairs(model: Path) -> World:
    """Two pairs, each of which talks among itself."""
    nexts = {"Ada": "Ben", "Ben": "Ada", "Cleo": "Dan", "Dan": "Cleo"}
    return turnwise.World(
        name="pairs",
        seed=5,
        rounds_max=4,
        models={"assistant": Model(model, provider="cpu")},
        agents={
            name: Agent(PERSON, args={"next": other}, grants=Grants(generate=["assistant"], send=[other]))
            for name, other in nexts.items()
        },
        messages=[
            InitialMessage("Ada", "What is the capital of France?"),
            InitialMessage("Cleo", "Why is the sky blue?"),
        ],
    )


@pytest.mark.trained
def test_a_run_is_verified_and_a_fork_reaches_one_pair(instruct_model: Path, tmp_path: Path) -> None:
    journal = played(pairs(instruct_model), tmp_path / "a.journal")
    strict = turnwise.verify(journal)
    assert (strict.difference, strict.models[0].compared) == (None, 8)
    tolerant = turnwise.verify(journal, tolerant=True)
    assert (tolerant.difference, tolerant.models[0].level, tolerant.models[0].compared) == (None, "L0", 8)
    fork = tmp_path / "b.journal"
    turnwise.fork(journal, 1, journal=fork, messages={"Ada": "What is the capital of Italy?"}).result().close()
    found = turnwise.diff(journal, fork)
    assert set(found.reached) == {"Ada", "Ben"}
    assert set(found.unreached) == {"Cleo", "Dan"}
