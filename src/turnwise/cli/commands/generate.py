"""`turnwise generate`: the quickest way to see whether a model works."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.models.options import AccuracyLevel, ModelFolder, Reproducible, Variant
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, dim
from turnwise.errors import UsageError
from turnwise.visible_text import visible

if TYPE_CHECKING:
    from turnwise.inference.plans.model_info import ModelInfo

TOKENS_MAX_DEFAULT = 128
SCHEMA_BYTES_MAX = 1024 * 1024


def generate(
    model: ModelFolder,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to go on from.")],
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", help="Stop after so many tokens.")
    ] = TOKENS_MAX_DEFAULT,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="0 takes the likeliest token each time.")
    ] = 0.0,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Chooses what is drawn when the temperature is above 0.")
    ] = 0,
    chat: Annotated[
        bool, typer.Option("--chat", help="The prompt is a message to the model, in the form that it was trained on.")
    ] = False,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="With --chat: what the model is told first.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", metavar="K", help="Draw from the K likeliest tokens only.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", metavar="P", help="Draw from the likeliest tokens that together have probability P."),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option("--min-p", metavar="P", help="Draw from tokens at least P times as likely as the likeliest."),
    ] = None,
    json_schema: Annotated[
        Path | None,
        typer.Option("--json-schema", metavar="FILE", help="Generate JSON that follows the JSON schema in FILE."),
    ] = None,
    regex: Annotated[
        str | None, typer.Option("--regex", metavar="R", help="Generate text that the regular expression R matches.")
    ] = None,
    variant: Variant = None,
    accuracy_level: AccuracyLevel = None,
    reproducible: Reproducible = True,
) -> int:
    """Let a model go on from a prompt, or answer it.

    Only the generated text is on stdout, as it comes, and a line break after it; control characters in it are shown as
    escapes. The same arguments give the same text on the same machine.
    """
    options = _request(temperature, system, top_k, top_p, min_p, json_schema, regex)
    from turnwise.inference.inspect.generate import generate_text

    err = Output.err()

    def loaded(info: ModelInfo) -> None:
        if info.fallback:
            err.line(dim(info.fallback))
            err.flush()

    pieces = generate_text(
        model,
        prompt,
        tokens_max=max_tokens,
        temperature=temperature,
        seed=seed,
        chat=chat,
        options=options,
        variant=variant,
        accuracy_level=accuracy_level,
        reproducible=reproducible,
        on_loaded=loaded,
    )
    _print(pieces)
    return DONE


def _request(
    temperature: float,
    system: str | None,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    json_schema: Path | None,
    regex: str | None,
) -> dict[str, object]:
    """Members of the request; what is None says nothing. Raises UsageError for what is no number or no JSON."""
    if not math.isfinite(temperature):
        raise UsageError(
            f"{temperature} is no temperature", where="--temperature", hint="Give 0, or a number above it."
        )
    for name, share in (("--top-p", top_p), ("--min-p", min_p)):
        if share is not None and not math.isfinite(share):
            raise UsageError(f"{share} is no probability", where=name, hint="Give a number from 0 to 1.")
    options: dict[str, object] = {"system": system, "top_k": top_k, "top_p": top_p, "min_p": min_p, "regex": regex}
    if json_schema is not None:
        options["json_schema"] = _schema(json_schema)
    return options


def _print(pieces: Iterator[str]) -> None:
    """The text as it comes, until nobody reads it. Text that is cut off ends its line too."""
    out = Output.out()
    begun = False
    try:
        for piece in pieces:
            begun = True
            out.write(visible(piece, lines=True))
            out.flush()
            if out.gone:
                return
    except BaseException:
        if begun:
            out.write("\n")
            out.flush()
        raise
    out.write("\n")


def _schema(path: Path) -> object:
    """The JSON value in a file. What a schema may be is for the model's side to say."""
    try:
        with path.open("rb") as file:
            content = file.read(SCHEMA_BYTES_MAX + 1)
        if len(content) > SCHEMA_BYTES_MAX:
            raise ValueError(f"it has more than {SCHEMA_BYTES_MAX} bytes")
        return json.loads(content)
    except OSError as error:
        message, hint = f"cannot be read: {error.strerror}", "Name a file with a JSON schema."
    except (ValueError, RecursionError) as error:
        message, hint = f"is not JSON: {error}", "Correct the file: it holds one JSON schema."
    raise UsageError(f"{visible(str(path))} {message}", where="--json-schema", hint=hint)
