"""`turnwise models check`: what a model is, and what can be promised of it here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from turnwise.cli.commands.models.options import ModelFolder, Provider, Variant
from turnwise.cli.commands.options import Json
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, Part, dim, green, yellow
from turnwise.cli.progress import doing
from turnwise.cli.text import count, json_text

if TYPE_CHECKING:
    from turnwise.inference.examine import Examined

LABEL_COLUMNS = 15


def check(path: ModelFolder, variant: Variant = None, provider: Provider = "auto", json: Json = False) -> int:
    """Load a model and say what it is.

    What the graph is made of, the memory of its KV cache, which provider runs its nodes, and its numeric class: whether
    an answer has the same bits whatever runs beside it, by which rule the engine achieves that, and what it costs. The
    first check of a model on a machine tries it for some seconds, and remembers what it found.
    """
    from turnwise.inference.examine import examine

    with doing(Output.err(), "loading the model and trying it"):
        examined = examine(path, variant=variant, provider=provider)
    output = Output.err() if json else Output.out()
    _describe(examined, output)
    if json:
        Output.out().write(json_text(asdict(examined)) + "\n")
    return DONE


def _describe(examined: Examined, output: Output) -> None:
    from turnwise.cli.facts import size

    def fact(label: str, text: str, more: Part = "") -> None:
        output.row(dim(label.ljust(LABEL_COLUMNS)), text, more, indent=2)

    info = examined.info
    output.line(green("ok"), f": {examined.path}")
    variants = [name for name in examined.variants if name != info.variant]
    also = f"; also there: {', '.join(variants)}" if variants else ""
    fact("layout", f"{info.convention}{f', variant {info.variant}' if info.variant else ''}{also}")
    fact("architecture", f"{info.architecture or 'not named'}, {count(examined.layers, 'layer')}")
    fact("weights", f"{size(examined.weights_bytes)}, {examined.weights}")
    fact("attention", f"{examined.attention}, KV cache {info.form.replace('_', ' ')}")
    fact("context", f"{info.context_length:,} tokens; {_kv(info.kv_bytes_per_token, info.context_length)}")
    fact("vocabulary", f"{count(info.vocabulary_size, 'token')}, {count(examined.ends, 'end token')}")
    fact("chat template", "yes" if examined.has_template else "none: prompts only, no messages")
    nodes = ", ".join(f"{name} {number:,}" for name, number in info.nodes.items()) or "not told by ONNX Runtime"
    fact("provider", f"{info.provider}; nodes: {nodes}; {count(info.threads, 'thread')}")
    if info.fallback:
        output.row(yellow("fallback".ljust(LABEL_COLUMNS)), info.fallback, indent=2)
    fact("sha256", info.sha256)
    _numeric(examined, output)


def _numeric(examined: Examined, output: Output) -> None:
    numeric = examined.info.numeric
    if numeric is None:
        return
    good = numeric.numeric_class == "batch-invariant"
    label = dim("numeric class".ljust(LABEL_COLUMNS))
    held = ", ".join(name if holds else f"NOT {name}" for name, holds in numeric.checks.items())
    shown = green(numeric.numeric_class) if good else yellow(numeric.numeric_class)
    output.line(label, shown, f" (observed here: {held})", indent=2)
    output.row(dim("rule".ljust(LABEL_COLUMNS)), examined.rule, indent=2)
    output.row(dim("costs".ljust(LABEL_COLUMNS)), examined.costs, indent=2)
    if examined.advice:
        output.row(dim("faster".ljust(LABEL_COLUMNS)), examined.advice, indent=2)


def _kv(bytes_per_token: int, context_length: int) -> str:
    from turnwise.cli.facts import size

    return f"KV cache {bytes_per_token:,} bytes a token, {size(bytes_per_token * context_length)} for all of it"
