"""How long a process may be silent, in virtual time: as long as what it computes may take, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from turnwise.errors import EnvironmentFailure, InvariantError, TurnwiseError
from turnwise.inference.host.supervisor import MULTIPLICATION_NS_MAX, SendMessage, Supervisor
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.protocol import FromProcess, Heartbeat, Load, Loaded, MessageKind, encode
from turnwise.sharedmem import LinkMessage
from turnwise.sim.virtual_time import VirtualLoop

DEADLINE_S = 120.0
TRILLION = 1_000_000_000_000


class Process:
    """A process that is loaded, says what it is told to say, and then nothing until it is killed."""

    pid = 1
    returncode = None

    def __init__(self, says: Sequence[FromProcess]) -> None:
        self._says = [Loaded([]), *says]
        self._killed = asyncio.Event()
        self.killed_s: float | None = None

    def release(self, slot: int) -> None:
        """Take the memory of a message back, of which there is none."""

    async def send(self, kind: int, *parts: Any) -> None: ...

    def send_nowait(self, kind: int, *parts: Any) -> bool:
        raise AssertionError("not used here")

    async def receive(self) -> LinkMessage | None:
        if self._says:
            return LinkMessage(MessageKind.MESSAGE, memoryview(encode(self._says.pop(0))), self, 0)
        await self._killed.wait()
        return None

    def kill(self) -> None:
        if self.killed_s is None:
            self.killed_s = asyncio.get_running_loop().time()
        self._killed.set()

    async def wait(self) -> int:
        return -9

    def stderr_tail(self) -> str:
        return ""

    async def close(self, grace_ms: int = 0) -> None: ...


class Client:
    """Somebody who waits for an answer."""

    has_work = True

    def __init__(self) -> None:
        self.taken: list[FromProcess] = []
        self.error: asyncio.Future[TurnwiseError] = asyncio.get_running_loop().create_future()

    def process_loaded(self, models: Sequence[ModelInfo], send: SendMessage) -> None: ...

    def process_ended(self) -> None: ...

    def take(self, message: FromProcess) -> bool:
        self.taken.append(message)
        return False

    def take_tensors(self, body: bytes) -> None:
        raise AssertionError("not used here")

    def failed(self, error: TurnwiseError) -> None:
        self.error.set_result(error)


def supervised(process: Process, client: Client, *, restarts_max: int) -> Supervisor:
    """A supervisor whose process is this one, however often it starts one."""

    async def launch(
        module: str, *, name: str, transport: object = None, environment: Mapping[str, str] | None = None
    ) -> Process:
        return process

    return Supervisor(
        Load([], EngineOptions()),
        client,
        transport="auto",
        restarts_max=restarts_max,
        deadline_s=DEADLINE_S,
        load_deadline_s=900.0,
        launch=launch,
    )


def killed_s(*says: FromProcess) -> float:
    """Return when a process that says this and is silent then is killed, in virtual time."""

    async def main() -> float:
        process = Process(says)
        client = Client()

        supervisor = supervised(process, client, restarts_max=0)
        error = await client.error
        assert isinstance(error, EnvironmentFailure)
        assert client.taken == list(says)
        await supervisor.close()
        assert process.killed_s is not None
        return process.killed_s

    return VirtualLoop(Random(1)).run(main())


def test_a_process_that_is_silent_is_killed() -> None:
    assert DEADLINE_S < killed_s() <= 1.5 * DEADLINE_S
    assert DEADLINE_S < killed_s(Heartbeat(running=1)) <= 1.5 * DEADLINE_S


@pytest.mark.parametrize("multiplications", [TRILLION // 1000, TRILLION])
def test_one_that_computes_is_silent_for_as_long_as_that_may_take(multiplications: int) -> None:
    allowed_s = DEADLINE_S + multiplications * MULTIPLICATION_NS_MAX / 1e9
    assert allowed_s < killed_s(Heartbeat(computing=multiplications)) <= allowed_s + DEADLINE_S / 2


def test_what_it_has_computed_counts_no_more() -> None:
    assert killed_s(Heartbeat(computing=TRILLION), Heartbeat()) <= 1.5 * DEADLINE_S


@pytest.mark.parametrize("error", [EnvironmentFailure("no memory for a message"), RuntimeError("a fault of ours")])
def test_an_error_of_what_writes_to_the_process_ends_the_supervisor_with_it(error: Exception) -> None:
    """Whoever waits for an answer would wait for ever: the process is well, and nobody has asked it anything."""

    class Refuses(Process):
        sent = 0

        async def send(self, kind: int, *parts: Any) -> None:
            self.sent += 1
            if self.sent > 1:  # the first loads the models
                raise error

    class Asks(Client):
        def process_loaded(self, models: Sequence[ModelInfo], send: SendMessage) -> None:
            send(MessageKind.MESSAGE, [b"a request"])

    async def main() -> TurnwiseError:
        process, client = Refuses([]), Asks()

        supervisor = supervised(process, client, restarts_max=3)
        told = await client.error
        assert process.killed_s is not None
        await asyncio.gather(supervisor._task, return_exceptions=True)
        await supervisor.close()
        return told

    told = VirtualLoop(Random(1)).run(main())
    assert told is error or (isinstance(told, InvariantError) and "RuntimeError: a fault of ours" in told.message)
