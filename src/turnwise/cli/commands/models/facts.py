"""Facts about a model, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from turnwise.cli.facts import size
from turnwise.cli.output import Output, Part, dim, green, yellow
from turnwise.cli.text import count

if TYPE_CHECKING:
    from turnwise.inference.inspect.examine import Examined
    from turnwise.inference.inspect.examine_graph import ExaminedGraph
    from turnwise.inference.plans.model_info import ModelInfo

LABEL_COLUMNS = 15


class Facts:
    """Writes facts below one another, each with its label."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def fact(self, label: str, text: str, more: Part = "") -> None:
        self._output.row(dim(label.ljust(LABEL_COLUMNS)), text, more, indent=2)

    def warning(self, label: str, text: str) -> None:
        self._output.row(yellow(label.ljust(LABEL_COLUMNS)), text, indent=2)

    def runs(self, info: ModelInfo) -> None:
        """Write what runs the model, and the name under which it is journalled."""
        nodes = ", ".join(f"{name} {number:,}" for name, number in info.nodes.items()) or "not told by ONNX Runtime"
        self.fact("provider", f"{info.provider}; nodes: {nodes}; {count(info.threads, 'thread')}")
        if info.fallback:
            self.warning("fallback", info.fallback)
        if info.recording:
            self.fact("recorded steps", info.recording)
        if info.accuracy_level is not None:
            self.fact("rewritten", f"to accuracy level {info.accuracy_level} when it is loaded; the file stays")
        self.fact("sha256", info.sha256)

    def numeric(self, numeric_class: str, checks: Mapping[str, bool]) -> None:
        """The numeric class, and what was tried."""
        held = ", ".join(name if holds else f"NOT {name}" for name, holds in checks.items())
        label = dim("numeric class".ljust(LABEL_COLUMNS))
        shown = green(numeric_class) if numeric_class == "batch-invariant" else yellow(numeric_class)
        said = f"observed here: {held}" if checks else "equal bits are given up, so nothing was tried"
        self._output.line(label, shown, f" ({said})", indent=2)


def describe(examined: Examined, output: Output) -> None:
    """A language model."""
    info, facts = examined.info, Facts(output)
    output.line(green("ok"), f": {examined.path}")
    facts.fact("layout", f"{info.convention}{_variant(info.variant, examined.variants)}")
    facts.fact("architecture", f"{info.architecture or 'not named'}, {count(examined.layers, 'layer')}")
    facts.fact("weights", f"{size(examined.weights_bytes)}, {examined.weights}")
    facts.fact("attention", f"{examined.attention}, KV cache {info.form.replace('_', ' ')}")
    facts.fact("context", f"{info.context_length:,} tokens; {_kv(info)}")
    if info.context_length < info.context_wanted:
        facts.warning(
            "", f"the model's is {info.context_wanted:,}: a world needs context_tokens_max to play with it here"
        )
    facts.fact("vocabulary", f"{count(info.vocabulary_size, 'token')}, {count(examined.ends, 'end token')}")
    facts.fact("chat template", "yes" if examined.has_template else "none: prompts only, no messages")
    facts.runs(info)
    if info.numeric is not None:
        facts.numeric(info.numeric.numeric_class, info.numeric.checks)
        facts.fact("rule", examined.rule)
        facts.fact("costs", examined.costs)
        if examined.advice:
            facts.fact("other forms", examined.advice)


def describe_graph(examined: ExaminedGraph, output: Output) -> None:
    """A graph to infer, or an encoder."""
    info, facts, pooled = examined.info, Facts(output), examined.pooled
    output.line(green("ok"), f": {examined.path}")
    facts.fact("task", f"{info.task}{_variant(info.variant, examined.variants)}")
    facts.fact("graph", f"{count(examined.operators, 'operator')}; {size(examined.weights_bytes)}, {examined.weights}")
    for number, port in enumerate(examined.inputs):
        facts.fact("" if number else "inputs", f"{port.name}: {port}")
    for number, port in enumerate(examined.outputs):
        facts.fact("" if number else "outputs", f"{port.name}: {port}")
    if pooled is not None:
        unit = ", normalised to length 1" if pooled.normalised else ""
        facts.fact("vectors", f"{count(pooled.dimensions, 'number')}, pooling {pooled.pooling}{unit}")
    for number, limit in enumerate(examined.limits):
        facts.fact("" if number else "limits", limit)
    facts.runs(info)
    if examined.numeric_class is not None and examined.tried is not None:
        facts.numeric(examined.numeric_class, examined.checks)
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in examined.tried.items())
        facts.fact("tried with", f"one text: {shapes}" if pooled is not None else f"random {shapes}")
    else:
        facts.warning("numeric class", "not known: the graph refuses random inputs")
    facts.fact("batches", examined.batches)


def _variant(variant: str | None, there: tuple[str, ...]) -> str:
    others = [name for name in there if name != variant]
    also = f"; also there: {', '.join(others)}" if others else ""
    return f"{f', variant {variant}' if variant else ''}{also}"


def _kv(info: ModelInfo) -> str:
    whole = size(info.kv_bytes_per_token * info.context_length)
    return f"KV cache {info.kv_bytes_per_token:,} bytes a token, {whole} for all of it"
