"""Grants that name a model of another task."""

from __future__ import annotations

from pathlib import Path

import pytest

import turnwise
from tests.inference import graphs
from turnwise import Agent, Grants, Model, World
from turnwise.errors import WorldError
from turnwise.orchestrator.native import run_native

IDLE = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    pass
"""


def world(path: Path, grants: Grants) -> World:
    graphs.write_graph(path / "policy.onnx", graphs.dense_graph())
    if not (path / "encoder").exists():
        graphs.write_encoder(path / "encoder")
    models = {"policy": Model(path / "policy.onnx"), "encoder": Model(path / "encoder")}
    return World(name="w", models=models, agents={"idle": Agent(IDLE, start=True, grants=grants)})


@pytest.mark.parametrize(
    ("grants", "key", "message", "hint"),
    [
        (
            Grants(generate=["policy"]),
            "agents.idle.grants.generate.0",
            "the model policy is there to infer, and does not generate",
            'Write infer = ["policy"]',
        ),
        (Grants(infer=["policy", "encoder"]), "agents.idle.grants.infer.1", "is there to embed", 'embed = ["encoder"]'),
        (Grants(embed=["policy"]), "agents.idle.grants.embed.0", "does not embed", 'task = "embed" in [models.policy]'),
    ],
)
def test_they_are_found_before_anything_runs(tmp_path: Path, grants: Grants, key: str, message: str, hint: str) -> None:
    wrong = world(tmp_path, grants)
    (problem,) = turnwise.check(wrong)
    assert problem.where.endswith(key)
    assert message in problem.message
    assert hint in problem.hint
    journal = tmp_path / "run.journal"
    with pytest.raises(WorldError) as caught:
        turnwise.run(wrong, journal=journal)
    assert [str(found) for found in caught.value.problems] == [str(problem)]
    assert not journal.exists()
    with pytest.raises(WorldError):
        run_native(wrong)


def test_patterns_and_right_grants_are_well(tmp_path: Path) -> None:
    assert turnwise.check(world(tmp_path, Grants(infer=["policy", "*"], embed=["enc*"], generate=["*"]))) == []
