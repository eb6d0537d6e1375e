"""`turnwise serve`: models behind an OpenAI-compatible server."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.models.options import Provider, Reproducible
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold, dim
from turnwise.demo import BUILTIN_DEMO, is_builtin, model_folder
from turnwise.errors import UsageError

if TYPE_CHECKING:
    from turnwise.inference.plans.model_info import ModelInfo
    from turnwise.inference.plans.model_spec import ModelSpec

KEY_VARIABLE = "TURNWISE_API_KEY"
KEY_CHARS_MIN = 16
KEY_BYTES_MAX = 4_096
EXTRA = ("starlette", "uvicorn")


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]PATH...",
            help="Folders with models, or builtin:demo. Without NAME a model is called like its folder.",
            show_default=False,
        ),
    ],
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65_535, help="The port; 0 takes a free one.")
    ] = 8000,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address; any but this machine's own needs a key.")
    ] = "127.0.0.1",
    api_key: Annotated[
        Path | None,
        typer.Option(
            "--api-key",
            metavar="FILE",
            help=f"A file with the key that clients must send. {KEY_VARIABLE} in the environment does the same.",
            show_default=False,
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", metavar="ORIGIN", help="Web pages of this origin may ask. May be repeated."),
    ] = None,
    open_max: Annotated[
        int, typer.Option("--open-max", metavar="N", min=1, help="Requests that may be open at once.")
    ] = 256,
    provider: Provider = "auto",
    reproducible: Reproducible = True,
) -> int:
    """Serve models to programs that speak the OpenAI API.

    The same request gets the same answer, whoever else is served, unless that is given up. Nothing of what is asked or
    answered is stored or logged. Ctrl-C ends the server.
    """
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} are not installed, which a server needs",
            hint="pip install 'turnwise[serve]'",
        )
    import asyncio

    from turnwise.inference.host.host import InferenceHost  # noqa: F401 - fails here, if it does, and not in the loop
    from turnwise.serving.server import ServeOptions
    from turnwise.serving.server import serve as serve_models

    options = ServeOptions(host, port, _key(api_key), tuple(allow_origin or ()), open_max)
    asyncio.run(serve_models(specs_of(models, provider, reproducible=reproducible), options, _tell))
    return DONE


def specs_of(models: list[str], provider: str, *, reproducible: bool = True) -> list[ModelSpec]:
    """Return the models that arguments name. Raises UsageError for a name that comes twice."""
    from turnwise.inference.folders.task import task_of
    from turnwise.inference.plans.model_spec import ModelSpec

    specs: dict[str, ModelSpec] = {}
    for argument in models:
        name, equals, path = argument.partition("=")
        if not equals or Path(argument).exists():
            name, path = "", argument
        elif not name or not path:
            raise UsageError(f"{argument!r} does not name a model and its folder", hint="Write NAME=PATH, or PATH.")
        folder = model_folder(path)
        name = name or (BUILTIN_DEMO.partition(":")[2] if is_builtin(path) else folder.resolve().name)
        if name in specs:
            raise UsageError(f"two models are called {name!r}", hint="Give them names: NAME=PATH.")
        spec = ModelSpec(name, folder, provider)
        specs[name] = replace(spec, reproducible=reproducible or task_of(spec) != "generate")
    return list(specs.values())


def _key(path: Path | None) -> str | None:
    """Read the key, of a file or of the environment. Raises UsageError."""
    key = os.environ.get(KEY_VARIABLE)
    where = KEY_VARIABLE
    if path is not None:
        where = "--api-key"
        try:
            with path.open("rb") as file:
                key = file.read(KEY_BYTES_MAX + 1).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"the file of the key cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}",
                where=where,
                hint=f"Give a file, not the key itself, which others could read; or set {KEY_VARIABLE}.",
            ) from error
    if key is None:
        return None
    if not KEY_CHARS_MIN <= len(key) <= KEY_BYTES_MAX or not key.isascii() or any(letter.isspace() for letter in key):
        raise UsageError(
            f"a key has {KEY_CHARS_MIN} to {KEY_BYTES_MAX} ASCII characters and no white space",
            where=where,
            hint="python -c 'import secrets; print(secrets.token_urlsafe())' makes one.",
        )
    return key


def _tell(url: str, models: Mapping[str, ModelInfo]) -> None:
    err = Output.err()
    for name, info in models.items():
        numeric = info.numeric.numeric_class if info.numeric is not None else info.task
        context = f", context {info.context_length:,}" if info.context_length else ""
        err.line(bold(name), dim(f"  {numeric}{context}"))
        if info.fallback:
            err.line(dim(info.fallback), indent=2)
    err.line("serving at ", bold(url))
    err.flush()
