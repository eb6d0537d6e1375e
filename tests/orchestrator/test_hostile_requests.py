"""Agents that ask models for too much, beside honest ones whose outcomes do not change."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Regex, pre_tokenizers

import turnwise
from tests.inference import graphs, toy
from turnwise import Agent, Grants, Model, World

GREEDY = """
from turnwise_guest import EffectError, Tensor, Turn

def turn(t: Turn) -> None:
    for shape in ([400_000, 1_000_000], [3000, 3000], [3]):
        try:
            t.log(str(t.infer("grow", {"x": [1.0], "shape": Tensor(shape, dtype="int64")})["y"].shape))
        except EffectError as error:
            t.log(f"{error.kind}: {error.message}")
"""
STUCK = """
from turnwise_guest import EffectError, Turn

def turn(t: Turn) -> None:
    for ask in ({"prompt": "a" * 40 + "!"}, {"messages": [{"role": "user", "content": "x"}], "template": {"n": 10**9}}):
        try:
            t.generate("talk", **ask)
        except EffectError as error:
            t.log(f"{error.kind}: {error.message}")
"""
HONEST = """
from turnwise_guest import Tensor, Turn

def turn(t: Turn) -> None:
    t.state["said"] = [*t.state.get("said", []), t.generate("talk", "ab", tokens_max=5).text]
    t.state["grown"] = t.infer("grow", {"x": [2.0], "shape": Tensor([2, 2], dtype="int64")})["y"].tolist()
    if t.turn < 3:
        t.wake_in(1)
"""


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Model]:
    grow = toy.Graph(
        inputs=[toy.value("x", toy.FLOAT, [1]), toy.value("shape", toy.INT64, ["rank"])],
        outputs=[toy.value("y", toy.FLOAT, ["rows", "columns"])],
        nodes=[toy.node("Expand", ["x", "shape"], ["y"])],
    )
    talk = toy.write_folder(tmp_path / "talk")
    inner = toy.byte_tokenizer()
    backtracking = pre_tokenizers.Split(Regex("(a+)+$"), "isolated")
    inner.pre_tokenizer = pre_tokenizers.Sequence([backtracking, inner.pre_tokenizer])
    (talk / "tokenizer.json").write_text(inner.to_str())
    (talk / "chat_template.jinja").write_text("{{ 3.5 | round(n, 'floor') }}{{ [1] | batch(n, 0) | list }}")
    return {
        "grow": Model(graphs.write_graph(tmp_path / "grow.onnx", grow), provider="cpu"),
        "talk": Model(talk, provider="cpu"),
    }


def world(models: dict[str, Model], *, hostile: bool) -> World:
    grants = Grants(infer=["grow"], generate=["talk"])
    agents = {"honest": Agent(HONEST, count=2, start=True, grants=grants)}
    if hostile:
        agents |= {"greedy": Agent(GREEDY, start=True, grants=grants), "stuck": Agent(STUCK, start=True, grants=grants)}
    return World(name="hostile", models=models, agents=agents)


def test_what_is_too_much_is_an_answer_and_nobody_else_sees_it(models: dict[str, Model], tmp_path: Path) -> None:
    states, heads = [], set()
    for name, hostile, workers in (("alone", False, 2), ("one", True, 1), ("four", True, 4)):
        with turnwise.run(world(models, hostile=hostile), journal=tmp_path / f"{name}.journal", workers=workers) as run:
            assert [turn.failure for turn in run.turns] == [None] * (8 if hostile else 6)
            states.append([run.state(f"honest-{number}") for number in (1, 2)])
            if hostile:
                heads.add(run.head)
                logs = [line.text for turn in run.turns if turn.output for line in turn.output.log]
    assert len(heads) == 1
    assert states[0] == states[1] == states[2]
    assert logs == [
        "refused: the model's graph needs more than 4,294,967,296 bytes of memory for these tensors",
        "refused: the outputs have 36,000,000 bytes in all, at most 16,777,216 are allowed",
        "(3,)",
        "refused: the expressions of the model's tokenizer take more than 8,000,000 steps on this text: shorten it",
        "refused: the chat template refuses these messages: round takes a precision from -15 to 15",
    ]
