from __future__ import annotations

import pytest

from turnwise.inference.decoding.graph_form import RULES, RULES_GROWING, Rule, batching_of, costs, form_of, rules_from
from turnwise.inference.onnx.graph_facts import Graph, Quantised
from turnwise.inference.plans.batching import Batching

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
        (["MatMul", "Softmax"], [], "decomposed", "float", Rule("equal", True)),
        ([GQA, "Attention"], [], "Attention and GroupQueryAttention", "float", Rule("equal", True)),
        (["com.microsoft:MultiHeadAttention"], [], "MultiHeadAttention", "float", Rule("equal", False)),
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


def test_a_cache_that_grows_in_fp16_takes_prompts_in_one_piece() -> None:
    graph = Graph({"MatMul": 1}, half={"past_key_values.0.key"})
    assert form_of(graph).rule == Rule("equal", False)
    graph.operators = {GQA: 1}
    assert form_of(graph).rule == Rule("free", True)


def test_stricter_rules_are_those_of_the_same_cache() -> None:
    assert rules_from(Rule("even", True)) == RULES[1:]
    assert rules_from(RULES_GROWING[0]) == RULES_GROWING
    assert rules_from(Rule("single", True)) == RULES[2:]
    assert RULES[-1] == RULES_GROWING[-1]
    assert [rule.chunked for rule in rules_from(Rule("equal", False))] == [False] * 3


def test_every_rule_says_what_it_costs() -> None:
    rules = {*RULES, *RULES_GROWING}
    assert len({costs(rule) for rule in rules}) == len(rules)
    assert costs(RULES[0]) == "nothing"


@pytest.mark.parametrize(
    ("forms", "batching"),
    [
        ([], "free"),
        ([Quantised(4, 16, 4), Quantised(4, 32, 4)], "free"),
        ([Quantised(4, 64, 4)], "even"),
        ([Quantised(4, 32, 4), Quantised(4, 32, 0)], "even"),
        ([Quantised(4, 16, 1)], "even"),
    ],
)
def test_the_form_of_the_weights_decides(forms: list[Quantised], batching: Batching) -> None:
    assert batching_of(Graph(quantised=dict.fromkeys(forms, 7))) == batching
