"""A model with tools in a run: calls that follow their schemas, recorded, replayed and verified."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.inference import toy
from turnwise import Agent, Grants, Model, Tools, World
from turnwise.errors import EnvironmentFailure
from turnwise.journal.run import Run

AGENT = '''
from typing import Annotated, Literal

from turnwise_guest import EffectError, ModelTool, Turn

PRICES = {"apple": 3, "pear": 4}


def price(fruit: Literal["apple", "pear"], count: Annotated[int, {"minimum": 1, "maximum": 9}] = 1) -> int:
    """Get the price of some fruit in euros."""
    return PRICES[fruit] * count


def turn(t: Turn) -> None:
    tools = [price]
    for tool in t.args["tools"]:
        tools.append(ModelTool(**tool | ({"function": price} if "function" in tool else {})))
    try:
        acted = t.act("m", t.args["goal"], tools=tools, **t.args["options"])
    except EffectError as error:
        t.state = {"error": error.kind, "message": error.message}
    else:
        calls = [[call.tool, call.args, call.result, call.error] for call in acted.calls]
        t.state = {"answer": acted.answer, "ended": acted.ended, "calls": calls}
'''


ENDLESS = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
IN_JAVASCRIPT = """
const PRICES = { apple: 3, pear: 4 };
const price = {
  name: "price",
  description: "Get the price of some fruit in euros.",
  parameters: {
    type: "object",
    properties: { fruit: { enum: ["apple", "pear"] }, count: { type: "integer", minimum: 1, maximum: 9 } },
    required: ["fruit"],
    additionalProperties: false,
  },
  run: ({ fruit, count = 1 }) => PRICES[fruit] * count,
};

export function turn(t) {
  const { steps_max: stepsMax, calls_max: callsMax, tokens_max: tokensMax, ...others } = t.args.options;
  const acted = t.act("m", t.args.goal, { tools: [price], stepsMax, callsMax, tokensMax, ...others });
  const calls = acted.calls.map((call) => [call.tool, call.args, call.result, call.error]);
  t.state = { answer: acted.answer, ended: acted.ended, calls };
}
"""


def world(
    model: str, goal: str, tools: list[Any] | None = None, *, source: str | Path = AGENT, **options: Any
) -> World:
    args = {"goal": goal, "options": options, "tools": tools or []}
    agent = Agent(source, args=args, start=True, grants=Grants(generate=["m"]))
    return World(name="acts", models={"m": Model(model)}, agents={"buyer": agent})


def state(run: Run) -> Any:
    assert [turn.failure for turn in run.turns] == [None]
    return json.loads(run.state("buyer"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Models of random bytes, whose templates show tools or know of none."""
    folder = tmp_path_factory.mktemp("models")
    templates = {
        "shown": toy.SHOWS_TOOLS,
        "words": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    }
    return {
        name: str(
            toy.write_folder(
                folder / name,
                toy.attention_graph(),
                configuration=toy.config(16, 2, context_length=8192),
                tokenizer_config={"chat_template": template},
            )
        )
        for name, template in templates.items()
    }


@pytest.mark.parametrize(("template", "source"), [("shown", AGENT), ("words", AGENT), ("shown", IN_JAVASCRIPT)])
def test_calls_follow_their_schemas_whatever_the_model_is(
    models: dict[str, str], template: str, source: str, tmp_path: Path
) -> None:
    """A model of random bytes knows nothing of calls. The grammar does."""
    path, script = tmp_path / "a.journal", tmp_path / "buyer.js"
    script.write_text(IN_JAVASCRIPT)
    options: dict[str, Any] = {"begin": "required", "temperature": 3.0, "steps_max": 4, "calls_max": 2}
    asked = world(
        models[template],
        "What do two pears cost?",
        source=AGENT if source is AGENT else script,
        tokens_max=300,
        **options,
    )
    try:
        done = turnwise.run(asked, journal=path, seed=3)
    except EnvironmentFailure as failure:
        pytest.skip(failure.message)  # no interpreter of JavaScript has been built
    with done as run:
        found = state(run)
        assert found["calls"]
        for tool, args, result, error in found["calls"]:
            assert (tool, error) == ("price", None)
            assert {"fruit"} <= args.keys() <= {"fruit", "count"}
            assert int(result) == {"apple": 3, "pear": 4}[args["fruit"]] * args.get("count", 1)
        head = run.head
        effects = [effect for turn in run.turns for effect in turn.effects]
    replies = [json.loads(effect.reply)["ok"] for effect in effects]
    assert len(replies[0]["calls"]) in (1, 2)
    assert replies[-1]["calls"] == []
    replayed = turnwise.replay(path)
    assert (replayed.difference, replayed.head) == (None, head)
    assert turnwise.verify(path).difference is None


def test_a_schema_that_no_answer_can_follow_names_its_tool(models: dict[str, str], tmp_path: Path) -> None:
    asked = world(models["shown"], "Go", [{"name": "endless", "parameters": ENDLESS, "function": True}])
    with turnwise.run(asked, journal=tmp_path / "a.journal") as run:
        found = state(run)
    assert found["error"] == "refused"
    assert found["message"].startswith("the tool endless: json_schema has no value that ends")


def test_a_schema_of_a_server_that_no_answer_can_follow_is_left_to_the_server(
    models: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "tools.py").write_text("def price(fruit: str) -> int:\n    return 4\n")
    made = world(models["shown"], "Go", [{"name": "own.price", "parameters": ENDLESS}], begin="required", steps_max=2)
    agent = Agent(AGENT, args=made.agents["buyer"].args, start=True, grants=Grants(generate=["m"], call=["own"]))
    tools = {"own": Tools("python", {"path": "tools.py"})}
    asked = World(name="acts", models=made.models, agents={"buyer": agent}, tools=tools, folder=tmp_path)
    with turnwise.run(asked, journal=tmp_path / "a.journal") as run:
        found = state(run)
        requests = [json.loads(effect.request) for turn in run.turns for effect in turn.effects]
    assert "error" not in found
    assert {"name": "own.price", "parameters": ENDLESS, "strict": False} in requests[0]["tools"]


@pytest.fixture
def instruct() -> str:
    """The folder that `TURNWISE_TEST_INSTRUCT_MODEL` names."""
    named = os.environ.get("TURNWISE_TEST_INSTRUCT_MODEL")
    if not named:
        pytest.skip("no instruct model is named: set TURNWISE_TEST_INSTRUCT_MODEL to the folder of one")
    return named


@pytest.mark.parametrize(("fruit", "cost"), [("pear", "4"), ("apple", "3")])
def test_a_real_model_calls_and_answers(instruct: str, fruit: str, cost: str, tmp_path: Path) -> None:
    """One that no template has told of tools, and that was never trained on calls."""
    goal = f"What does one {fruit} cost?"
    asked = world(instruct, goal, begin="required", steps_max=2, calls_max=1, tokens_max=60)
    with turnwise.run(asked, journal=tmp_path / "a.journal") as run:
        found = state(run)
    assert [[call[0], call[1]["fruit"]] for call in found["calls"]] == [["price", fruit]]
    assert found["ended"] == "steps"
    assert found["calls"][0][2] in found["answer"]
    assert turnwise.replay(tmp_path / "a.journal").difference is None
