"""Generation in the calling process, without an inference process: for `turnwise generate`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType

from turnwise.core.canonical import canonical
from turnwise.errors import ModelError, UsageError
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.task import task_of
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, TextPiece, parse
from turnwise.inference.requests.refusal import Refusal

_PERSON = b"turnwise cli gen"


def generate_text(
    model_folder: Path | str,
    prompt: str,
    *,
    tokens_max: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    provider: str = "auto",
    variant: str | None = None,
    chat: bool = False,
    options: Mapping[str, object] = MappingProxyType({}),
    accuracy_level: int | None = None,
    reproducible: bool = True,
    on_loaded: Callable[[ModelInfo], None] | None = None,
) -> Iterator[str]:
    """Load a model and generate; yields pieces of text as they come, whole characters each.

    `tokens_max` None: 128, or what the model's context leaves room for. The same arguments give the same text. With
    `chat` the prompt is a user's message, put into the model's own form by its chat template. `options` are further
    members of a generate request (`top_p`, `json_schema`, …). `accuracy_level` rewrites the graph's 4-bit products.
    Not `reproducible`, it runs in the fastest way. `on_loaded` is told about the model before the first piece. Raises
    ModelError for the folder (at once), UsageError for the other arguments (too long a prompt, tokens_max out of
    bounds, a schema that cannot be followed).
    """
    body = _body(prompt, tokens_max, temperature, chat, options)
    path = Path(model_folder)
    spec = ModelSpec(
        path.name, path, provider, variant=variant, accuracy_level=accuracy_level, reproducible=reproducible
    )
    if (task := task_of(spec)) != "generate":
        raise ModelError(
            f"is a model to {task} with, and generates no text",
            where=str(path),
            expected="a language model",
            actual=task,
            hint="turnwise models check says what it is; agents ask it by the effect of that name.",
        )
    model = load_model(spec)
    if on_loaded is not None:
        on_loaded(model.info)
    stream = blake2b(b"%d" % seed, digest_size=32, person=_PERSON).digest()
    engine = Engine(model)
    engine.submit(GenerateRequest(0, path.name, body, stream))
    return _pieces(engine)


def _body(prompt: str, tokens_max: int | None, temperature: float, chat: bool, options: Mapping[str, object]) -> str:
    request: dict[str, object] = {"temperature": temperature, **options}
    if chat:
        request["messages"] = [{"role": "user", "content": prompt}]
    else:
        request["prompt"] = prompt
    if tokens_max is not None:
        request["tokens_max"] = tokens_max
    try:
        body = canonical(request)
        parse(body)
    except (Refusal, ValueError) as error:
        raise UsageError(str(error), hint="Correct the prompt or the option.") from error
    return body


def _pieces(engine: Engine) -> Iterator[str]:
    while engine.pending:
        for event in engine.step():
            if isinstance(event, TextPiece):
                yield event.text
            elif isinstance(event, GenerateReply) and "error" in (reply := json.loads(event.body)):
                full = reply["error"]["kind"] == "context_full"
                hint = "Use a shorter prompt, or fewer tokens." if full else "Correct what it names."
                raise UsageError(reply["error"]["message"], hint=hint)
