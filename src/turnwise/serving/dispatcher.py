"""Requests that are open, and who waits for what comes of them.

All of them go to one inference process, whose engine runs them together. Those to a model whose bits depend on what
runs beside what go as waves of one: one after the other, each from an empty state, and told when they are whole.

At most `open_max` are open; one more is told to come again. Who goes away takes its requests along: the engine drops
them at its next step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec

from turnwise.errors import TurnwiseError
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, TextPiece
from turnwise.serving.api_error import ApiError, of_engine

OPEN_MAX_DEFAULT: Final = 256
RETRY_AFTER_S: Final = 1

Request = GenerateRequest | EmbedRequest
MakeRequest = Callable[[int], Request]
"""Makes a request, given its number."""


class Host(Protocol):
    """The part of the inference host that answers."""

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """The models by name."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Hand over requests."""

    def submit_wave(self, wave: Wave) -> None:
        """Hand over requests that run with nothing beside them."""

    def cancel(self, numbers: Iterable[int]) -> None:
        """Drop requests that are in no wave."""


class Answers:
    """Answers to requests that belong together, as they come. A context manager: leaving it drops the requests.

    Each of the requests is known by its place among them.
    """

    def __init__(self, dispatcher: Dispatcher, numbers: Sequence[int]) -> None:
        self._dispatcher = dispatcher
        self._places = {number: place for place, number in enumerate(numbers)}
        self._news: asyncio.Queue[TextPiece | GenerateReply | TurnwiseError] = asyncio.Queue()
        self._open = set(numbers)

    @property
    def places(self) -> range:
        """Places of the requests."""
        return range(len(self._places))

    async def events(self) -> AsyncIterator[tuple[int, str | dict[str, Any], tuple[dict[str, Any], ...]]]:
        """Yield (place, text, log probabilities) for pieces and (place, reply, ()) for the end of each request.

        Raises ApiError for a request that is refused, and if the inference process has given up.
        """
        while self._open:
            event = await self._news.get()
            if isinstance(event, TextPiece):
                yield self._places[event.id], event.text, event.logprobs
            elif isinstance(event, GenerateReply):
                self._open.discard(event.id)
                yield self._places[event.id], _ok(event.body), ()
            else:
                raise ApiError(503, f"the models have failed: {event.message}", kind="server_error")

    async def replies(self) -> list[dict[str, Any]]:
        """Wait for all replies; returns them in order of place. Raises ApiError."""
        found = {place: event async for place, event, _ in self.events() if isinstance(event, dict)}
        return [reply for _, reply in sorted(found.items())]

    def push(self, event: TextPiece | GenerateReply | TurnwiseError) -> None:
        """Take what has come."""
        self._news.put_nowait(event)

    def close(self) -> None:
        """Drop what is not answered. Twice is harmless."""
        self._dispatcher.drop(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Dispatcher:
    """Numbers requests, in the order in which they come, and hands out what comes of them. `host` is set before use.

    - `open_max`: requests that may be open at once
    """

    def __init__(self, open_max: int = OPEN_MAX_DEFAULT) -> None:
        self.host: Host | None = None
        self.failure: TurnwiseError | None = None
        self.failed = asyncio.Event()
        self._open_max = open_max
        self._open: dict[int, Answers] = {}
        self._waves: set[int] = set()
        self._number = 0

    def __len__(self) -> int:
        """Requests that are open."""
        return len(self._open)

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """The models by name."""
        return {} if self.host is None else self.host.models

    def ask(self, makers: Sequence[MakeRequest]) -> Answers:
        """Ask for these requests together. Raises ApiError if there are too many, or nobody can answer."""
        if self.host is None or self.failure is not None:
            raise ApiError(503, "the models have failed, and the server is about to end", kind="server_error")
        if len(makers) > self._open_max:
            raise ApiError(400, f"{len(makers)} answers are asked for, at most {self._open_max} can be open", "n")
        open_count = len(self._open.keys() | self._waves)  # waves run to their end, also if nobody waits
        if open_count + len(makers) > self._open_max:
            raise ApiError(
                429,
                f"{open_count} requests are open, and at most {self._open_max} may be: ask again later",
                code="queue_full",
                kind="rate_limit_error",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        numbers = range(self._number, self._number + len(makers))
        self._number += len(makers)
        answers = Answers(self, numbers)
        self._open.update(dict.fromkeys(numbers, answers))
        requests = [make(number) for make, number in zip(makers, numbers, strict=True)]
        alone = [request for request in requests if isinstance(request, GenerateRequest) and self._needs_wave(request)]
        self.host.submit([request for request in requests if request not in alone])
        for request in alone:
            self._waves.add(request.id)
            self.host.submit_wave(Wave(request.id, request.model, (request,)))
        return answers

    def _needs_wave(self, request: GenerateRequest) -> bool:
        """Return True for a model whose bits depend on what runs beside what: then nothing may."""
        info = self.models.get(request.model)
        return info is not None and info.numeric is not None and info.numeric.numeric_class != "batch-invariant"

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget requests; those that are open are dropped by the engine."""
        dropped = [
            number for number in numbers if self._open.pop(number, None) is not None and number not in self._waves
        ]
        if dropped and self.host is not None and self.failure is None:
            self.host.cancel(dropped)

    # -- callbacks of the host ---------------------------------------------------------------------------------------

    def on_pieces(self, pieces: Sequence[TextPiece]) -> None:
        for piece in pieces:
            if (answers := self._open.get(piece.id)) is not None:
                answers.push(piece)

    def on_replies(self, replies: Sequence[GenerateReply]) -> None:
        for reply in replies:
            if (answers := self._open.pop(reply.id, None)) is not None:
                answers.push(reply)

    def on_wave(self, wave: WaveReply) -> None:
        self._waves.discard(wave.id)
        self.on_replies(wave.replies)

    def on_failure(self, error: TurnwiseError) -> None:
        """Tell everybody who waits that the inference process has given up."""
        self.failure = error
        for answers in dict.fromkeys(self._open.values()):
            answers.push(error)
        self._open.clear()
        self.failed.set()


def _ok(body: str) -> dict[str, Any]:
    """Return what a reply says. Raises ApiError if it is a refusal."""
    reply = msgspec.json.decode(body)
    if "error" in reply:
        raise of_engine(reply["error"]["kind"], reply["error"]["message"])
    ok: dict[str, Any] = reply["ok"]
    return ok
