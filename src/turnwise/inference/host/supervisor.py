"""Supervision of the inference process: starts one, and the next when it dies or hangs.

Between the loop that reads what a process says and the host that asks it lies `Client`: the supervisor knows processes
and messages, the client knows requests.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from turnwise.errors import EnvironmentFailure, InvariantError, TurnwiseError
from turnwise.inference import protocol
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.protocol import FromProcess, Heartbeat, Load, Loaded, LoadFailed, MessageKind
from turnwise.inference.requests.tensors import Data
from turnwise.sharedmem import Child, Launch, PeerBroken, PeerGone, Transport

SERVER: Final = "turnwise.inference.server.server"
ENVIRONMENT_PASSED: Final = (
    "TURNWISE_CACHE",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_PATH",
    "CUDA_HOME",
    "VK_DRIVER_FILES",
    "VK_ICD_FILENAMES",
    "XDG_RUNTIME_DIR",
)
"""Variables that the process inherits beyond the usual: where providers find their devices."""

STDERR_LINES_MAX: Final = 5
MULTIPLICATION_NS_MAX: Final = 50
"""Time that a counted multiplication of a graph takes on a slow machine which is busy with other work."""


SendMessage = Callable[[MessageKind, Sequence[Data]], None]


class Client(Protocol):
    """The side that asks. An error that these methods raise ends the supervisor."""

    @property
    def has_work(self) -> bool:
        """True if an answer is waited for."""

    def process_loaded(self, models: Sequence[ModelInfo], send: SendMessage) -> None:
        """A process is ready and knows of nothing yet: send everything that is open. Raises TurnwiseError."""

    def process_ended(self) -> None:
        """The process is gone, with whatever it had begun."""

    def take(self, message: FromProcess) -> bool:
        """Take a message; returns whether it answers something. Raises TurnwiseError."""

    def take_tensors(self, body: bytes) -> None:
        """Take answers that are tensors."""

    def failed(self, error: TurnwiseError) -> None:
        """The supervisor has ended, after a process was ready once."""


class _InferenceProcess:
    """One process, and what is on its way to it."""

    def __init__(self, peer: Child) -> None:
        self.peer = peer
        self.outbox: asyncio.Queue[tuple[MessageKind, Sequence[Data]]] = asyncio.Queue()
        self.loaded = False
        self.failure: Exception | None = None
        self.heard_s = asyncio.get_running_loop().time()
        self.computing_s = 0.0

    async def write(self) -> None:
        """Send what is in the outbox; waits where the process is slower than we are."""
        try:
            while True:
                kind, parts = await self.outbox.get()
                await self.peer.send(kind, *parts)
        except (PeerGone, PeerBroken):
            return  # `receive` says so too, and what was not answered is sent to the next process
        except Exception as error:
            self.failure = error
            self.peer.kill()

    async def cause(self) -> str:
        """Describe how it ended, for people; ends it if it has not."""
        self.peer.kill()
        code = await self.peer.wait()
        try:
            ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        except ValueError:
            ended = f"killed by signal {-code}"
        tail = [line for line in self.peer.stderr_tail().splitlines() if line.strip()][-STDERR_LINES_MAX:]
        return "\n  ".join([ended, *tail])


class Supervisor:
    """Runs one process after the other until it is closed, or a restart would not help.

    It begins when it is made, in a running event loop. `ready` is done when the models are loaded for the first time,
    or fails with what keeps them from it; later errors go to the client.

    - `load`: the message that begins each process
    - `restarts_max`: deaths in a row, without an answer between them, that are borne
    - `deadline_s`: how long a process may say nothing while it has work; `load_deadline_s` the same while it loads
    - `launch`: starts a process
    """

    def __init__(
        self,
        load: Load,
        client: Client,
        *,
        transport: Transport,
        restarts_max: int,
        deadline_s: float,
        load_deadline_s: float,
        launch: Launch,
    ) -> None:
        self._load = load
        self._client = client
        self._transport: Transport = transport
        self._launch = launch
        self._restarts_max = restarts_max
        self._deadline_s = deadline_s
        self._load_deadline_s = load_deadline_s
        self._process: _InferenceProcess | None = None
        self._deaths = 0
        self._restarts = 0
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._run(), name="turnwise-inference")

    async def close(self) -> None:
        """End the process. Twice is harmless."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self.ready.done():
            self.ready.cancel()

    @property
    def pid(self) -> int | None:
        """The process, or None while there is none."""
        return self._process.peer.pid if self._process else None

    @property
    def restarts(self) -> int:
        return self._restarts

    def send(self, kind: MessageKind, parts: Sequence[Data]) -> None:
        """Send to the process that is there; if there is none, drop it: the next is sent all that is open then."""
        if self._process is not None and self._process.loaded:
            self._process.outbox.put_nowait((kind, parts))

    async def _run(self) -> None:
        try:
            while True:
                died = await self._run_process()
                self._restarts += 1
                self._deaths += 1
                if self._deaths > self._restarts_max:
                    raise EnvironmentFailure(
                        f"the inference process died {self._deaths} times in a row: {died}",
                        where=", ".join(f"models.{spec.name}" for spec in self._load.models),
                        expected=f"at most {self._restarts_max} restarts without a reply",
                        actual=self._deaths,
                        hint="It may need more memory than there is. The run can be resumed.",
                    )
        except TurnwiseError as error:
            self._fail(error)
        except Exception as error:
            self._fail(InvariantError(f"the supervisor of inference failed: {type(error).__name__}: {error}"))
            raise

    def _fail(self, error: TurnwiseError) -> None:
        if self.ready.done():
            self._client.failed(error)
        else:
            self.ready.set_exception(error)

    async def _run_process(self) -> str:
        """Run one process to its end; returns how it died. Raises TurnwiseErrors that a restart would not mend."""
        environment = {name: os.environ[name] for name in ENVIRONMENT_PASSED if name in os.environ}
        peer = await self._launch(SERVER, name="inference", transport=self._transport, environment=environment)
        process = self._process = _InferenceProcess(peer)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._watch(process)), loop.create_task(process.write())]
        try:
            await peer.send(MessageKind.MESSAGE, protocol.encode(self._load))
            while (message := await peer.receive()) is not None:
                with message:
                    kind, body = message.kind, bytes(message.body)
                process.heard_s = loop.time()
                self._take(process, kind, body)
            return await self._cause(process)
        except (PeerGone, PeerBroken) as error:
            return error.message if isinstance(error, PeerBroken) else await self._cause(process)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return f"it sent what cannot be read: {error}"
        finally:
            self._process = None
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._client.process_ended()
            await peer.close()

    async def _cause(self, process: _InferenceProcess) -> str:
        """Describe how a process ended. Raises the error that kept us from sending to it."""
        if process.failure is not None:
            raise process.failure
        return await process.cause()

    def _take(self, process: _InferenceProcess, kind: int, body: bytes) -> None:
        if kind == MessageKind.TENSORS:
            self._client.take_tensors(body)
            self._deaths = 0
            return
        if kind != MessageKind.MESSAGE:
            raise PeerBroken(f"a message of kind {kind}", expected=[kind.value for kind in MessageKind], actual=kind)
        message = protocol.decode_from_process(body)
        if isinstance(message, Loaded):
            process.loaded = True
            self._client.process_loaded(message.models, self.send)
            if not self.ready.done():
                self.ready.set_result(None)
        elif isinstance(message, LoadFailed):
            raise message.error()
        elif isinstance(message, Heartbeat):
            process.computing_s = message.computing * MULTIPLICATION_NS_MAX / 1e9
            self._client.take(message)
        elif self._client.take(message):
            self._deaths = 0

    async def _watch(self, process: _InferenceProcess) -> None:
        """Kill a process that has work and says nothing: it hangs, and a new one will not."""
        loop = asyncio.get_running_loop()
        while True:
            deadline_s = self._deadline_s if process.loaded else self._load_deadline_s
            if process.loaded and not self._client.has_work:
                process.heard_s = loop.time()
            elif loop.time() - process.heard_s > deadline_s + process.computing_s:
                process.peer.kill()
            await asyncio.sleep(min(deadline_s, self._deadline_s) / 4)
