"""Answers of the page by address: its files, where the run is, what was said, and the one that takes an answer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from turnwise.core.json_text import decode
from turnwise.core.question import ANSWER_BYTES_MAX
from turnwise.errors import TurnwiseError, UsageError
from turnwise.journal.journal import Journal
from turnwise.monitor.application import TYPES
from turnwise.monitor.reader import RunReader
from turnwise.monitor.shown import FileWatch
from turnwise.orchestrator.answering import leave_answer
from turnwise.orchestrator.outside_box import box_path
from turnwise.people.access import ANSWER_PATH, AnswerAccess
from turnwise.people.answer_text import value_for
from turnwise.people.asked import check_name, standing
from turnwise.people.talk import talk

LOOK_SECONDS: Final = 0.1
"""Time between two looks at a journal, while a page waits for something new."""
NEWS_SECONDS: Final = 15.0
"""Time after which a page is answered that nothing is new."""
BODY_BYTES_MAX: Final = 6 * ANSWER_BYTES_MAX + 1_024
"""Bytes of an answer on its way: JSON may write each of its bytes as six."""
NUMBER_MAX: Final = 2**53 - 1
SHARED: Final = ("dom.js", "style.css", "icon.svg")
"""Files of the monitor's page that this one uses, too."""


class AnswerPage:
    """The page for the questions of one run, those of one agent if it is named."""

    def __init__(self, journal: Path, name: str | None = None, parents: Sequence[Path] = ()) -> None:
        """Raises UsageError for an agent that is not there, and what opening the journal raises."""
        with Journal.open(journal, parents=parents) as file:
            check_name(file, name)
        self._path = journal
        self._name = name
        self._parents = tuple(parents)
        self._reader = RunReader(journal, parents)
        self._watches = FileWatch(journal), FileWatch(box_path(journal))
        self._busy = asyncio.Lock()
        self._known: dict[str, Any] | None = None
        self._asked = False
        self.told = threading.Event()
        """Set when a page has been told that the run is over."""

    @property
    def is_read(self) -> bool:
        """True once a page has asked how far the run is."""
        return self._asked

    def application(self, token: str, hosts: Sequence[str], ends: Callable[[], bool] = lambda: False) -> Starlette:
        """Put the application together; `hosts` are the names by which it may be asked, `ends` says that it stops."""
        return Starlette(
            routes=[
                Route("/api/now", self._now(ends)),
                Route("/api/talk", self._talk),
                Route(ANSWER_PATH, self._answer, methods=["POST"]),
                Route("/{path:path}", _page),
            ],
            middleware=[Middleware(AnswerAccess, token=token, hosts=hosts)],
            exception_handlers={TurnwiseError: _refused},
        )

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()

    def _now(self, ends: Callable[[], bool]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            """Tell where the run is, once that is another than the page has seen, or after a while without news."""
            self._asked = True
            seen, waited = request.query_params.get("seen", ""), 0.0
            found = await self._standing()
            while found["version"] == seen and waited < NEWS_SECONDS and not ends():
                if await request.is_disconnected():
                    break
                await asyncio.sleep(LOOK_SECONDS)
                waited += LOOK_SECONDS
                found = await self._standing()
            if found["status"] != "open":
                self.told.set()
            return JSONResponse(found)

        return answer

    async def _standing(self) -> dict[str, Any]:
        async with self._busy:
            played = Journal.is_written(self._path)
            due = [watch.due() for watch in self._watches]  # each is asked: what it has seen is told once
            if self._known is None or any(due) or played != self._known["played"]:
                try:
                    found = await self._reader.ask(lambda journal: standing(journal, self._name))
                except BaseException:
                    for watch in self._watches:
                        watch.forget()
                    raise
                version = sha256(json.dumps(found).encode()).hexdigest()[:16]
                self._known = {**found, "version": version}
            return self._known

    async def _talk(self, request: Request) -> Response:
        if self._name is None:
            return JSONResponse({"turns": [], "first": 1})
        after, before = _number(request, "after") or 0, _number(request, "before")
        name = self._name
        return JSONResponse(await self._reader.ask(lambda journal: talk(journal, name, after, before)))

    async def _answer(self, request: Request) -> Response:
        """Take an answer: `question` is its number, and `text` what somebody typed, or `value` a JSON value."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise UsageError("the answer is too long", where="answer", hint=f"At most {ANSWER_BYTES_MAX:,} bytes.")
        try:
            given = decode(body.decode())
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict) or type(given.get("question")) is not int:
            raise UsageError("this is no answer", where="answer", hint="The page sends an object with a question.")
        number = given["question"]
        asked = await self._reader.ask(
            lambda journal: [] if journal.rounds.end_record else journal.rounds.parks.asked(journal.rounds.last_round)
        )
        chosen = next((one for one in asked if one.id == number), None)
        if chosen is not None and self._name not in (None, chosen.agent):
            raise UsageError(f"this page answers for {self._name} alone", where="answer", actual=chosen.agent)
        text = given.get("text")
        if "value" not in given and type(text) is not str:
            raise UsageError("this is no answer", where="answer", hint="The page sends a text or a value.")
        value = given["value"] if "value" in given or chosen is None else value_for(chosen, cast("str", text))
        taken = chosen is not None and await asyncio.to_thread(leave_answer, self._path, number, value, self._parents)
        return JSONResponse({"question": number, "taken": taken})


async def _refused(_: Request, error: Exception) -> Response:
    found = cast("TurnwiseError", error)
    return JSONResponse({"error": found.message, "hint": found.hint}, 422 if isinstance(found, UsageError) else 409)


async def _page(request: Request) -> Response:
    """The page, or one of its files."""
    name = request.path_params["path"] or "page/index.html"
    parts = name.split("/")
    kind = TYPES.get(Path(name).suffix)
    package = "turnwise.monitor" if parts[-1] in SHARED else "turnwise.people"
    file = resources.files(package).joinpath(*parts)
    if kind is None or len(parts) != 2 or parts[0] != "page" or ".." in parts or not file.is_file():
        return Response("There is no such file.\n", 404)
    return Response(file.read_bytes(), media_type=kind)


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > NUMBER_MAX:
        raise UsageError("this is not a number from 0", where=name, actual=text, hint="The page asks with numbers.")
    return int(text)
