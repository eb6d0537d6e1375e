"""`turnwise bundle` and `turnwise keygen`: a run as one file for somebody else, and a key to sign it with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import JournalFile, Json, NewFile, Parents, model_folders
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold
from turnwise.cli.text import json_text


def bundle(
    journal: JournalFile,
    out: NewFile,
    with_models: Annotated[
        bool, typer.Option("--with-models", help="Put the files of its models into it; else it names them by hash.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME=PATH", help="Take a model's files from this folder. May be repeated."),
    ] = None,
    parent: Parents = None,
    sign: Annotated[
        Path | None,
        typer.Option("--sign", metavar="KEY", help="Sign it with this Ed25519 private key.", show_default=False),
    ] = None,
    json: Json = False,
) -> int:
    """Make one file of a run, for somebody else to check.

    It holds the journal, what its agents execute, the plan of its world and, with --with-models, its models; each with
    its SHA-256 in an in-toto statement. It is a ZIP file that any program can look into. "turnwise verify FILE" checks
    it offline on another machine. The same journal gives the same bytes.
    """
    folders = model_folders(model)
    import turnwise

    made = turnwise.bundle(journal, out, with_models=with_models, models=folders, sign=sign, parents=parent or ())
    output = Output.err() if json else Output.out()
    output.row(bold(str(made.path)), f": {made.size:,} bytes, head {made.head}")
    output.row("statement sha256 ", made.sha256)
    output.row("", "not signed" if made.key_id is None else f"signed by key {made.key_id}")
    for name, inside in made.models.items():
        output.row(f"model {name}: ", "inside" if inside else "named by its hash; who verifies it needs its files")
    for note in made.notes:
        output.row("note: ", note)
    if json:
        value = {
            "bundle": str(made.path),
            "bytes": made.size,
            "head": made.head,
            "statement_sha256": made.sha256,
            "key": made.key_id,
            "models": made.models,
            "interpreter": made.has_interpreter,
            "notes": list(made.notes),
        }
        Output.out().write(json_text(value) + "\n")
    return DONE


def keygen(
    name: Annotated[
        Path, typer.Argument(metavar="NAME", help="Where to put NAME.key and NAME.pub.", show_default=False)
    ],
    json: Json = False,
) -> int:
    """Make a pair of Ed25519 keys: NAME.key signs bundles, NAME.pub is for those who verify them.

    The private key is not encrypted; only its owner can read the file. Both are PEM files, as openssl makes them.
    """
    from turnwise.evidence.signature import make_keys

    private, public, key = make_keys(name)
    output = Output.err() if json else Output.out()
    output.row(bold(str(private)), f": keep it to yourself: turnwise bundle JOURNAL -o FILE --sign {private}")
    output.row(bold(str(public)), f": give it to others: turnwise verify FILE --trust {public}")
    output.line(f"key {key}")
    if json:
        Output.out().write(json_text({"private": str(private), "public": str(public), "key": key}) + "\n")
    return DONE
