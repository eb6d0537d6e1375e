"""The orchestrator's side of models behind a URL: hands requests to their process, and replies back.

Requests wait here while an endpoint has as many as it may have. A process that dies, or says nothing of a request for
longer than that may take, is replaced; the requests that it had are answered as `unavailable`, since nobody knows what
an endpoint has done with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from turnwise.errors import EnvironmentFailure, InvariantError, TurnwiseError, UsageError
from turnwise.inference.endpoints.messages import (
    FROM_PROCESS,
    LENGTH,
    MESSAGE_BYTES_MAX,
    Ask,
    Begin,
    Drop,
    KeyedEndpoint,
    Ready,
    Told,
    ToProcess,
    framed,
)
from turnwise.inference.plans.endpoint_spec import EndpointSpec
from turnwise.inference.plans.model_info import ModelInfo, Numeric
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.requests.refusal import error_body
from turnwise.sharedmem.process import child_environment

PROCESS: Final = "turnwise.inference.endpoints.process"
DEATHS_MAX: Final = 3
"""Processes that may die one after the other without an answer between them."""
GRACE_S: Final = 10.0
"""Time beyond `seconds_max` after which a process that says nothing of a request is replaced."""
START_S_MAX: Final = 60.0
"""Time in which a process has to be ready."""
END_S_MAX: Final = 2.0
"""Time in which it has to end, once nobody asks it any more."""
ENVIRONMENT_PASSED: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that it inherits beyond the usual: where the certificates of authorities are that it trusts."""
_LOOK_S: Final = 0.5


class EndpointHost:
    """Owns the process that asks endpoints, which begins with the first request. Closes twice without harm."""

    def __init__(
        self,
        specs: Sequence[EndpointSpec],
        *,
        on_replies: Callable[[list[GenerateReply]], None],
        on_failure: Callable[[TurnwiseError], None],
    ) -> None:
        """`on_replies` is called in the event loop with replies, `on_failure` once when nothing can be asked any more.

        Raises UsageError if keys that `specs` refer to are not there, or if what speaks HTTP is not installed.
        """
        if importlib.util.find_spec("httpx") is None:
            raise UsageError(
                "models behind a URL cannot be asked (httpx is missing)",
                where=", ".join(f"models.{spec.name}" for spec in specs),
                hint='Install it: pip install "turnwise[endpoints]"',
            )
        self._specs = {spec.name: spec for spec in specs}
        self._endpoints = [_endpoint(spec) for spec in specs]
        self._on_replies = on_replies
        self._on_failure = on_failure
        self._waiting: dict[str, deque[Ask]] = {name: deque() for name in self._specs}
        self._asked: dict[int, tuple[str, float]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._is_ready = False
        self._task: asyncio.Task[None] | None = None
        self._deaths = 0
        self._is_closed = False
        self.restarts = 0
        self.tokens = 0

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """The models by name, with what is known of them."""
        return MappingProxyType({name: info_of(spec) for name, spec in self._specs.items()})

    @property
    def pending(self) -> int:
        """Requests that are not answered."""
        return len(self._asked) + sum(map(len, self._waiting.values()))

    def submit(self, requests: Sequence[GenerateRequest | EmbedRequest]) -> None:
        """Hand over requests. Never blocks; every one is answered once, unless it is cancelled or all fails."""
        for request in requests:
            kind = "generate" if isinstance(request, GenerateRequest) else "embed"
            task = self._specs[request.model].task
            if task != kind:
                message = f"the model {request.model!r} is there to {task}, and does not {kind}"
                self.refuse([GenerateReply(request.id, error_body("refused", message))])
                continue
            stream = request.stream if isinstance(request, GenerateRequest) else b""
            seed = int.from_bytes(stream[:4], "little") & 0x7FFF_FFFF
            self._waiting[request.model].append(Ask(request.id, request.model, kind, request.body, seed))
        if self._task is None and not self._is_closed and self.pending:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="turnwise-endpoints")
        self._send_waiting()

    def refuse(self, replies: list[GenerateReply]) -> None:
        """Answer requests that are not asked, in the event loop as all others."""
        asyncio.get_running_loop().call_soon(self._on_replies, replies)

    def cancel(self, numbers: Iterable[int]) -> None:
        """Drop requests: no reply of theirs comes any more."""
        dropped = set(numbers)
        for name, waiting in self._waiting.items():
            self._waiting[name] = deque(ask for ask in waiting if ask.id not in dropped)
        asked = [number for number in dropped if self._asked.pop(number, None) is not None]
        if asked:
            self._send(Drop(asked))
        self._send_waiting()

    async def close(self) -> None:
        """End the process. Requests that are not answered stay so."""
        self._is_closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # -- the process -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Run one process after the other, until it is closed or they die too often."""
        try:
            while True:
                why = await self._run_process()
                self.restarts += 1
                self._deaths += 1
                asked, self._asked = sorted(self._asked), {}
                message = "the process that asks the endpoint has ended before the answer was there"
                self._on_replies([GenerateReply(number, error_body("unavailable", message)) for number in asked])
                if self._deaths > DEATHS_MAX:
                    raise EnvironmentFailure(
                        f"the process that asks endpoints has ended {self._deaths} times in a row: {why}",
                        where=", ".join(f"models.{name}" for name in self._specs),
                        expected=f"at most {DEATHS_MAX} ends without an answer",
                        actual=self._deaths,
                        hint="It may need more memory than there is. The run can be resumed.",
                    )
        except TurnwiseError as error:
            self._on_failure(error)
        except Exception as error:
            self._on_failure(InvariantError(f"asking endpoints failed: {type(error).__name__}: {error}"))
            raise

    async def _run_process(self) -> str:
        """Run a process to its end; return how it ended."""
        environment = {name: os.environ[name] for name in ENVIRONMENT_PASSED if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                PROCESS,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=child_environment(environment),
                start_new_session=sys.platform != "win32",
            )
        except OSError as error:
            raise EnvironmentFailure(
                f"the process that asks endpoints cannot be started: {error.strerror}",
                hint="Free memory, processes or open files.",
            ) from error
        watch = asyncio.get_running_loop().create_task(self._watch(process))
        self._process = process
        try:
            self._write(Begin(self._endpoints))
            return await self._read(process)
        finally:
            self._process, self._is_ready = None, False
            watch.cancel()
            await _ended(process)

    async def _read(self, process: asyncio.subprocess.Process) -> str:
        """Take messages until there are no more; return why."""
        if process.stdout is None:
            raise InvariantError("a process was started without a pipe for its standard output")
        try:
            while True:
                (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
                if length > MESSAGE_BYTES_MAX:
                    return f"it sent a message of {length:,} bytes"
                message = FROM_PROCESS.decode(await process.stdout.readexactly(length))
                if isinstance(message, Ready):
                    self._is_ready = True
                else:
                    self._take(message)
                self._send_waiting()
        except asyncio.IncompleteReadError:
            return "it has ended"
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return f"it sent what cannot be read: {error}"

    def _take(self, message: Told) -> None:
        if self._asked.pop(message.id, None) is not None:
            self._deaths = 0
            self.tokens += message.text_tokens
            self._on_replies([GenerateReply(message.id, message.body)])

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Kill a process that is not ready in time, or says nothing of a request for too long."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        while True:
            await asyncio.sleep(_LOOK_S)
            now_s = loop.time()
            late = any(now_s > deadline_s for _, deadline_s in self._asked.values())
            if late or (not self._is_ready and now_s - begun_s > START_S_MAX):
                with contextlib.suppress(ProcessLookupError):
                    process.kill()

    def _send_waiting(self) -> None:
        """Send the requests that their endpoints may have now."""
        if not self._is_ready:
            return
        at_once = dict.fromkeys(self._specs, 0)
        for name, _ in self._asked.values():
            at_once[name] += 1
        now_s = asyncio.get_running_loop().time()
        for name, waiting in self._waiting.items():
            spec = self._specs[name]
            while waiting and at_once[name] < spec.requests_at_once:
                ask = waiting.popleft()
                at_once[name] += 1
                self._asked[ask.id] = name, now_s + spec.seconds_max + GRACE_S
                self._send(ask)

    def _send(self, message: ToProcess) -> None:
        if self._is_ready:
            self._write(message)

    def _write(self, message: ToProcess) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(ConnectionError, RuntimeError):  # it is gone, which its output says, too
                self._process.stdin.write(framed(message))


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End a process: in order, or by force."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), END_S_MAX)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _endpoint(spec: EndpointSpec) -> KeyedEndpoint:
    """Return an endpoint with its key. Raises UsageError if the key is not there."""
    key = None
    if spec.key is not None:
        name = spec.key.removeprefix("env:")
        key = os.environ.get(name)
        if not key or not key.isascii() or not key.isprintable():
            raise UsageError(
                f"the key of the model {spec.name} is not there" if not key else "the key is no text of a key",
                where=f"models.{spec.name}.key",
                expected=f"the variable {name} of the environment",
                hint=f"Set it for this command: {name}=… turnwise …",
            )
    return KeyedEndpoint(spec.name, spec.url, spec.model, key, spec.seconds_max, spec.reply_bytes_max)


def info_of(spec: EndpointSpec) -> ModelInfo:
    """Return what is known of a model behind a URL: of its bits, nothing."""
    numeric = Numeric("none", "endpoint", chunked=False, checks={}, attention="unknown", weights="unknown")
    return ModelInfo(
        name=spec.name,
        sha256=spec.sha256,
        provider_asked="endpoint",
        provider=ENDPOINT,
        providers=(),
        nodes={},
        fallback=None,
        form="unknown",
        context_length=0,
        vocabulary_size=0,
        kv_bytes_per_token=0,
        threads=0,
        versions={},
        numeric=numeric,
        task=spec.task,
    )


ENDPOINT: Final = "endpoint"
"""Provider of a model that is behind a URL."""
