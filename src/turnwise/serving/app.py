"""The paths of the server, and what happens to a request: read, asked, answered, dropped when its client goes away."""

from __future__ import annotations

import sys
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from turnwise.inference.plans.model_info import ModelInfo
from turnwise.serving.api_error import ApiError
from turnwise.serving.catalogue import find_model, fingerprint, model_object
from turnwise.serving.chat_completions import read_chat
from turnwise.serving.completions import read_completion
from turnwise.serving.dispatcher import Dispatcher
from turnwise.serving.embeddings import read_embedding
from turnwise.serving.event_stream import EventStream
from turnwise.serving.exchange import ApiExchange, Origin
from turnwise.serving.gate import HostGate, KeyGate
from turnwise.serving.names import AnswerNames
from turnwise.serving.parameters import Parameters
from turnwise.serving.responses import read_response
from turnwise.serving.wire import error_response, json_response, read_body, unless_gone
from turnwise.system.clock import Clock

Read = Callable[[Parameters, Mapping[str, ModelInfo]], ApiExchange]

_READERS: Mapping[str, Read] = {
    "/v1/chat/completions": read_chat,
    "/v1/completions": read_completion,
    "/v1/embeddings": read_embedding,
    "/v1/responses": read_response,
}


class Api:
    """The paths, for one dispatcher."""

    def __init__(self, dispatcher: Dispatcher, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._names = AnswerNames()
        self._started_s = self._now_s()

    def routes(self) -> list[Route]:
        """Return the routes of all paths."""
        answering = [Route(path, self._answering(read), methods=["POST"]) for path, read in _READERS.items()]
        return [
            Route("/v1/models", _guarded(self._models), methods=["GET"]),
            Route("/v1/models/{name:path}", _guarded(self._model), methods=["GET"]),
            *answering,
        ]

    async def _models(self, request: Request) -> Response:
        models = self._dispatcher.models.values()
        return json_response({"object": "list", "data": [model_object(info, self._started_s) for info in models]})

    async def _model(self, request: Request) -> Response:
        info = find_model(request.path_params["name"], self._dispatcher.models)
        return json_response(model_object(info, self._started_s))

    def _answering(self, read: Read) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            body = await read_body(request)
            exchange = read(Parameters.read(body), self._dispatcher.models)
            answers = self._dispatcher.ask(exchange.requests)
            info = exchange.model
            origin = Origin(self._names.name(body), self._now_s(), info, fingerprint(info))
            try:
                if exchange.streams:
                    events = exchange.events(answers, origin)
                    first = await unless_gone(request.receive, lambda: _first(events))
                    return EventStream(first, events, answers)
                whole = await unless_gone(request.receive, lambda: exchange.whole(answers, origin))
            except BaseException:
                answers.close()
                raise
            answers.close()
            return json_response(whole)

        return _guarded(answer)

    def _now_s(self) -> int:
        return self._clock.wall_us() // 1_000_000


async def _first(events: AsyncIterator[tuple[str | None, Any]]) -> tuple[str | None, Any]:
    """Wait for the first event, since what is wrong with a request shows before it, and has a status of its own."""
    return await anext(events)


def _guarded(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Answer errors in the API's form. What is said of a defect names places in our code, and nothing of a request."""

    async def guarded(request: Request) -> Response:
        try:
            response: Response = await endpoint(request)
        except ApiError as error:
            return error_response(error)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except Exception as error:
            _tell_defect(error)
            message = "this is a defect in Turnwise, not your mistake; the server has told where"
            return error_response(ApiError(500, message, kind="server_error"))
        return response

    return guarded


def _tell_defect(error: Exception) -> None:
    """Say on stderr where an error came from. Its message and the values around it may hold what somebody asked."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
    print(f"defect in Turnwise: {type(error).__name__} at {places}", file=sys.stderr, flush=True)


def make_app(dispatcher: Dispatcher, clock: Clock, *, key: str | None, origins: Sequence[str] = ()) -> Starlette:
    """Make the ASGI application. Without a `key` only requests to this machine are let in.

    `origins` are those of web pages that may ask.
    """
    gates = [Middleware(KeyGate, key=key)]
    if origins:
        gates.insert(
            0,
            Middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["GET", "POST"], allow_headers=["*"]),
        )
    if key is None:
        gates.insert(0, Middleware(HostGate))
    return Starlette(routes=Api(dispatcher, clock).routes(), middleware=gates, exception_handlers=_HANDLERS)


async def _no_path(request: Request, _: Exception) -> Response:
    return error_response(ApiError(404, f"there is no {request.url.path} here: see docs/serve.md", code="unknown_url"))


async def _no_method(request: Request, _: Exception) -> Response:
    return error_response(ApiError(405, f"{request.method} is not allowed here", code="method_not_allowed"))


_HANDLERS: Mapping[Any, Any] = {404: _no_path, 405: _no_method}
