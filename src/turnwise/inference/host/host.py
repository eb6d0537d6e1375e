"""The orchestrator's side of inference: one process that runs the models, and is started again when it dies.

Requests that are not answered are kept here. A process that dies, or says nothing for too long while there is work, is
replaced by a new one, which runs them again from their beginning. Since a request's chance comes from its own stream,
its bits do not depend on any of this. A wave is run again as a whole.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Final

import msgspec

from turnwise.confine import Measure
from turnwise.errors import EnvironmentFailure, InvariantError, ModelError, TurnwiseError
from turnwise.inference import protocol
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.protocol import Kind
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.requests.infer_request import InferRequest, parcel_of, reply_body
from turnwise.inference.requests.parcels import unpack
from turnwise.inference.requests.refusal import Refusal, error_body
from turnwise.inference.requests.tensors import Data
from turnwise.sharedmem import Peer, PeerBroken, PeerGone, Transport, launch

RESTARTS_MAX_DEFAULT: Final = 3
DEADLINE_MS_DEFAULT: Final = 120_000
LOAD_DEADLINE_MS_DEFAULT: Final = 900_000
STDERR_LINES_MAX: Final = 5
ENVIRONMENT_PASSED: Final = ("TURNWISE_CACHE", "CUDA_VISIBLE_DEVICES", "CUDA_PATH", "CUDA_HOME", "VK_ICD_FILENAMES")
"""What the process inherits beyond the usual: where providers find their devices."""

SERVER: Final = "turnwise.inference.server.server"


@dataclass(frozen=True, slots=True)
class HostStatistics:
    """Telemetry. Counts are of what was computed, so a request that ran twice counts twice.

    `reused_tokens` of prompts were not prefilled, since they had been before; the `steps` of decoding had `step_rows`
    sequences in all.
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


class InferenceHost:
    """Owns the inference process. An async context manager; without models there is no process.

    `on_replies` and `on_failure` are called in the event loop. After `on_failure` (an EnvironmentFailure after
    `restarts_max` deaths in a row without a reply between them, or a ModelError when a model has changed) nothing more
    comes. `deadline_ms` is how long the process may say nothing while it has work.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        *,
        on_replies: Callable[[list[GenerateReply]], None],
        on_failure: Callable[[TurnwiseError], None],
        on_wave: Callable[[WaveReply], None] | None = None,
        transport: Transport = "auto",
        options: EngineOptions | None = None,
        restarts_max: int = RESTARTS_MAX_DEFAULT,
        deadline_ms: int = DEADLINE_MS_DEFAULT,
        load_deadline_ms: int = LOAD_DEADLINE_MS_DEFAULT,
    ) -> None:
        if len({spec.name for spec in models}) != len(models):
            raise InvariantError("two models have the same name", actual=[spec.name for spec in models])
        self._specs = tuple(models)
        self._on_replies = on_replies
        self._on_failure = on_failure
        self._on_wave = on_wave
        self._transport: Transport = transport
        self._options = options or EngineOptions()
        self._restarts_max = restarts_max
        self._deadline_s = deadline_ms / 1000
        self._load_deadline_s = load_deadline_ms / 1000
        self._infos: dict[str, ModelInfo] = {}
        self._measures: tuple[Measure, ...] = ()
        self._pending: dict[int, protocol.Open] = {}
        self._waves: dict[int, Wave] = {}
        self._parts = protocol.WaveParts()
        self._supervisor: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._peer: Peer | None = None
        self._outbox: asyncio.Queue[tuple[Kind, Sequence[Data]]] | None = None
        self._heard_s = 0.0
        self._deaths = 0
        self._restarts = 0
        self._progress = protocol.Progress()
        self._before = protocol.Progress()
        self._failed = False

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """The loaded models by name, after `start`."""
        return MappingProxyType(self._infos)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What the process said it has given up; empty until it has."""
        return self._measures

    @property
    def pid(self) -> int | None:
        """The inference process, or None while there is none."""
        return self._peer.pid if self._peer else None

    def statistics(self) -> HostStatistics:
        total = self._total()
        return HostStatistics(
            tokens=total.tokens,
            prompt_tokens=total.prompt_tokens,
            running=self._progress.running,
            waiting=self._progress.waiting,
            pending=len(self._pending) + sum(len(wave.requests) for wave in self._waves.values()),
            restarts=self._restarts,
            reused_tokens=total.reused_tokens,
            steps=total.steps,
            step_rows=total.step_rows,
        )

    async def start(self) -> None:
        """Start the process and load the models; can run beside the start of other processes.

        Raises ModelError for a model that cannot be used, EnvironmentFailure if the process cannot be kept alive.
        """
        if not self._specs or self._supervisor is not None:
            return
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self._supervisor = loop.create_task(self._supervise(), name="turnwise-inference")
        try:
            await asyncio.shield(self._ready)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the process. What is not answered stays so. Twice is harmless."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.wait([supervisor])
        if self._ready is not None and not self._ready.done():
            self._ready.cancel()

    def submit(self, requests: Sequence[GenerateRequest | InferRequest | EmbedRequest]) -> None:
        """Hand over requests. Never blocks; every one is answered once, unless it is cancelled or the host fails."""
        if self._supervisor is None and self._specs:
            raise InvariantError("requests before start")
        sent: list[protocol.Open] = []
        refused: list[GenerateReply] = []
        for request in requests:
            if request.id in self._pending:
                raise InvariantError(f"request {request.id} is open already")
            try:
                if not self._specs:
                    raise Refusal("unknown", f"this world has no model {request.model!r}")
                opened = parcel_of(request) if isinstance(request, InferRequest) else request
            except Refusal as refusal:
                refused.append(GenerateReply(request.id, error_body(refusal.kind, refusal.message)))
                continue
            self._pending[request.id] = opened
            sent.append(opened)
        if refused:
            asyncio.get_running_loop().call_soon(self._on_replies, refused)
        for kind, parts in protocol.encode_requests(sent):
            self._send(kind, parts)

    def submit_wave(self, wave: Wave) -> None:
        """Hand over a wave, for a model that generates. `on_wave` is told once what came of all of it.

        A plan that is not possible here is a failure of the host: an EnvironmentFailure that says why.
        """
        if self._supervisor is None or self._on_wave is None:
            raise InvariantError("a wave before start, or nobody is told what comes of it")
        info = self._infos.get(wave.model)
        if wave.id in self._waves or info is None or info.task != "generate":
            raise InvariantError(f"wave {wave.id} is open already, or {wave.model!r} does not generate")
        self._waves[wave.id] = wave
        self._send_wave(wave)

    def cancel(self, numbers: Iterable[int]) -> None:
        """Drop requests that are in no wave: no reply of theirs comes any more."""
        dropped = [number for number in numbers if self._pending.pop(number, None) is not None]
        if dropped:
            self._send(Kind.CANCEL, [protocol.encode_numbers(dropped)])

    async def __aenter__(self) -> InferenceHost:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # The supervisor: one process after the other.

    async def _supervise(self) -> None:
        try:
            while True:
                died = await self._serve_once()
                self._restarts += 1
                self._deaths += 1
                if self._deaths > self._restarts_max:
                    raise EnvironmentFailure(
                        f"the inference process died {self._deaths} times in a row: {died}",
                        where=", ".join(f"models.{spec.name}" for spec in self._specs),
                        expected=f"at most {self._restarts_max} restarts without a reply",
                        actual=self._deaths,
                        hint="It may need more memory than there is. The run can be resumed.",
                    )
        except TurnwiseError as error:
            self._fail(error)
        except Exception as error:
            self._fail(InvariantError(f"the supervisor of inference failed: {type(error).__name__}: {error}"))
            raise

    async def _serve_once(self) -> str:
        """Run one process to its end; how it died. TurnwiseErrors that a restart would not mend are raised."""
        environment = {name: os.environ[name] for name in ENVIRONMENT_PASSED if name in os.environ}
        peer = await launch(SERVER, name="inference", transport=self._transport, environment=environment)
        self._heard_s = asyncio.get_running_loop().time()
        self._peer = peer
        self._watch()
        writer: asyncio.Task[None] | None = None
        try:
            await peer.send(Kind.LOAD, protocol.encode_load(self._specs, self._options))
            while (message := await peer.receive()) is not None:
                with message:
                    kind, data = message.kind, bytes(message.body)
                self._heard_s = asyncio.get_running_loop().time()
                if kind == Kind.CONFINED:
                    self._measures = protocol.decode_measures(data)
                elif kind == Kind.LOADED:
                    self._loaded(protocol.decode_infos(data))
                    writer = asyncio.get_running_loop().create_task(self._write(peer))
                else:
                    self._take(kind, data)
            return await _cause(peer)
        except (PeerGone, PeerBroken) as error:
            return error.message if isinstance(error, PeerBroken) else await _cause(peer)
        except msgspec.MsgspecError as error:
            return f"it sent what cannot be read: {error}"
        finally:
            self._peer = None
            self._outbox = None
            if writer is not None:
                writer.cancel()
                await asyncio.wait([writer])
            self._before, self._progress = self._total(), protocol.Progress()
            await peer.close()

    async def _write(self, peer: Peer) -> None:
        """Send what is in the outbox; waits where the process is slower than we are."""
        assert self._outbox is not None
        outbox = self._outbox
        try:
            while True:
                kind, parts = await outbox.get()
                await peer.send(kind, *parts)
        except (PeerGone, PeerBroken):
            return  # `receive` says so too, and what was not answered is sent to the next process

    def _take(self, kind: int, data: bytes) -> None:
        if kind == Kind.REPLIES:
            replies = [reply for reply in protocol.decode_replies(data) if self._pending.pop(reply.id, None)]
            self._deaths = 0
            if replies:
                self._on_replies(replies)
        elif kind == Kind.TENSORS:
            self._deaths = 0
            parcels = [parcel for parcel in unpack(data) if self._pending.pop(parcel.id, None)]
            if parcels:
                self._on_replies([GenerateReply(parcel.id, reply_body(parcel)) for parcel in parcels])
        elif kind == Kind.WAVE_REPLIES:
            self._deaths = 0
            self._take_wave(data)
        elif kind == Kind.PROGRESS:
            self._progress = protocol.decode_progress(data)
        elif kind == Kind.LOAD_FAILED:
            raise protocol.decode_error(data)
        else:
            raise PeerBroken(f"a message of kind {kind}", expected=[kind.value for kind in Kind], actual=kind)

    def _take_wave(self, data: bytes) -> None:
        reply = self._parts.reply(data)
        wave = self._waves.pop(reply.id, None) if reply is not None else None
        if reply is None or wave is None:
            return
        if reply.problem is not None:
            raise EnvironmentFailure(
                f"the batch plan of a wave cannot be issued here: {reply.problem}",
                where=f"models.{wave.model}",
                expected=reply.plan.text(),
                hint="The same bits need the same plan: use a machine like the one that made it.",
            )
        assert self._on_wave is not None
        self._on_wave(reply)

    def _loaded(self, infos: Sequence[ModelInfo]) -> None:
        """The models are there: the first time for `start`, later for what is pending."""
        assert self._ready is not None
        for info in infos:
            known = self._infos.setdefault(info.name, info)
            if known.sha256 != info.sha256:
                raise ModelError(
                    "the model's files have changed since the run began",
                    where=f"models.{info.name}",
                    expected=known.sha256,
                    actual=info.sha256,
                    hint="Put the files back and resume, or start a new run.",
                )
            if known != info:
                raise EnvironmentFailure(
                    "the model would not run as it did when the run began, so its bits could differ",
                    where=f"models.{info.name}",
                    expected=known,
                    actual=info,
                    hint=f"It began on {known.provider} and would go on on {info.provider}: see turnwise doctor.",
                )
        self._outbox = asyncio.Queue()
        for kind, parts in protocol.encode_requests(list(self._pending.values())):
            self._send(kind, parts)
        self._parts = protocol.WaveParts()
        for wave in self._waves.values():
            self._send_wave(wave)
        if not self._ready.done():
            self._ready.set_result(None)

    def _send(self, kind: Kind, parts: Sequence[Data]) -> None:
        """To the process that is there; if there is none, the next one gets what is pending then."""
        if self._outbox is not None:
            self._outbox.put_nowait((kind, parts))

    def _send_wave(self, wave: Wave) -> None:
        for part in protocol.encode_wave(wave):
            self._send(Kind.WAVE, [part])

    def _watch(self) -> None:
        """Kill a process that has work and says nothing: it hangs, and a new one will not."""
        loop = asyncio.get_running_loop()
        if self._watchdog is not None:
            self._watchdog.cancel()
        loading = self._outbox is None
        deadline_s = self._load_deadline_s if loading else self._deadline_s
        if not self._pending and not self._waves and not loading:
            self._heard_s = loop.time()
        elif self._peer is not None and loop.time() - self._heard_s > deadline_s:
            self._peer.kill()
        self._watchdog = loop.call_later(min(deadline_s, self._deadline_s) / 4, self._watch)

    def _total(self) -> protocol.Progress:
        """What this process and those before it have counted; nothing of what runs."""
        before, now = self._before, self._progress
        return protocol.Progress(
            tokens=before.tokens + now.tokens,
            prompt_tokens=before.prompt_tokens + now.prompt_tokens,
            reused_tokens=before.reused_tokens + now.reused_tokens,
            steps=before.steps + now.steps,
            step_rows=before.step_rows + now.step_rows,
        )

    def _fail(self, error: TurnwiseError) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)
        elif not self._failed:
            self._failed = True
            self._on_failure(error)


async def _cause(peer: Peer) -> str:
    """How a process ended, for people."""
    peer.kill()
    code = await peer.wait()
    try:
        ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        ended = f"killed by signal {-code}"
    tail = [line for line in peer.stderr_tail().splitlines() if line.strip()][-STDERR_LINES_MAX:]
    return "\n  ".join([ended, *tail])
