"""Server of the page that answers, on the loopback address, until it is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from turnwise.monitor.access import new_token
from turnwise.monitor.serve import NAMES, PageServer
from turnwise.people.application import AnswerPage

END_SECONDS: Final = 3.0
"""Time that a page which is open has to learn that the run is over, when its server is about to stop."""


class AnswerServer(PageServer):
    """The page for the questions of one run, with its address."""

    def __init__(
        self,
        journal: Path,
        name: str | None = None,
        *,
        port: int = 0,
        hosts: Sequence[str] = (),
        parents: Sequence[Path] = (),
    ) -> None:
        """Listen, as every page does. `name` is the agent for which it answers alone; `hosts` are more names.

        `parents` are files, and folders, in which to look for what a fork goes on from.
        """
        self._page = AnswerPage(journal, name, parents)
        token = new_token()
        names = (*NAMES, *hosts)
        super().__init__(lambda ends: self._page.application(token, names, ends), f"#{token}", port)

    def run(self) -> None:
        """Serve until it is stopped or interrupted."""
        try:
            super().run()
        finally:
            self._page.close()

    def stop(self) -> None:
        """Have `run` return, when a page that is open has been told of the end of a run that is over."""
        if self._page.is_read:
            self._page.told.wait(END_SECONDS)
        super().stop()
