"""`turnwise monitor`: a page that shows runs, live or afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import Parents
from turnwise.cli.commands.runs import FOLDER
from turnwise.cli.serving_page import Beside, Browser, HostNames, Open, Port, browser_program, serve_page
from turnwise.errors import UsageError


def monitor(
    place: Annotated[Path, typer.Argument(metavar="PLACE", help="A journal, a bundle, or a folder of them.")] = FOLDER,
    port: Port = 0,
    host_name: HostNames = None,
    parent: Parents = None,
    beside: Beside = False,
    open_: Open = False,
    browser: Browser = None,
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

    program = None if browser is None else browser_program(browser)
    server = MonitorServer(ShownRuns(place, parent or ()), port=port, hosts=host_name or ())
    return serve_page(server, f"shows {place}", open_=open_, program=program, beside=beside)
