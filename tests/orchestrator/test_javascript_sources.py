"""JavaScript agents without a `turn`, found without running them."""

from __future__ import annotations

import pytest

from turnwise.orchestrator.javascript_sources import javascript_problems
from turnwise.world import Agent, World


def problems(text: str) -> list[str]:
    return [problem.message for problem in javascript_problems(World("w", agents={"a": Agent(text)}).resolve())]


@pytest.mark.parametrize(
    "text",
    [
        "export function turn(t) {}\n",
        "\nexport async function turn(t) {}",
        "function f() {}\nexport { f as turn };",
        "export const turn = (t) => 1;\n",
        "const f = 1;\nexport default (t) => 1",
        "import './b.js'\nexport * from './b.js'",
        "def turn(t):\n    pass",
    ],
)
def test_agents_that_can_move_are_well(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize("text", ["export function move(t) {}\n", "function turn() {}\nexport const x = 1;"])
def test_an_agent_without_a_turn_is_named(text: str) -> None:
    assert problems(text) == ["it exports no function turn"]
