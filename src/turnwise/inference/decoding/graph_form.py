"""Forms of graphs, and under which rule each gives the same bits in every batch: what is known before it is tried.

What a step computes for one row may depend on how many rows there are: kernels for one row sum in another order than
those for several. The table is what was found on the CPU provider; `self_test` confirms it on the machine, and takes
the next stricter rule where it does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from turnwise.inference.onnx.graph_facts import GROUP_QUERY_ATTENTION, Graph, Quantised
from turnwise.inference.onnx.provider_names import CPU, CUDA, WEBGPU
from turnwise.inference.plans.batching import Batching, for_cache, is_even

MULTI_HEAD_ATTENTION: Final = "com.microsoft:MultiHeadAttention"
ATTENTIONS: Final = frozenset({GROUP_QUERY_ATTENTION, MULTI_HEAD_ATTENTION, "com.microsoft:Attention", "Attention"})
ACCURACY_FREE: Final = 4
BLOCK_FREE_MAX: Final = 32
"""4-bit products at this accuracy level, in blocks of at most so many, give a row the same bits in every batch."""
CUDA_CHUNK_TOKENS: Final = 256
CUDA_CHUNK_TOKENS_FAST: Final = 512
CUDA_ROWS_SHARE: Final = 0.8
"""CUDA's flash attention divides the past of a row among multiprocessors, unless rows times heads of the KV cache are
such a part of them. Then no row's past is divided, and none depends on how many rows there are."""

CUDA_QUANTISED_ROWS_MIN: Final = 17
"""CUDA multiplies one row with 4-bit weights by one kernel, up to 16 by another, and unpacks the weights for more."""

WEBGPU_CHUNK_TOKENS: Final = 128
WEBGPU_QUANTISED_ROWS_MIN: Final = 4
"""WebGPU multiplies up to three rows with 4-bit weights by a kernel of their own."""

DYNAMIC: Final = frozenset(
    {"DynamicQuantizeLinear", "com.microsoft:DynamicQuantizeMatMul", "com.microsoft:DynamicQuantizeLSTM"}
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by which sequences are run. With `chunked`, a prompt gives the same bits in pieces as whole.

    Steps have at least `rows_min` rows, some of which may be nobody's; None: as many as the provider's kernels need.
    """

    batching: Batching
    chunked: bool
    rows_min: int | None = None


RULES: Final = (
    Rule("free", True),
    Rule("even", True),
    Rule("single", True),
    Rule("single", False),
)
"""From the cheapest to the one that holds for whatever gives the same bits twice."""

RULES_GROWING: Final = (
    Rule("equal", True),
    Rule("equal-even", True),
    Rule("equal", False),
    Rule("equal-even", False),
    Rule("single", True),
    Rule("single", False),
)
"""The same for a cache that grows with each step: rows of different length do not share one."""

RULES_STAGED: Final = (
    *(Rule("free", True, rows) for rows in (1, 2, WEBGPU_QUANTISED_ROWS_MIN, 8, 16, 32)),
    Rule("single", True, 1),
    Rule("single", False, 1),
)
"""The same where a step has 1, 2, 4, 8, … rows: kernels for few rows may sum otherwise than those for more, so steps of
few are left out until those that are left agree."""


def batching_of(graph: Graph, growing: bool = False) -> Batching:
    """The batching of a graph on the CPU: with a cache in place (GroupQueryAttention), or one that grows.

    Observed on ONNX Runtime's CPU provider: full precision, and 4-bit weights as above, give a row the same bits in
    every batch. With larger blocks, or at other accuracy levels, a single row is multiplied by other arithmetic than
    several, and of an odd number of rows the last one is.
    """
    free = all(form.accuracy == ACCURACY_FREE and form.block <= BLOCK_FREE_MAX for form in graph.quantised)
    return for_cache("free" if free else "even", growing)


def rules_from(first: Rule) -> tuple[Rule, ...]:
    """The rules to try, from `first` on. Where that has prompts in one piece, so have they."""
    rules = next(rules for rules in (RULES, RULES_STAGED, RULES_GROWING) if first in rules)
    return tuple(rule for rule in rules[rules.index(first) :] if first.chunked or not rule.chunked)


@dataclass(frozen=True, slots=True)
class Form:
    """`attention` and `weights` say what the graph is made of, `rule` the cheapest rule known to hold, and `why`.

    `growing`: the attention is not one that keeps its cache in place.
    """

    attention: str
    weights: str
    rule: Rule
    why: str
    growing: bool = False


def form_of(graph: Graph) -> Form:
    """The form of a graph, by its operators and the attributes of its quantised products."""
    kinds = sorted(name for name in graph.operators if name in ATTENTIONS)
    attention = " and ".join(name.rpartition(":")[2] for name in kinds) or "decomposed"
    weights = ", ".join(sorted({_named(kind) for kind in graph.quantised})) or "float"
    growing = kinds != [GROUP_QUERY_ATTENTION]
    if graph.operators.keys() & DYNAMIC:
        why = "the scale of all activations of a step is one number, so every token of the step has a part in it"
        return Form(attention, "int8 with dynamic activations", Rule("single", False), why, growing)
    batching = batching_of(graph, growing)
    why = "each row is summed in the same order, however many there are"
    if is_even(batching):
        low = any(kind.accuracy != ACCURACY_FREE for kind in graph.quantised)
        which = f"below accuracy level {ACCURACY_FREE}" if low else "in large blocks"
        why = f"products {which} sum one row, and the last of an odd number, otherwise"
    if not growing:
        return Form(attention, weights, Rule(batching, True), why)
    why = f"the cache grows with each step, so rows of different length do not share one; {why}"
    if graph.half:
        why = f"{why}; in fp16 what a piece leaves behind is rounded"
    elif MULTI_HEAD_ATTENTION in kinds:
        why = f"{why}; its mask is made for one piece"
    chunked = not graph.half and MULTI_HEAD_ATTENTION not in kinds
    return Form(attention, weights, Rule(batching, chunked), why, growing)


@dataclass(frozen=True, slots=True)
class Kernels:
    """Needs of a provider's kernels, so that a row has the same bits in every batch.

    `rule` is the cheapest rule known to hold there. Steps have at least `rows_min` rows, some of which may be nobody's.
    Prompts run in pieces of `chunk_tokens` (None: as it pays on the CPU). `on_grid`: where the pieces begin shows in
    their bits. So all pieces but the last are of that size, and only whole ones are reused. `wide`: how wide the mask
    is shows, too, so that its width is a function of the prompt's length.
    """

    rule: Rule
    rows_min: int = 1
    chunk_tokens: int | None = None
    on_grid: bool = False
    wide: bool = False


def on_provider(form: Form, graph: Graph, provider: str, kv_heads: int, multiprocessors: int | None) -> Kernels:
    """Look up a form of graph on an execution provider, whose device has so many multiprocessors."""
    if provider == CPU:
        return Kernels(form.rule)
    if provider == WEBGPU and not form.growing:
        rows_min = WEBGPU_QUANTISED_ROWS_MIN if graph.quantised else 1
        return Kernels(Rule("free", True, rows_min), rows_min, WEBGPU_CHUNK_TOKENS, on_grid=True)
    if provider != CUDA or form.growing or multiprocessors is None:  # not known: sequences alone
        return Kernels(Rule("single", form.rule.chunked))
    rows_min = ceil(CUDA_ROWS_SHARE * multiprocessors / kv_heads)
    if graph.quantised:
        rows_min = max(rows_min, CUDA_QUANTISED_ROWS_MIN)
    return Kernels(Rule("free", True), rows_min, CUDA_CHUNK_TOKENS, on_grid=True, wide=True)


def fastest(form: Form, provider: str) -> Kernels:
    """Return what is fastest where bits may depend on what runs beside what: any rows, prompts in pieces of any size.

    Where a graph does not take that, `fastest_rules` has what to try next.
    """
    rule = Rule(for_cache("free", form.growing), True)
    return Kernels(rule, chunk_tokens=CUDA_CHUNK_TOKENS_FAST if provider == CUDA else None)


def fastest_rules(form: Form) -> tuple[Rule, ...]:
    """The rules to try where any bits are right, the fastest first."""
    together = for_cache("free", form.growing)
    return Rule(together, True), Rule(together, False), Rule("single", True), Rule("single", False)


def _named(kind: Quantised) -> str:
    accuracy = f"accuracy level {kind.accuracy}" if kind.accuracy else "no accuracy level"
    return f"int{kind.bits} in blocks of {kind.block}, {accuracy}"


def costs(rule: Rule) -> str:
    """Say what the rule costs, for people."""
    even = "an odd number of sequences is run as one more, and a prompt of an odd number of tokens too"
    equal = "sequences share a step while they are equally long, and the shorter ones run first"
    said = {
        "free": "nothing",
        "even": even,
        "equal": equal,
        "equal-even": f"{equal}; {even}",
        "single": "sequences take turns instead of sharing a step",
    }[rule.batching]
    return said if rule.chunked else f"{said}; a prompt runs in one piece, and none is reused"
