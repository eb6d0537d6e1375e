"""A loaded language model: what the engine needs of it."""

from __future__ import annotations

from dataclasses import dataclass

from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.model_info import ModelInfo, Numeric
from turnwise.inference.sampling.grammar import GrammarCompiler
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A model that can generate.

    - `info`: what is told of it
    - `numeric`: what is known of its bits
    - `tokenizer`: text to tokens and back
    - `template`: its chat template; None for a model without one
    - `grammars`: compiles grammars for its tokens
    - `decoder`: its graph
    - `ends`: its end tokens
    - `margin`: by how much its logits may be others on another machine
    """

    info: ModelInfo
    numeric: Numeric
    tokenizer: Tokenizer
    template: ChatTemplate | None
    grammars: GrammarCompiler
    decoder: Decoder
    ends: frozenset[int]
    margin: float

    @property
    def machine_plan(self) -> BatchPlan:
        """The batch plan that this machine has room for."""
        return self.decoder.plan(self.info.threads)
