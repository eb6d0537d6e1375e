"""`turnwise models list`: the models that are here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import Json
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold, dim
from turnwise.cli.text import json_text

REVISION_CHARS = 12


def list_(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Where to look. Default: where pull puts them.", show_default=False),
    ] = None,
    json: Json = False,
) -> int:
    """List the models below a folder.

    TURNWISE_MODELS names the folder that models are pulled to, and that is looked in where none is given.
    """
    from turnwise.cli.facts import size
    from turnwise.demo import BUILTIN_DEMO
    from turnwise.errors import UsageError
    from turnwise.inference.folders.hub import local_models
    from turnwise.system.user_folders import models_folder

    root = folder or models_folder()
    if folder is not None and not folder.is_dir():
        raise UsageError("is no folder", where=str(folder), hint="Name a folder with models in it.")
    found = local_models(root)
    output = Output.err() if json else Output.out()
    for model in found:
        variants = f": {', '.join(model.variants)}" if model.variants else ""
        output.line(bold(str(model.path)))
        output.line(dim(f"{model.convention}{variants}, {size(model.size)}"), indent=2)
        if model.repository:
            output.line(dim(f"pulled from {model.repository}@{(model.revision or '')[:REVISION_CHARS]}"), indent=2)
    if not found:
        output.line(f"no models in {root}")
    if folder is None:
        output.line(dim(f"comes with Turnwise: {BUILTIN_DEMO}"))
    if json:
        models = [asdict(model) | {"path": str(model.path)} for model in found]
        Output.out().write(json_text({"folder": str(root), "models": models}) + "\n")
    return DONE
