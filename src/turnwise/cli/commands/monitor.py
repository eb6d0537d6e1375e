"""`turnwise monitor`: a page that shows runs, live or afterwards."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.options import Parents
from turnwise.cli.commands.runs import FOLDER
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold, dim
from turnwise.errors import UsageError

if TYPE_CHECKING:
    from turnwise.monitor.serve import MonitorServer


def monitor(
    place: Annotated[Path, typer.Argument(metavar="PLACE", help="A journal, a bundle, or a folder of them.")] = FOLDER,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")
    ] = 0,
    host_name: Annotated[
        list[str] | None,
        typer.Option("--host-name", metavar="NAME", help="Another name of this machine to answer to. May be repeated."),
    ] = None,
    parent: Parents = None,
    beside: Annotated[bool, typer.Option("--beside", hidden=True)] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> int:
    """Show runs on a page, while they are played or afterwards, until Ctrl-C.

    Who has the address that is printed can read, nobody can write: the journal is opened read-only by a process of its
    own, and nothing that happens here can reach a run.
    """
    try:
        from turnwise.monitor.serve import MonitorServer
    except ImportError as error:
        hint = 'Install it: pip install "turnwise[monitor]"'
        raise UsageError(f"the monitor is not installed ({error.name} is missing)", hint=hint) from None
    from turnwise.monitor.shown import ShownRuns

    server = MonitorServer(ShownRuns(place, parent or ()), port=port, hosts=host_name or ())
    if beside:
        _end_with_parent(server)
    out = Output.out()
    out.line(bold(server.address))
    out.line(dim(f"shows {place}; Ctrl-C ends it"))
    out.flush()
    if open_:
        import webbrowser

        webbrowser.open(server.address)
    with suppress(KeyboardInterrupt):  # which is how it is ended
        server.run()
    return DONE


def _end_with_parent(server: MonitorServer) -> None:
    """Take a back seat to the run beside which this was started, and end when its command does."""
    if hasattr(os, "nice"):
        os.nice(10)

    def watch() -> None:
        sys.stdin.buffer.read()
        server.stop()

    threading.Thread(target=watch, daemon=True).start()
