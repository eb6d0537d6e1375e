"""A model as a world asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from turnwise.inference.plans.batching import Batching

Task = Literal["generate", "infer", "embed"]
"""The effect that a model answers."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as the world file names it.

    - `name`: the name by which agents ask it
    - `path`: its folder, or a .onnx file
    - `provider`: `auto`, or the name of an execution provider (`cpu`, `cuda`, `webgpu`, …)
    - `require`: whether a fallback to another provider is a `ModelError`; without, it is one line in
      `ModelInfo.fallback`
    - `variant`: the graph to take of a folder that holds several (`q4`, `fp16`, …); None: the most exact
    - `task`: what it is for; None: what the folder shows
    - `accuracy_level`: the level to which the graph's 4-bit products are rewritten when it is loaded; None: as they are
    - `context_tokens_max`: a context shorter than the model's; None: the model's. Like `accuracy_level` it makes
      another model of it, with another hash.
    - `reproducible`: False gives up equal bits for speed: the class is then `none`
    - `multiplications_max`: bound for one run of a graph on tensors; None: the usual one. It makes another model of it,
      too.
    - `kv_window`: whether layers that look at a window of tokens keep just that in the KV cache, which saves memory and
      makes another model of it; only on the CPU
    - `batching`: a rule to keep even where bits depend on it, so that the model's class is what is observed under it;
      None: the cheapest rule under which they do not
    """

    name: str
    path: Path
    provider: str = "auto"
    require: bool = False
    variant: str | None = None
    task: Task | None = None
    accuracy_level: int | None = None
    context_tokens_max: int | None = None
    batching: Batching | None = None
    reproducible: bool = True
    multiplications_max: int | None = None
    kv_window: bool = False
