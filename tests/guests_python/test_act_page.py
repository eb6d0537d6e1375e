"""The page on the loop for tool calls: its examples run, and it names all that comes back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from turnwise_guest import Acted, ActEnd, ActStep, Tool, ToolCall
from turnwise_guest.testing import make_turn, outcome

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "act.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CALLS: dict[str, dict[str, Any]] = {
    "stock": {"item": "lamp"},
    "convert": {"amount": 20, "currency": "eur"},
    "double": {"n": 4},
}


def model(request: dict[str, Any]) -> str | list[tuple[str, dict[str, Any]]]:
    """Calls all tools once, then answers with what it was told."""
    told = [message["content"] for message in request["messages"] if message["role"] == "tool"]
    return " ".join(told) or [(tool["name"], CALLS.get(tool["name"], {})) for tool in request["tools"]]


@pytest.mark.parametrize(
    ("place", "told"), [(0, "'body': '4'"), (1, "'body': 'found found'"), (2, '{"amount":21.4,"note":""} 1')]
)
def test_examples_run(place: int, told: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[place], "act.md", "exec"), names)
    tools = [Tool(f"knowledge.{name}", "", {"type": "object"}) for name in ("list", "read", "search")]
    t = make_turn(
        inbox=[("customer", "Are there lamps?")], generate=model, tools=tools, call=lambda name, args: "found"
    )
    names["turn"](t)
    assert told in str(outcome(t))


def test_the_test_of_the_page_runs() -> None:
    (source,) = EXAMPLES[3:]
    names: dict[str, Any] = {}
    exec(compile(source, "act.md", "exec"), names)
    names["test_it_asks_its_tool"]()


@pytest.mark.parametrize("kind", [Acted, ActStep, ToolCall])
def test_all_that_comes_back_is_named(kind: type) -> None:
    public = [name for name in dir(kind) if not name.startswith("_")]
    assert [name for name in public if f"`{name}`" not in PAGE and f".{name}`" not in PAGE] == []
    assert [end for end in get_args(ActEnd) if f'`"{end}"`' not in PAGE] == []
