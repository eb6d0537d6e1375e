"""`turnwise models pull`: a model from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.models.options import Variant
from turnwise.cli.commands.options import Json
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold, dim, green, is_terminal
from turnwise.cli.text import count, json_text

if TYPE_CHECKING:
    from turnwise.inference.folders.hub import HubFile


def pull(
    repository: Annotated[
        str, typer.Argument(metavar="REPO[@REVISION]", help="owner/name on the hub.", show_default=False)
    ],
    variant: Variant = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Default: its name, below TURNWISE_MODELS.", show_default=False),
    ] = None,
    json: Json = False,
) -> int:
    """Download a model.

    Only the files of one variant are fetched, and each is compared with its checksum on the hub. What was interrupted
    goes on where it stopped; what is there already is not fetched again. HF_ENDPOINT names another hub.
    """
    from turnwise.cli.facts import size
    from turnwise.inference.folders.hub import pull as pull_model
    from turnwise.inference.folders.hub import split_name

    err = Output.err()

    def chosen(files: Sequence[HubFile]) -> None:
        err.line(f"{count(len(files), 'file')}, {size(sum(file.size for file in files))}")
        err.flush()

    name, revision = split_name(repository)
    pulled = pull_model(
        name, revision, variant=variant, folder=to, show_progress=is_terminal(err.stream), on_chosen=chosen
    )
    output = err if json else Output.out()
    variant_shown = f", variant {pulled.variant}" if pulled.variant else ""
    output.line(green("pulled"), f": {pulled.repository}@{pulled.revision}{variant_shown}")
    output.line(bold(str(pulled.path)), indent=2)
    output.line(dim(f'turnwise models check "{pulled.path}" says what it is.'), indent=2)
    if json:
        found = {
            "path": str(pulled.path),
            "repository": pulled.repository,
            "revision": pulled.revision,
            "variant": pulled.variant,
            "files": pulled.files,
            "bytes": pulled.size,
        }
        Output.out().write(json_text(found) + "\n")
    return DONE
