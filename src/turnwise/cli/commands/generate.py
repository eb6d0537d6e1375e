"""`turnwise generate`: the quickest way to see whether a model works."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, dim
from turnwise.cli.text import visible
from turnwise.errors import UsageError

if TYPE_CHECKING:
    from turnwise.inference.model import ModelInfo

TOKENS_MAX_DEFAULT = 128


def generate(
    model: Annotated[Path, typer.Argument(metavar="MODEL_FOLDER", help="A folder with a model.")],
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
) -> int:
    """Let a model go on from a prompt.

    Only the generated text is on stdout, as it comes, and a line break after it; control characters in it are shown as
    escapes. The same arguments give the same text on the same machine.
    """
    if not math.isfinite(temperature):
        raise UsageError(
            f"{temperature} is no temperature", where="--temperature", hint="Give 0, or a number above it."
        )
    from turnwise.inference.generate import generate_text

    out, err = Output.out(), Output.err()

    def loaded(info: ModelInfo) -> None:
        if info.fallback:
            err.line(dim(info.fallback))
            err.flush()

    for piece in generate_text(
        model, prompt, tokens_max=max_tokens, temperature=temperature, seed=seed, on_loaded=loaded
    ):
        out.write(visible(piece, lines=True))
        out.flush()
        if out.gone:
            return DONE
    out.write("\n")
    return DONE
