"""Fixtures: a folder of journals, and a monitor that is asked over a socket, as a browser asks it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest

import turnwise
from tests.cli.journals import evil_plan, play, write
from tests.orchestrator.worlds import lively
from turnwise.monitor.serve import MonitorServer
from turnwise.monitor.shown import ShownRuns


class Answer(NamedTuple):
    """What the monitor answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Monitor:
    """A monitor that runs on a thread of this process, and somebody who asks it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.server = MonitorServer(ShownRuns(place), port=0, hosts=("machine.test",))
        parts = urlsplit(self.server.address)
        self.port = int(parts.port or 0)
        self.token = parts.query.partition("=")[2]
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()

    def get(self, path: str, *, method: str = "GET", cookie: bool = True, **headers: str) -> Answer:
        """Ask; `headers` with _ for -; with `cookie`, as the page asks."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie:
            sent["Cookie"] = f"turnwise-monitor-{self.port}={self.token}"
        asked.request(method, path, headers=sent)
        response = asked.getresponse()
        found = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        asked.close()
        return found

    def ask(self, question: str, **parameters: Any) -> Any:
        """The JSON answer to a question of the page, which must be one."""
        found = self.get(f"/api/{question}?{urlencode(parameters, doseq=True)}")
        assert found.status == 200, found.body
        return found.json

    def close(self) -> None:
        self.server.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of real sandboxes, one whose texts attack whoever shows them, and a file that is no run."""
    folder = tmp_path_factory.mktemp("runs")
    turnwise.run(lively(seed=3, rounds_max=4), journal=folder / "lively.journal").close()
    turnwise.run(lively(seed=4, rounds_max=4), journal=folder / "other.journal").close()
    (folder / "sweep").mkdir()
    write(folder / "sweep" / "evil.journal", evil_plan(), play(evil_plan()))
    (folder / "broken.journal").write_bytes(b"no journal")
    (folder / "notes.txt").write_text("not shown")
    return folder


@pytest.fixture(scope="module")
def monitor(runs_folder: Path) -> Iterator[Monitor]:
    found = Monitor(runs_folder)
    yield found
    found.close()
