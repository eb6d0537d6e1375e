"""Options that the commands about models share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.demo import model_folder

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
Provider = Annotated[str, typer.Option("--provider", metavar="NAME", help="The execution provider: auto, cpu, cuda, …")]
