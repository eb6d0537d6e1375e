"""Examination of a language model, for `turnwise models check`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.decoding.graph_form import ACCURACY_FREE, BLOCK_FREE_MAX, Rule, costs, form_of
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.model_folder import ModelFolder, read_model_folder, variants
from turnwise.inference.folders.spec_changes import changed_folder
from turnwise.inference.inspect.measure import compare, step_ms
from turnwise.inference.onnx.protobuf import REWRITTEN_BYTES_MAX
from turnwise.inference.onnx.sessions import open_session
from turnwise.inference.plans.batching import is_equal, is_even
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.system.memory import memory_bytes

MEMORY_PARTS_MIN: Final = 4
"""A model is loaded a second time where the machine's memory is so many times its weights."""

ROWS_SHARED: Final = 8

_RULES: Final = {
    "free": "sequences are batched as they come",
    "even": "sequences are batched in even numbers of rows",
    "equal": "sequences of equal length are batched",
    "equal-even": "sequences of equal length are batched in even numbers of rows",
    "single": "each sequence runs by itself",
}


@dataclass(frozen=True, slots=True)
class Examined:
    """A language model that loads.

    - `path`: its folder
    - `info`: what it is, and what runs it
    - `variants`: names that `variant` may have for the folder
    - `layers`: of the decoder
    - `weights_bytes`: size of the graph and its weights
    - `weights`, `attention`: names of the graph's form
    - `ends`: number of end tokens
    - `has_template`: whether it has a chat template
    - `rule`: by which sequences are run, and why
    - `costs`: what the rule costs here
    - `advice`: what would cost less; None if nothing would
    """

    path: str
    info: ModelInfo
    variants: tuple[str, ...]
    layers: int
    weights_bytes: int
    weights: str
    attention: str
    ends: int
    has_template: bool
    rule: str
    costs: str
    advice: str | None


def examine(
    path: Path,
    *,
    variant: str | None = None,
    provider: str = "auto",
    accuracy_level: int | None = None,
    reproducible: bool = True,
) -> Examined:
    """Load a language model and look at it. Raises ModelError for whatever is wrong with it."""
    spec = ModelSpec(
        path.name, path, provider, variant=variant, accuracy_level=accuracy_level, reproducible=reproducible
    )
    model = load_model(spec)
    folder = changed_folder(spec, read_model_folder(path, spec.variant)).folder
    form = form_of(folder.layout.graph)
    rule = Rule(model.decoder.batching, model.numeric.chunked)
    why = form.why if reproducible else "the fastest way, whatever bits it gives"
    known = f"{_RULES[rule.batching]}{'' if rule.chunked else ', prompts in one piece'}: {why}"
    return Examined(
        path=str(path),
        info=model.info,
        variants=tuple(variants(path)),
        layers=folder.layout.layers,
        weights_bytes=folder.weights_bytes,
        weights=form.weights,
        attention=form.attention,
        ends=len(folder.layout.ends),
        has_template=folder.template is not None,
        rule=known,
        costs=_costs(spec, folder, model.decoder, rule),
        advice=_advice(spec, folder, model),
    )


def _costs(spec: ModelSpec, folder: ModelFolder, decoder: Decoder, rule: Rule) -> str:
    """Say what the rule costs, measured where there is something to compare with."""
    said = costs(rule)
    if decoder.doubles_rows:
        sizes = ", ".join(str(decoder.rows_min << power) for power in range(3))
        return (
            f"steps have {sizes}, … rows, of which some may be nobody's; of prompts that were run before, whole pieces "
            f"of {decoder.chunk_tokens} tokens are reused"
        )
    if decoder.rows_min > 1:
        return (
            f"steps have at least {decoder.rows_min} rows, of which some may be nobody's; of prompts that were run "
            f"before, whole pieces of {decoder.chunk_tokens} tokens are reused"
        )
    if is_equal(rule.batching):
        return f"{said}; {_shared(decoder)}"
    if not is_even(rule.batching):
        return said
    options = EngineOptions()
    here = replace(spec, provider="cpu", require=False)
    opened = open_session(
        here, folder.layout.graph_path, folder.weights_bytes, options, logits=folder.layout.names.logits
    )
    bare = step_ms(Decoder(folder, opened, options, "free"), 1)
    padded = step_ms(decoder, 1)
    return f"{said}; a step of one sequence takes {padded:.2f} ms instead of {bare:.2f} ms"


def _shared(decoder: Decoder) -> str:
    """Measure a step of several sequences of equal length beside a step of one."""
    rows = min(ROWS_SHARED, decoder.budget.rows_max)
    together, alone = step_ms(decoder, rows), step_ms(decoder, 1)
    return f"a step takes {alone:.2f} ms for one sequence, {together:.2f} ms for {rows} that are equally long"


def _advice(spec: ModelSpec, folder: ModelFolder, model: LanguageModel) -> str | None:
    """Say what would be faster: rewriting the graph when it is loaded, which is tried, or building it differently."""
    kinds = folder.layout.graph.quantised
    said = []
    if any(kind.accuracy != ACCURACY_FREE for kind in kinds):
        said.append(_rewritten(spec, folder, model))
    if any(kind.block > BLOCK_FREE_MAX for kind in kinds):
        said.append(
            f"built with accuracy level {ACCURACY_FREE} and blocks of at most {BLOCK_FREE_MAX} it needs no padding; "
            "that is another model, with other answers"
        )
    return "; ".join(said) or None


def _rewritten(spec: ModelSpec, folder: ModelFolder, model: LanguageModel) -> str:
    """Rewrite the graph to another accuracy level, and measure it beside the graph as it is."""
    what = f"rewritten to accuracy level {ACCURACY_FREE} when it is loaded (accuracy_level = {ACCURACY_FREE})"
    if (
        MEMORY_PARTS_MIN * folder.weights_bytes > memory_bytes()
        or folder.layout.graph_path.stat().st_size > REWRITTEN_BYTES_MAX
    ):
        return f"{what}, it may be: not measured, since it is too large to load it twice"
    other = load_model(replace(spec, accuracy_level=ACCURACY_FREE))
    ratio = compare(model.decoder, other.decoder)
    rule = _RULES[other.decoder.batching]
    return (
        f"{what}, prompts run {ratio.prompt:.2f} times as fast here and steps {ratio.step:.2f} times, and {rule} "
        f"({other.numeric.numeric_class}); that is another model, with other answers"
    )
