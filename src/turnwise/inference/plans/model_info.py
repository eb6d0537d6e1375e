"""A model as it was found when it was loaded."""

from __future__ import annotations

from dataclasses import dataclass, field

from turnwise.inference.plans.model_spec import Task
from turnwise.inference.plans.tool_form import ToolForm


@dataclass(frozen=True, slots=True)
class Numeric:
    """Numeric class of a model on this machine: on what its bits depend beside the request.

    - `numeric_class`: `batch-invariant`, `plan-bound` (only in the same batches and with as many threads) or `none`
    - `batching`: the rule under which the class holds (see `batching`)
    - `chunked`: whether prompts may run in pieces under it
    - `checks`: what was tried, and whether the bits were the same
    - `attention`, `weights`: names of the graph's form
    - `reproducible`: False if equal bits were given up for speed, so that nothing was tried
    """

    numeric_class: str
    batching: str
    chunked: bool
    checks: dict[str, bool]
    attention: str
    weights: str
    reproducible: bool = True


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A loaded model. Two are equal if they would give the same bits: `load_ms` and `recording` do not count.

    Which model it is:

    - `name`: as in its `ModelSpec`
    - `sha256`: hash (hex) of the files that decide what it computes, and of what the spec changes of that
    - `task`: the effect that it answers
    - `architecture`, `convention`: as its folder names them; empty if it does not
    - `variant`: the graph that was taken of several; None for a single one
    - `accuracy_level`: the level to which the graph was rewritten; None if it was not

    What runs it:

    - `provider_asked`: as in the spec
    - `provider`: the execution provider, by ONNX Runtime's name
    - `providers`: all that the session has, in order
    - `nodes`: how many of the graph's nodes run on each
    - `fallback`: one line that says why another provider was taken than was asked for; None if it was not
    - `threads`: of one operator
    - `versions`: of everything that has a part in the numbers
    - `load_ms`: how long loading took
    - `recording`: whether steps are recorded and launched as one ("yes", or "no" and why); empty where nothing could

    What it can hold; 0 for models of other tasks than `generate`:

    - `form`: how the graph keeps its KV cache (`in_place` or `growing`), and its type; for other tasks, whether rows
      share a run
    - `context_length`: tokens of prompt and answer together
    - `context_wanted`: the same as the model, or the spec, says: more than `context_length` where memory is short
    - `vocabulary_size`: numbers of one position's logits
    - `kv_bytes_per_token`: memory of one position
    - `room_for_waves`: whether waves are as large as on a machine with more memory
    - `numeric`: what is known of its bits; None for other tasks
    - `tools`: the form in which its chat template writes calls of tools; None if it knows of none
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
    recording: str = field(default="", compare=False)
    architecture: str = ""
    convention: str = ""
    variant: str | None = None
    numeric: Numeric | None = None
    task: Task = "generate"
    accuracy_level: int | None = None
    context_wanted: int = 0
    room_for_waves: bool = True
    tools: ToolForm | None = None
