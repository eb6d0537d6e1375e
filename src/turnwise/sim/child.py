"""A child process that is simulated, with the link that leads to it: the real `Link`, over a wire that has faults."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from turnwise.sharedmem.errors import PeerGone
from turnwise.sharedmem.link import Link
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.parts import Flat
from turnwise.sharedmem.transport import MESSAGES_AHEAD_MAX
from turnwise.sharedmem.wire import Receiver

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from turnwise.sim.chance import Chance

LATENCY_S: Final = 0.0005
DELAY_S: Final = 30.0
KILLED: Final = -9
KIND_STRANGE: Final = 77


class Program(Protocol):
    """The program of a child process. An error that a method raises ends the process."""

    def take(self, kind: int, body: bytes) -> None:
        """Take a message."""

    def lack(self) -> None:
        """Report that the machine refuses it memory, as far as it has a way to."""

    def lie(self) -> None:
        """Send what an honest program would not."""


class _Wire:
    """The orchestrator's side of a transport."""

    handle = -1

    def __init__(self, child: SimulatedChild) -> None:
        self._child = child
        self.receiver: Receiver | None = None

    def child_started(self) -> None: ...
    def join(self) -> None: ...

    def start(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def put(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        return self._child.post(kind, b"".join(parts))

    def wait(self, wait_ms: int) -> None: ...
    def close(self) -> None:
        self.receiver = None
        self._child.left()


class _Channel:
    """One direction of messages: in order, unless there is a fault."""

    def __init__(self, chance: Chance, arrive: Callable[[int, bytes], None]) -> None:
        self._chance = chance
        self._arrive = arrive
        self.last_s = 0.0

    def send(self, kind: int, body: bytes) -> None:
        """Send a message, or what a fault makes of it."""
        chance = self._chance
        if chance.strikes("lose"):
            return
        if chance.strikes("garble"):
            kind, body = _garbled(chance, kind, body)
        for _ in range(2 if chance.strikes("duplicate") else 1):
            now_s = asyncio.get_running_loop().time()
            at_s = now_s + LATENCY_S * (0.5 + chance.random())
            if chance.strikes("delay"):
                at_s += DELAY_S * chance.random()
            if chance.strikes("reorder"):
                at_s += 4 * LATENCY_S * chance.random()  # and what follows need not wait for it
            else:
                at_s = self.last_s = max(at_s, self.last_s + 1e-9)
            asyncio.get_running_loop().call_at(at_s, self._arrive, kind, body)


def _garbled(chance: Chance, kind: int, body: bytes) -> tuple[int, bytes]:
    """Return a message that cannot be taken for another one: cut off, of strange bytes, or of a strange kind."""
    how = chance.below(3)
    if how == 0:
        return kind, body[: chance.below(max(1, len(body) - 1))]
    if how == 1:
        return kind, b"\xc1" + chance.bytes(chance.below(40))  # no MessagePack and no JSON begins so
    return KIND_STRANGE, body


class SimulatedChild:
    """A child process. It computes one thing after the other, and can be killed or stand still at any moment."""

    def __init__(self, chance: Chance, name: str, pid: int, program: Callable[[SimulatedChild], Program]) -> None:
        self.name = name
        self.pid = pid
        self.returncode: int | None = None
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._tail = ""
        self._waiting = 0
        self._stopped_s: float | None = None
        self._computed_s = 0.0
        self._busy_until_s = 0.0
        self._wire = _Wire(self)
        self._to = _Channel(chance, self._arrive)
        self._from = _Channel(chance, self._deliver)
        self.link = Link(self._wire, name=name, on_broken=self.kill)
        self._program = program(self)

    # -- the orchestrator's side (`turnwise.sharedmem.Child`) ----------------------------------------------------------

    def send_nowait(self, kind: int, *parts: Buffer) -> bool:
        return self.link.send_nowait(kind, *parts)

    async def send(self, kind: int, *parts: Buffer) -> None:
        await self.link.send(kind, *parts)

    async def receive(self) -> LinkMessage | None:
        return await self.link.receive()

    def receive_soon(self, wait_ms: int) -> LinkMessage | None:
        return self.link.receive_soon(wait_ms)

    def stderr_tail(self) -> str:
        return self._tail

    def kill(self) -> None:
        self.exit(KILLED)

    async def wait(self) -> int:
        return await asyncio.shield(self._exit)

    async def close(self, grace_ms: int = 1_000) -> None:
        self.link.close()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_ms / 1000):
                    await self.wait()
        finally:
            self.kill()
        await self.wait()

    # -- the wire ----------------------------------------------------------------------------------------------------

    def post(self, kind: int, body: bytes) -> bool:
        """Send a message to the process. False: it has too many that it has not taken."""
        if self.returncode is not None and self._chance.below(2):
            raise PeerGone("the process is gone")
        if self._waiting >= MESSAGES_AHEAD_MAX:
            return False
        self._waiting += 1
        self._loop.call_later(LATENCY_S, self._room)
        self._to.send(kind, body)
        return True

    def _room(self) -> None:
        if self._stopped_s is None:
            self._waiting -= 1
            if self._wire.receiver is not None:
                self._wire.receiver.on_room()

    def left(self) -> None:
        """The orchestrator has closed the link: the process ends by itself, unless it stands still."""
        self._loop.call_later(LATENCY_S, self._leave)

    def _leave(self) -> None:
        if self._stopped_s is None:
            self.exit(0)

    def _deliver(self, kind: int, body: bytes) -> None:
        if self._wire.receiver is not None:
            self._wire.receiver.on_message(LinkMessage(kind, memoryview(body), self, 0))

    def release(self, slot: int) -> None:
        """Take back the memory of a message."""

    def _end_of_file(self) -> None:
        if self._wire.receiver is not None:
            self._wire.receiver.on_end()

    # -- the process's side ------------------------------------------------------------------------------------------

    @property
    def moves(self) -> bool:
        """True if the process lives and does not stand still."""
        return self.returncode is None and self._stopped_s is None

    @property
    def processor_s(self) -> float:
        """Processor time that it has used."""
        now_s = self._loop.time() if self._stopped_s is None else self._stopped_s
        return self._computed_s - max(0.0, self._busy_until_s - now_s)

    def write(self, kind: int, body: bytes) -> None:
        """Send a message to the orchestrator."""
        if self.moves:
            self._from.send(kind, body)

    def compute(self, seconds: float, then: Callable[[], None]) -> None:
        """Compute for a time, after what it computes already, and then do something."""
        self._computed_s += seconds
        self._busy_until_s = max(self._loop.time(), self._busy_until_s) + seconds
        self._loop.call_at(self._busy_until_s, self._do, then)

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        """Do something after a time."""
        self._loop.call_later(seconds, self._do, then)

    def exit(self, returncode: int, tail: str = "") -> None:
        """End. What was sent before still arrives, and then the end of file."""
        if self.returncode is not None:
            return
        self.returncode, self._tail = returncode, tail
        self._loop.call_at(max(self._loop.time(), self._from.last_s) + LATENCY_S, self._end_of_file)
        self._exit.set_result(returncode)

    def _do(self, then: Callable[[], None]) -> None:
        if not self.moves:
            return
        try:
            then()
        except Exception:
            self.exit(1, traceback.format_exc())

    def _arrive(self, kind: int, body: bytes) -> None:
        chance = self._chance
        if not self.moves:
            return
        if chance.strikes("kill"):
            self._loop.call_later(0.05 * chance.random(), self.kill)
        if chance.strikes("hang"):
            self._stopped_s = self._loop.time()
            return
        if chance.strikes("lack"):
            self._do(self._program.lack)
        if chance.strikes("lie"):
            self._do(self._program.lie)
        self._do(lambda: self._program.take(kind, body))
