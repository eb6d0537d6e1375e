"""Forms of graphs, and under which rule each gives the same bits in every batch: what is known before it is tried.

What a step computes for one row may depend on how many rows there are: kernels for one row sum in another order than
those for several. The table is what was found on the CPU provider; `self_test` confirms it on the machine, and takes
the next stricter rule where it does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from turnwise.inference.batching import ACCURACY_FREE, Batching, batching_of
from turnwise.inference.graph import Graph, Quantised

GROUP_QUERY_ATTENTION: Final = "com.microsoft:GroupQueryAttention"
ATTENTIONS: Final = frozenset(
    {GROUP_QUERY_ATTENTION, "com.microsoft:MultiHeadAttention", "com.microsoft:Attention", "Attention"}
)
DYNAMIC: Final = frozenset(
    {"DynamicQuantizeLinear", "com.microsoft:DynamicQuantizeMatMul", "com.microsoft:DynamicQuantizeLSTM"}
)


@dataclass(frozen=True, slots=True)
class Rule:
    """How sequences must be run. With `chunked`, a prompt gives the same bits in pieces as whole."""

    batching: Batching
    chunked: bool


RULES: Final = (
    Rule("free", True),
    Rule("even", True),
    Rule("single", True),
    Rule("single", False),
)
"""From the cheapest to the one that holds for whatever gives the same bits twice."""


@dataclass(frozen=True, slots=True)
class Form:
    """`attention` and `weights` say what the graph is made of, `rule` the cheapest rule known to hold, and `why`."""

    attention: str
    weights: str
    rule: Rule
    why: str


def form_of(graph: Graph) -> Form:
    """The form of a graph, by its operators and the attributes of its quantised products."""
    kinds = sorted(name for name in graph.operators if name in ATTENTIONS)
    attention = " and ".join(name.rpartition(":")[2] for name in kinds) or "decomposed"
    weights = ", ".join(sorted({_named(kind) for kind in graph.quantised})) or "float"
    if graph.operators.keys() & DYNAMIC:
        why = "the scale of all activations of a step is one number, so every token of the step has a part in it"
        return Form(attention, "int8 with dynamic activations", Rule("single", False), why)
    if kinds != [GROUP_QUERY_ATTENTION]:
        why = "the cache grows with each step, so rows of different length do not share one"
        return Form(attention, weights, Rule("single", False), why)
    batching = batching_of(graph)
    why = "each row is summed in the same order, however many there are"
    if batching == "even":
        low = any(kind.accuracy != ACCURACY_FREE for kind in graph.quantised)
        which = f"below accuracy level {ACCURACY_FREE}" if low else "in large blocks"
        why = f"products {which} sum one row, and the last of an odd number, otherwise"
    return Form(attention, weights, Rule(batching, True), why)


def _named(kind: Quantised) -> str:
    accuracy = f"accuracy level {kind.accuracy}" if kind.accuracy else "no accuracy level"
    return f"int{kind.bits} in blocks of {kind.block}, {accuracy}"


def costs(rule: Rule) -> str:
    """What the rule costs, for people."""
    said = {
        "free": "nothing",
        "even": "an odd number of sequences is run as one more, and a prompt of an odd number of tokens too",
        "single": "sequences take turns instead of sharing a step",
    }[rule.batching]
    return said if rule.chunked else f"{said}; a prompt runs in one piece, and none is reused"
