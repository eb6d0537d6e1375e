"""A page that answers, asked over a socket as a browser asks it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from turnwise.people.serve import AnswerServer


class Answer(NamedTuple):
    """What the page's server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Page:
    """The server on a thread of this process, and somebody who asks it."""

    def __init__(self, journal: Path, name: str | None = None) -> None:
        self.server = AnswerServer(journal, name, hosts=("machine.test",))
        parts = urlsplit(self.server.address)
        self.port, self.token = int(parts.port or 0), parts.fragment
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()

    def send(
        self, path: str, *, method: str = "GET", body: bytes | None = None, token: str | None = None, **headers: str
    ) -> Answer:
        """Ask; `headers` with _ for -; with the token unless another is given."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        given = self.token if token is None else token
        if given:
            sent["Authorization"] = f"Bearer {given}"
        asked.request(method, path, body, sent)
        response = asked.getresponse()
        found = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        asked.close()
        return found

    def now(self, seen: str = "") -> Any:
        """Where the run is, once that is another than what was seen."""
        found = self.send(f"/api/now?seen={seen}")
        assert found.status == 200, found.body
        return found.json

    def until(self, wanted: Callable[[Any], object]) -> Any:
        """Where the run is, as soon as it is what is wanted."""
        found = self.now()
        while not wanted(found):
            found = self.now(found["version"])
        return found

    def answer(self, question: int, **given: Any) -> Answer:
        """Send an answer."""
        return self.send("/api/answer", method="POST", body=json.dumps({"question": question, **given}).encode())

    def close(self) -> None:
        self.server.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def opened() -> Iterator[Callable[..., Page]]:
    """A maker of pages, which are closed in the end."""
    pages: list[Page] = []

    def make(journal: Path, name: str | None = None) -> Page:
        pages.append(Page(journal, name))
        return pages[-1]

    yield make
    for page in pages:
        page.close()
