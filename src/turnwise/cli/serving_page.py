"""Serving a page until Ctrl-C, or beside a run until its command ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold, dim
from turnwise.errors import UsageError

if TYPE_CHECKING:
    from turnwise.monitor.serve import PageServer

Port = Annotated[
    int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")
]
HostNames = Annotated[
    list[str] | None,
    typer.Option("--host-name", metavar="NAME", help="Another name of this machine to answer to. May be repeated."),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
Browser = Annotated[
    str | None,
    typer.Option("--browser", metavar="PROGRAM", help="Open the page in this browser, such as servo or firefox."),
]
Beside = Annotated[bool, typer.Option("--beside", hidden=True)]


def browser_program(name: str) -> str:
    """Return the path of a browser; raises UsageError if it is not installed."""
    found = shutil.which(name)
    if found is None:
        hint = "Name a program that is on the PATH and takes an address, or leave --browser out."
        raise UsageError("there is no such browser", where="--browser", actual=name, hint=hint)
    return found


def serve_page(
    server: PageServer, words: str, *, open_: bool = False, program: str | None = None, beside: bool = False
) -> int:
    """Say where a page is, with some words for people, serve it, and return the exit code.

    It is opened in a browser of the user's, with `open_`, or in one that is a `program`.
    """
    if beside:
        _end_with_parent(server)
    out = Output.out()
    out.line(bold(server.address))
    out.line(dim(f"{words}; Ctrl-C ends it"))
    out.flush()
    if program is not None:
        subprocess.Popen(
            [program, server.address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    elif open_:
        import webbrowser

        webbrowser.open(server.address)
    with suppress(KeyboardInterrupt):  # which is how it is ended
        server.run()
    return DONE


def _end_with_parent(server: PageServer) -> None:
    """Take a back seat to the run beside which this was started, and end when its command does."""
    if hasattr(os, "nice"):
        os.nice(10)

    def watch() -> None:
        sys.stdin.buffer.read()
        server.stop()

    threading.Thread(target=watch, daemon=True).start()
