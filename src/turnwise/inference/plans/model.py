"""What is said about a model: what the world asks for, and what was found when it was loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from turnwise.inference.plans.batching import Batching

Task = Literal["generate", "infer", "embed"]
"""What a model answers: the effect of that name."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as the world file names it.

    `provider` is `auto`, or the name of an execution provider (`cpu`, `cuda`, `webgpu`, …). With `require` a fallback
    to another provider is a `ModelError`; without, it is one line of text in `ModelInfo.fallback`. `variant` chooses
    among the graphs of a folder that holds several (`q4`, `fp16`, …); None takes the most exact. `task` None: what the
    folder shows. `accuracy_level` rewrites the graph's 4-bit products when it is loaded, and `context_tokens_max` makes
    the context shorter than the model's: both make another model of it, with another hash. `batching` is a rule to
    keep even where bits depend on it, and the model's class is what is observed under that; None: the cheapest rule
    under which they do not.
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


@dataclass(frozen=True, slots=True)
class Numeric:
    """Whether a model gives the same bits whatever runs beside it, as it was observed on this machine.

    `numeric_class` is `batch-invariant`, `plan-bound` (only in the same batches and with as many threads) or `none`,
    by the `checks`. It holds under a rule: `batching` (`free`: any batch; `even`: an even number of rows; `equal` and
    `equal-even`: the same of sequences of equal length; `single`: no batch) and `chunked`, whether prompts may run in
    pieces. `attention` and `weights` name the form of the graph.
    """

    numeric_class: str
    batching: str
    chunked: bool
    checks: dict[str, bool]
    attention: str
    weights: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A loaded model.

    `sha256` (hex) names the content of the files that decide what the model computes, and what its `ModelSpec` changes
    of that: `accuracy_level`, to which its graph was rewritten (None: it was not), and a shorter context. `provider` is
    the execution provider that runs it, by ONNX Runtime's name; `providers` are all that the session has, in order;
    `nodes` counts the graph's nodes on each. `form` says how the graph keeps its KV cache (`in_place` or `growing`) and
    its type.
    `kv_bytes_per_token` is the memory of one position. `context_length` is less than `context_wanted` (the model's own,
    or what the spec says) where the machine has no room for that. A model of another task than `generate` has no cache,
    context and vocabulary (0); its `form` says whether rows run together. Without `room_for_waves`
    waves are smaller than on a machine with more memory. `load_ms` is telemetry: it differs between
    equal runs.
    """

    name: str
    sha256: str
    provider_asked: str
    provider: str
    providers: tuple[str, ...]
    nodes: dict[str, int]
    fallback: str | None
    form: str
    context_length: int
    vocabulary_size: int
    kv_bytes_per_token: int
    threads: int
    versions: dict[str, str]
    load_ms: float = field(default=0.0, compare=False)
    architecture: str = ""
    convention: str = ""
    variant: str | None = None
    numeric: Numeric | None = None
    task: Task = "generate"
    accuracy_level: int | None = None
    context_wanted: int = 0
    room_for_waves: bool = True


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the inference host uses the machine. Nothing here changes what is computed.

    `threads_max` bounds the threads of one operator (None: all cores, or of three and more all but one). `spin`:
    threads that wait poll for a moment before they sleep, which is faster as long as a core is left to others (None: if
    one is left).
    `kv_bytes_max` is the memory for the KV caches of all models together (None: a quarter of the machine's); what is
    not used is not taken. A model whose whole context does not fit gets a shorter one, and `ModelInfo` tells it (no
    world is played with such a model, since what it answers would depend on the machine). At most `rows_max` sequences
    of a model run at once.
    """

    threads_max: int | None = None
    spin: bool | None = None
    kv_bytes_max: int | None = None
    rows_max: int = 32
