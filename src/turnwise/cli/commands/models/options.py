"""Options that the commands about models share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from turnwise.demo import model_folder
from turnwise.errors import UsageError

ACCURACY_LEVELS = (4,)


def _accuracy_level(level: int | None) -> int | None:
    if level is not None and level not in ACCURACY_LEVELS:
        raise UsageError(
            f"{level} is no accuracy level that a graph can be rewritten to",
            where="--accuracy-level",
            expected=ACCURACY_LEVELS,
            actual=level,
            hint="Write --accuracy-level 4, or leave it out for the graph's own.",
        )
    return level


ModelFolder = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A folder with a model, or builtin:demo, which comes with Turnwise.",
        show_default=False,
        callback=model_folder,
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        help="Which graph of a folder that holds several: fp32, q4, … Default: the most exact.",
        show_default=False,
    ),
]
ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A folder with a model, a .onnx file, or builtin:demo, which comes with Turnwise.",
        show_default=False,
        callback=model_folder,
    ),
]
AccuracyLevel = Annotated[
    int | None,
    typer.Option(
        "--accuracy-level",
        metavar="4",
        help="Rewrite the 4-bit products of the graph to this level when it is loaded: another model, maybe faster.",
        show_default=False,
        callback=_accuracy_level,
    ),
]
TaskChoice = Annotated[
    Literal["generate", "infer", "embed"] | None,
    typer.Option("--task", help="What the model is for. Default: what lies at PATH shows.", show_default=False),
]
Provider = Annotated[str, typer.Option("--provider", metavar="NAME", help="The execution provider: auto, cpu, cuda, …")]
Reproducible = Annotated[
    bool,
    typer.Option(
        "--reproducible/--no-reproducible",
        help="Whether answers have the same bits whatever runs beside what. Without, the fastest way is taken.",
    ),
]
