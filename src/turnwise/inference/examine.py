"""What a model is and what can be promised of it, for `turnwise models check`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnwise.inference.batching import ACCURACY_FREE, BLOCK_FREE_MAX, is_equal, is_even
from turnwise.inference.decoder import Decoder
from turnwise.inference.forms import Rule, costs, form_of
from turnwise.inference.load import load_model
from turnwise.inference.measure import step_ms
from turnwise.inference.model import EngineOptions, ModelInfo, ModelSpec
from turnwise.inference.model_folder import ModelFolder, read_model_folder, variants
from turnwise.inference.providers import open_session

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
    """A model that loads. `costs` says what `rule` costs here, `advice` what would cost less, if anything would."""

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


def examine(path: Path, *, variant: str | None = None, provider: str = "auto") -> Examined:
    """Load the model and look at it. Raises ModelError for whatever is wrong with it."""
    spec = ModelSpec(path.name, path, provider, variant=variant)
    model = load_model(spec)
    folder = read_model_folder(path, variant)
    form = form_of(folder.graph)
    numeric = model.info.numeric
    assert numeric is not None, "every language model that was loaded has been tried"
    rule = Rule(model.decoder.batching, numeric.chunked)
    known = f"{_RULES[rule.batching]}{'' if rule.chunked else ', prompts in one piece'}: {form.why}"
    return Examined(
        path=str(path),
        info=model.info,
        variants=tuple(variants(path)),
        layers=folder.layers,
        weights_bytes=folder.weights_bytes,
        weights=form.weights,
        attention=form.attention,
        ends=len(folder.ends),
        has_template=folder.template is not None,
        rule=known,
        costs=_costs(spec, folder, model.decoder, rule),
        advice=_advice(folder),
    )


def _costs(spec: ModelSpec, folder: ModelFolder, decoder: Decoder, rule: Rule) -> str:
    """What the rule costs, measured where there is something to compare with."""
    said = costs(rule)
    if is_equal(rule.batching):
        return f"{said}; {_shared(decoder)}"
    if not is_even(rule.batching):
        return said
    options = EngineOptions()
    opened = open_session(spec, folder.graph_path, folder.weights_bytes, options, logits=folder.names.logits)
    bare = step_ms(Decoder(folder, opened, options, "free"), 1)
    padded = step_ms(decoder, 1)
    return f"{said}; a step of one sequence takes {padded:.2f} ms instead of {bare:.2f} ms"


def _shared(decoder: Decoder) -> str:
    """What a step of several sequences of equal length costs beside steps of each alone."""
    rows = min(ROWS_SHARED, decoder.budget.rows_max)
    together, alone = step_ms(decoder, rows), step_ms(decoder, 1)
    return f"a step takes {alone:.2f} ms for one sequence, {together:.2f} ms for {rows} that are equally long"


def _advice(folder: ModelFolder) -> str | None:
    kinds = folder.graph.quantised
    if kinds and any(kind.accuracy != ACCURACY_FREE or kind.block > BLOCK_FREE_MAX for kind in kinds):
        return (
            f"the same model built with accuracy level {ACCURACY_FREE} and blocks of at most {BLOCK_FREE_MAX} needs no "
            "padding; its answers would be others"
        )
    return None
