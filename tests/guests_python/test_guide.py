"""The guide for authors of agents: what it shows runs, and it leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from turnwise_guest import Answer, EffectError, Message, Tensor, Turn
from turnwise_guest.runtime.modules import ADVERTISED
from turnwise_guest.testing import make_turn, outcome

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "agents-python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def called(tool: str, args: dict[str, Any]) -> Any:
    if tool == "mail.send":
        raise EffectError("unknown", "the run was interrupted during the call")
    return args["a"] + args["b"] if tool == "calc.add" else "found"


def model(request: dict[str, Any]) -> str:
    if len(request.get("prompt", "")) > 10_000:
        raise EffectError("context_full", "too long")
    return '{"price":3,"say":"Good."}' if "json_schema" in request else "text"


def graph(name: str, inputs: dict[str, Tensor]) -> dict[str, Any]:
    assert (inputs["seen"].dtype, inputs["seen"].shape) == ("float32", (1, 3))
    return {"scores": [[0.1, 0.9]]}


def encoder(name: str, text: str) -> list[float]:
    return [len(text), 1.0]


def ran(code: str, value: Any) -> Any:
    if code != "sum(input)":
        raise ValueError("a model wrote it")
    return sum(value)


@pytest.mark.parametrize("source", EXAMPLES)
@pytest.mark.parametrize("round_", [3, 9])
def test_examples_run(source: str, round_: int) -> None:
    names: dict[str, Any] = {}
    exec(compile(source, "agents-python.md", "exec"), names)
    effects: dict[str, Any] = {"generate": model, "infer": graph, "embed": encoder, "run_python": ran, "call": called}
    t = make_turn(inbox=[("editor", "Hello")], round=round_, ask=lambda _: "red", **effects)
    names["turn"](t)
    assert set(outcome(t)) > {"state"} or outcome(t)["state"]
    for name, test in names.items():
        if name.startswith("test_"):
            test()


@pytest.mark.parametrize("kind", [Turn, Message, Answer, Tensor])
def test_everything_is_described(kind: type) -> None:
    public = [name for name in dir(kind) if not name.startswith("_") and not hasattr(tuple, name)]
    assert [name for name in public if name not in GUIDE] == []


def test_every_module_is_listed_and_no_other() -> None:
    quoted = " ".join(line.removeprefix("> ") for line in GUIDE.splitlines() if line.startswith("> "))
    assert tuple(quoted.split(", ")) == ADVERTISED
