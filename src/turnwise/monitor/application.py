"""The monitor's answers by address: files of the page, JSON about runs, and a stream of what changes."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from turnwise.errors import TurnwiseError, UsageError
from turnwise.journal.journal import Journal
from turnwise.monitor.access import Access
from turnwise.monitor.answers.agents import AGENTS_MAX, agents
from turnwise.monitor.answers.causes import causes, consequences
from turnwise.monitor.answers.clock import ClockAxis, spans
from turnwise.monitor.answers.conversation import conversation
from turnwise.monitor.answers.differences import differences
from turnwise.monitor.answers.lanes import Lineage
from turnwise.monitor.answers.listing import Listing
from turnwise.monitor.answers.messages import flows, message, messages
from turnwise.monitor.answers.records import numbers, records
from turnwise.monitor.answers.rounds import round_
from turnwise.monitor.answers.search import search
from turnwise.monitor.answers.summary import pulse, summary
from turnwise.monitor.answers.tiles import measure_named, tile
from turnwise.monitor.answers.turn import turn
from turnwise.monitor.answers.waits import waits
from turnwise.monitor.broadcast import Broadcast
from turnwise.monitor.live import PlaceNames, told
from turnwise.monitor.reader import RunReader
from turnwise.monitor.shown import OPEN_MAX, FileWatch, ShownRuns
from turnwise.observing.live_feed import LiveFeed

LOOK_SECONDS: Final = 0.25
"""Time between two looks at a journal that somebody watches."""
LIVE_SECONDS: Final = 0.1
"""Time between two looks at the telemetry of a run that somebody watches."""
AGE_SECONDS: Final = 1.0
"""Time after which it is told again how old what was told last is, or that there is nothing."""
ALIVE_SECONDS: Final = 15.0
"""Time after which a stream without news says that it is there."""
NUMBER_MAX: Final = 2**53 - 1
"""Largest number that the page's language counts with exactly."""
NAMES_MAX: Final = 100
"""AgentNames in one question."""
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

T = TypeVar("T")


def application(
    runs: ShownRuns, token: str, hosts: tuple[str, ...], ends: Callable[[], bool] = lambda: False
) -> Starlette:
    """Put the monitor of some runs together; `hosts` are the names by which it may be asked.

    Streams, which go on for as long as their reader likes, end when `ends` says so.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        runs.close()

    return Starlette(
        routes=_Answers(runs, ends).routes(),
        middleware=[Middleware(Access, token=token, hosts=hosts)],
        exception_handlers={TurnwiseError: _refused},
        lifespan=lifespan,
    )


async def _refused(_: Request, error: Exception) -> Response:
    found = cast("TurnwiseError", error)
    status = 404 if isinstance(found, UsageError) else 409
    return JSONResponse({"error": found.message, "hint": found.hint}, status)


class _Answers:
    """Handlers of requests. Whatever reads a journal does so on the run's own thread."""

    def __init__(self, runs: ShownRuns, ends: Callable[[], bool]) -> None:
        self._runs = runs
        self._ends = ends
        self._axes: OrderedDict[str, ClockAxis] = OrderedDict()
        self._lineages: OrderedDict[str, Lineage] = OrderedDict()
        self._broadcasts: OrderedDict[str, Broadcast] = OrderedDict()
        self._listing = Listing(runs)
        self._listing_busy = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return what is answered. Any other address is a file of the page."""
        asked: dict[str, Callable[[Request], Callable[[Journal], Any]]] = {
            "summary": lambda _: summary,
            "round": lambda request: lambda journal: round_(journal, _number(request, "round")),
            "turn": lambda request: lambda journal: turn(journal, _text(request, "agent"), _number(request, "round")),
            "flows": lambda request: (
                lambda journal: flows(journal, _number(request, "first", 1), _number(request, "last", NUMBER_MAX))
            ),
            "messages": lambda request: (
                lambda journal: messages(
                    journal,
                    _number(request, "first", 1),
                    _number(request, "last", NUMBER_MAX),
                    senders=_names(request, "sender"),
                    to=_names(request, "to"),
                    seq_first=_number(request, "seq", 0),
                )
            ),
            "message": lambda request: lambda journal: message(journal, _number(request, "seq")),
            "conversation": lambda request: (
                lambda journal: conversation(journal, _names(request, "agent"), _number(request, "after", 0))
            ),
            "records": lambda request: (
                lambda journal: records(journal, _text(request, "name"), _names(request, "agent"))
            ),
            "why": lambda request: (
                lambda journal: causes(
                    journal,
                    _text(request, "agent") or None,
                    _number(request, "round", 0) or None,
                    _number(request, "message") if "message" in request.query_params else None,
                    _text(request, "record") or None,
                    _number(request, "depth", 3),
                )
            ),
            "consequences": lambda request: (
                lambda journal: consequences(
                    journal,
                    _text(request, "agent") or None,
                    _number(request, "round", 0) or None,
                    _number(request, "message") if "message" in request.query_params else None,
                    _number(request, "depth", 3),
                )
            ),
            "numbers": lambda request: lambda journal: numbers(journal, _text(request, "name")),
            "spans": lambda request: (
                lambda journal: spans(
                    journal,
                    _number(request, "first"),
                    _number(request, "last"),
                    _number(request, "place_first", 0),
                    _number(request, "place_last", NUMBER_MAX),
                )
            ),
            "search": lambda request: (
                lambda journal: search(journal, _text(request, "text"), _number(request, "after", 0))
            ),
        }
        return [
            Route("/api/runs", self._list),
            Route("/api/diff", self._diff),
            Route("/api/events", self._events),
            Route("/api/live", self._live),
            Route("/api/tile", self._tile),
            Route("/api/waits", self._waits),
            Route("/api/clock", self._clock),
            Route("/api/agents", self._agents),
            *(Route(f"/api/{name}", self._json(make)) for name, make in asked.items()),
            Route("/{path:path}", _page),
        ]

    def _json(self, make: Callable[[Request], Callable[[Journal], Any]]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return JSONResponse(await self._ask(request, make(request)))

        return answer

    async def _ask(self, request: Request, question: Callable[[Journal], T]) -> T:
        return await self._runs.reader(_text(request, "run")).ask(question)

    async def _list(self, _: Request) -> Response:
        async with self._listing_busy:
            return JSONResponse(await asyncio.to_thread(self._listing.rows))

    async def _diff(self, request: Request) -> Response:
        left, right = (self._runs.reader(_text(request, side)).path for side in ("left", "right"))
        return JSONResponse(await asyncio.to_thread(differences, left, right, self._runs.parents))

    async def _tile(self, request: Request) -> Response:
        measure = measure_named(_text(request, "measure") or "turns")
        names = ("column", "row", "round_bits", "place_bits")
        column, row, round_bits, place_bits = (_number(request, name, 0) for name in names)
        lanes = self._lineage(request)

        def answer(journal: Journal) -> bytes:
            if lanes is not None:
                lanes.extend(journal)
            return tile(journal, measure, column, row, round_bits, place_bits, lanes)

        found = await self._ask(request, answer)
        return Response(found, media_type="application/octet-stream")

    async def _waits(self, request: Request) -> Response:
        first, last = _number(request, "first", 1), _number(request, "last", NUMBER_MAX)
        row_first, row_last = _number(request, "row_first", 0), _number(request, "row_last", NUMBER_MAX)
        lanes = self._lineage(request)

        def answer(journal: Journal) -> dict[str, Any]:
            if lanes is not None:
                lanes.extend(journal)
            return waits(journal, first, last, row_first, row_last, lanes)

        return JSONResponse(await self._ask(request, answer))

    async def _clock(self, request: Request) -> Response:
        """Places of rounds on the time of the run: what is known of it already is not read again."""
        column, round_bits = _number(request, "column", 0), _number(request, "round_bits", 0)
        axis = _kept(self._axes, _text(request, "run"), ClockAxis)

        def answer(journal: Journal) -> dict[str, Any]:
            axis.extend(journal)
            return axis.bounds(column, round_bits)

        return JSONResponse(await self._ask(request, answer))

    def _lineage(self, request: Request) -> Lineage | None:
        wanted = _text(request, "lanes") == "lineage"
        return _kept(self._lineages, _text(request, "run"), Lineage) if wanted else None

    async def _agents(self, request: Request) -> Response:
        first, count, lanes = _number(request, "first", 0), _number(request, "count", 200), self._lineage(request)

        def answer(journal: Journal) -> dict[str, Any]:
            if lanes is None:
                return agents(journal, first, count, _text(request, "search"))
            lanes.extend(journal)
            return lanes.agents(journal, first, min(count, AGENTS_MAX))

        return JSONResponse(await self._ask(request, answer))

    async def _events(self, request: Request) -> Response:
        """A stream of how far a run is, told whenever that has changed."""
        reader = self._runs.reader(_text(request, "run"))
        return await _stream(self._broadcast("events", request, lambda: _pulses(reader, self._ends)))

    async def _live(self, request: Request) -> Response:
        """A stream of what the process that plays a run tells: the newest, never what was missed."""
        reader = self._runs.reader(_text(request, "run"))
        return await _stream(self._broadcast("live", request, lambda: _samples(reader, self._ends)))

    def _broadcast(self, what: str, request: Request, source: Callable[[], AsyncIterator[str]]) -> Broadcast:
        return _kept(self._broadcasts, f"{what} {_text(request, 'run')}", lambda: Broadcast(source), 2 * OPEN_MAX)


async def _stream(broadcast: Broadcast) -> Response:
    """A response with what a broadcast tells; the first of it is waited for, so that what is wrong is said at once."""
    lines = broadcast.lines()
    first = await anext(lines, "")

    async def told() -> AsyncIterator[str]:
        yield first
        async for line in lines:
            yield line

    return StreamingResponse(told(), media_type="text/event-stream")


async def _pulses(reader: RunReader, ends: Callable[[], bool]) -> AsyncIterator[str]:
    watch = FileWatch(reader.path)
    told, quiet = "", 0.0
    while not ends():
        if watch.due():
            now = json.dumps(await reader.ask(pulse))
            if now != told:
                told, quiet = now, 0.0
                yield f"data: {told}\n\n"
        if quiet >= ALIVE_SECONDS:  # with what was told: whoever came meanwhile has the newest of what was sent
            quiet = 0.0
            yield f"data: {told}\n\n"
        await asyncio.sleep(LOOK_SECONDS)
        quiet += LOOK_SECONDS


async def _samples(reader: RunReader, ends: Callable[[], bool]) -> AsyncIterator[str]:
    feed, names, seen, quiet, unnamed = LiveFeed(reader.path), PlaceNames(), -1, AGE_SECONDS, AGE_SECONDS
    try:
        while not ends():
            sample = feed.look()
            number = -1 if sample is None else sample.state.sample
            if sample is not None and names.lacks(sample) and unnamed >= AGE_SECONDS:
                unnamed = 0.0
                names.take(await reader.ask(lambda journal: journal.grid.names()))
            if number != seen or quiet >= AGE_SECONDS:
                seen, quiet = number, 0.0
                answer = {"none": feed.why} if sample is None else told(sample, names)
                yield f"data: {json.dumps(answer)}\n\n"
            await asyncio.sleep(LIVE_SECONDS)
            quiet, unnamed = quiet + LIVE_SECONDS, unnamed + LIVE_SECONDS
    finally:
        feed.close()


async def _page(request: Request) -> Response:
    """The page, whose address says in its query what it shows, or one of its files."""
    name = request.path_params["path"] or "page/index.html"
    parts = name.split("/")
    kind = TYPES.get(Path(name).suffix)
    file = resources.files("turnwise.monitor").joinpath(*parts)
    if kind is None or parts[0] != "page" or ".." in parts or not file.is_file():
        return Response("There is no such file.\n", 404)
    return Response(file.read_bytes(), media_type=kind)


def _kept(table: OrderedDict[str, T], run: str, make: Callable[[], T], most: int = OPEN_MAX) -> T:
    """Return what a table has of a run, made when it is first asked for; the runs that were asked for last are kept."""
    found = table.setdefault(run, make())
    table.move_to_end(run)
    while len(table) > most:
        table.popitem(last=False)
    return found


def _text(request: Request, name: str) -> str:
    return request.query_params.get(name, "")


def _names(request: Request, name: str) -> tuple[str, ...]:
    found = request.query_params.getlist(name)
    if len(found) > NAMES_MAX:
        raise UsageError("these are too many names", where=name, actual=len(found), hint=f"At most {NAMES_MAX}.")
    return tuple(found)


def _number(request: Request, name: str, default: int | None = None) -> int:
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > NUMBER_MAX:
        raise UsageError("this is not a number from 0", where=name, actual=text, hint="The page asks with numbers.")
    return int(text)
