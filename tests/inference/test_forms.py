from __future__ import annotations

import pytest

from turnwise.inference.forms import RULES, Rule, costs, form_of
from turnwise.inference.graph import Graph, Quantised

GQA = "com.microsoft:GroupQueryAttention"


@pytest.mark.parametrize(
    ("operators", "quantised", "attention", "weights", "rule"),
    [
        ([GQA], [], "GroupQueryAttention", "float", Rule("free", True)),
        ([GQA], [(4, 32, 4)], "GroupQueryAttention", "int4 in blocks of 32, accuracy level 4", Rule("free", True)),
        ([GQA], [(4, 64, 4)], "GroupQueryAttention", "int4 in blocks of 64, accuracy level 4", Rule("even", True)),
        ([GQA], [(4, 32, 0)], "GroupQueryAttention", "int4 in blocks of 32, no accuracy level", Rule("even", True)),
        (
            [GQA],
            [(4, 32, 4), (8, 32, 1)],
            "GroupQueryAttention",
            "int4 in blocks of 32, accuracy level 4, int8 in blocks of 32, accuracy level 1",
            Rule("even", True),
        ),
        (["MatMul", "Softmax"], [], "decomposed", "float", Rule("single", False)),
        ([GQA, "Attention"], [], "Attention and GroupQueryAttention", "float", Rule("single", False)),
        (["com.microsoft:MultiHeadAttention"], [], "MultiHeadAttention", "float", Rule("single", False)),
        (
            [GQA, "DynamicQuantizeLinear"],
            [],
            "GroupQueryAttention",
            "int8 with dynamic activations",
            Rule("single", False),
        ),
    ],
)
def test_known_forms(
    operators: list[str], quantised: list[tuple[int, int, int]], attention: str, weights: str, rule: Rule
) -> None:
    graph = Graph(dict.fromkeys(operators, 1), {Quantised(*kind): 1 for kind in quantised})
    form = form_of(graph)
    assert (form.attention, form.weights, form.rule) == (attention, weights, rule)
    assert form.why


def test_every_rule_says_what_it_costs() -> None:
    assert len({costs(rule) for rule in RULES}) == len(RULES)
    assert costs(RULES[0]) == "nothing"
