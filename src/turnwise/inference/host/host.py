"""The orchestrator's side of inference: takes requests, gives replies, whatever happens to the process between.

Requests that are not answered are kept here. A process that dies, or says nothing for too long while there is work, is
replaced by a new one (`supervisor`), which runs them again from their beginning. Since a request's chance comes from
its own stream, its bits do not depend on any of this. A wave is run again as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Final

from turnwise.confine import Measure
from turnwise.errors import InvariantError, TurnwiseError
from turnwise.inference import protocol
from turnwise.inference.host.open_requests import OpenRequests, send_wave
from turnwise.inference.host.supervisor import SendMessage, Supervisor
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.protocol import Cancel, Load, MessageKind, OpenRequest
from turnwise.inference.requests.check_request import CheckReply, CheckRequest
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, RunningText, TextPiece
from turnwise.inference.requests.infer_request import InferRequest, parcel_of
from turnwise.inference.requests.refusal import Refusal, error_body
from turnwise.inference.requests.tensors import Data
from turnwise.sharedmem import Launch, Transport, launch

RESTARTS_MAX_DEFAULT: Final = 3
DEADLINE_MS_DEFAULT: Final = 120_000
LOAD_DEADLINE_MS_DEFAULT: Final = 900_000


@dataclass(frozen=True, slots=True)
class HostStatistics:
    """Telemetry. Counts are of what was computed, so a request that ran twice counts twice.

    - `tokens`: generated
    - `prompt_tokens`: of prompts that were prefilled
    - `running`, `waiting`: requests in the process that is there
    - `pending`: requests that are not answered
    - `restarts`: processes that were replaced
    - `reused_tokens`: of prompts that were taken from the cache
    - `steps`: of decoding, and runs of other graphs
    - `step_rows`: sequences, or rows, that took part in them
    - `slots`: sequences that can run at once in the process that is there
    - `kv_bytes`: memory of the positions that running sequences have filled
    """

    tokens: int
    prompt_tokens: int
    running: int
    waiting: int
    pending: int
    restarts: int
    reused_tokens: int = 0
    steps: int = 0
    step_rows: int = 0
    slots: int = 0
    kv_bytes: int = 0


class InferenceHost:
    """Owns the inference process. An async context manager; without models there is no process.

    - `models`: loaded by `start`; their names differ
    - `on_replies`: called in the event loop with replies as they come
    - `on_failure`: called once in the event loop when the host cannot go on: an EnvironmentFailure after `restarts_max`
      deaths in a row without a reply between them, a ModelError when a model has changed. Nothing comes after it.
    - `on_wave`: called in the event loop with the answer to each wave
    - `on_pieces`: called in the event loop with text of requests that are streamed, each piece once and in order
    - `on_checks`: called in the event loop with what came of recorded answers
    - `transport`: of the messages
    - `options`: how the process uses the machine
    - `deadline_ms`: how long the process may say nothing while it has work; `load_deadline_ms`, while it loads
    - `tells_texts`: whether `texts` has what is being generated, some times a second
    - `launch`: starts a process
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        *,
        on_replies: Callable[[list[GenerateReply]], None],
        on_failure: Callable[[TurnwiseError], None],
        on_wave: Callable[[WaveReply], None] | None = None,
        on_checks: Callable[[list[CheckReply]], None] | None = None,
        on_pieces: Callable[[list[TextPiece]], None] | None = None,
        transport: Transport = "auto",
        options: EngineOptions | None = None,
        restarts_max: int = RESTARTS_MAX_DEFAULT,
        deadline_ms: int = DEADLINE_MS_DEFAULT,
        load_deadline_ms: int = LOAD_DEADLINE_MS_DEFAULT,
        tells_texts: bool = False,
        launch: Launch = launch,
    ) -> None:
        if len({spec.name for spec in models}) != len(models):
            raise InvariantError("two models have the same name", actual=[spec.name for spec in models])
        self._load = Load(list(models), options or EngineOptions(), tells_texts)
        self._takes_waves = on_wave is not None
        self._on_replies = on_replies
        self._open = OpenRequests(
            on_replies, on_failure, on_wave or _no_wave, on_checks or _no_checks, on_pieces or _no_pieces
        )
        self._transport: Transport = transport
        self._restarts_max = restarts_max
        self._deadline_s = deadline_ms / 1000
        self._load_deadline_s = load_deadline_ms / 1000
        self._launch = launch
        self._supervisor: Supervisor | None = None

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """The loaded models by name, after `start`."""
        return MappingProxyType(self._open.models)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The rights that the process said it has given up; empty until it has."""
        return self._open.measures

    @property
    def pid(self) -> int | None:
        """The inference process, or None while there is none."""
        return self._supervisor.pid if self._supervisor else None

    def statistics(self) -> HostStatistics:
        counts, now = self._open.counts, self._open.progress
        return HostStatistics(
            tokens=counts.tokens,
            prompt_tokens=counts.prompt_tokens,
            running=now.running,
            waiting=now.waiting,
            pending=len(self._open),
            restarts=self._supervisor.restarts if self._supervisor else 0,
            reused_tokens=counts.reused_tokens,
            steps=counts.steps,
            step_rows=counts.step_rows,
            slots=now.slots,
            kv_bytes=now.kv_bytes,
        )

    @property
    def texts(self) -> tuple[RunningText, ...]:
        """Ends of texts that were being generated a moment ago, where the process tells them. For display only."""
        return self._open.texts

    async def start(self) -> None:
        """Start the process and load the models; can run beside the start of other processes.

        Raises ModelError for a model that cannot be used, EnvironmentFailure if the process cannot be kept alive.
        """
        if not self._load.models or self._supervisor is not None:
            return
        self._supervisor = Supervisor(
            self._load,
            self._open,
            transport=self._transport,
            restarts_max=self._restarts_max,
            deadline_s=self._deadline_s,
            load_deadline_s=self._load_deadline_s,
            launch=self._launch,
        )
        try:
            await asyncio.shield(self._supervisor.ready)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the process. Requests that are not answered stay so. Twice is harmless."""
        if self._supervisor is not None:
            await self._supervisor.close()

    def submit(self, requests: Sequence[GenerateRequest | CheckRequest | InferRequest | EmbedRequest]) -> None:
        """Hand over requests. Never blocks; every one is answered once, unless it is cancelled or the host fails."""
        send = self._send
        sent: list[OpenRequest] = []
        refused: list[GenerateReply] = []
        for request in requests:
            if request.id in self._open:
                raise InvariantError(f"request {request.id} is open already")
            try:
                opened = self._opened(request)
            except Refusal as refusal:
                refused.append(GenerateReply(request.id, error_body(refusal.kind, refusal.message)))
                continue
            self._open.add(request.id, opened)
            sent.append(opened)
        if refused:
            asyncio.get_running_loop().call_soon(self._on_replies, refused)
        for kind, parts in protocol.request_messages(sent):
            send(kind, parts)

    def submit_wave(self, wave: Wave) -> None:
        """Hand over a wave, for a model that generates. `on_wave` is told once what came of all of it.

        A plan that is not possible here is a failure of the host: an EnvironmentFailure that says why.
        """
        send, info = self._send, self.models.get(wave.model)
        if not self._takes_waves:
            raise InvariantError(f"wave {wave.id} is submitted, and nobody is told what comes of it")
        if info is None or info.task != "generate":
            raise InvariantError(f"wave {wave.id} is for {wave.model!r}, which does not generate")
        self._open.add_wave(wave)
        send_wave(wave, send)

    def cancel(self, numbers: Iterable[int]) -> None:
        """Drop requests that are in no wave: no reply of theirs comes any more."""
        dropped = self._open.drop(numbers)
        if dropped:
            self._send(MessageKind.MESSAGE, [protocol.encode(Cancel(dropped))])

    @property
    def _send(self) -> SendMessage:
        """Sends a message to the process. A world without models has none, and sends no message."""
        if self._supervisor is not None:
            return self._supervisor.send
        if self._load.models:
            raise InvariantError("requests before start")
        return _no_process

    def _opened(self, request: GenerateRequest | CheckRequest | InferRequest | EmbedRequest) -> OpenRequest:
        """Make the request as it is sent. Raises Refusal if it can be answered without the process."""
        if not self._load.models:
            raise Refusal("unknown", f"this world has no model {request.model!r}")
        return parcel_of(request) if isinstance(request, InferRequest) else request

    async def __aenter__(self) -> InferenceHost:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _no_process(kind: MessageKind, parts: Sequence[Data]) -> None:
    raise InvariantError(f"{kind!r} in {len(parts)} parts to the process of a world without models")


def _no_wave(reply: WaveReply) -> None:
    raise InvariantError(f"an answer to wave {reply.id}, which nobody asked for")


def _no_checks(replies: list[CheckReply]) -> None:
    raise InvariantError(f"results of {len(replies)} checks that nobody asked for")


def _no_pieces(pieces: list[TextPiece]) -> None:
    raise InvariantError(f"{len(pieces)} pieces of text that nobody asked for")
