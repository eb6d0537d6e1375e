"""A child process and its link: one owner, which closes both."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal

from turnwise.errors import UsageError
from turnwise.sharedmem.connect import endpoint_spec
from turnwise.sharedmem.link import Link
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.process import Process, child_environment, start_failure
from turnwise.sharedmem.transport import GEOMETRY_DEFAULT, Geometry, Transport, resolve
from turnwise.sharedmem.wire import LoopWire

if TYPE_CHECKING:
    from typing_extensions import Buffer

GRACE_MS_DEFAULT: Final = 1_000


class Peer:
    """A child process with which messages are exchanged. An async context manager; `launch` makes it.

    A child that breaks the rules of the transport is killed at once, and `receive` raises PeerBroken.
    """

    def __init__(self, name: str, process: Process, wire: LoopWire) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._wire = wire
        self._exit: asyncio.Future[int] | None = None
        self._waiter: threading.Thread | None = None
        self.link = Link(wire, name=name, on_broken=self.kill)

    def send_nowait(self, kind: int, *parts: Buffer) -> bool:
        """Call `Link.send_nowait`."""
        return self.link.send_nowait(kind, *parts)

    async def send(self, kind: int, *parts: Buffer) -> None:
        """Call `Link.send`."""
        await self.link.send(kind, *parts)

    async def receive(self) -> LinkMessage | None:
        """Call `Link.receive`."""
        return await self.link.receive()

    def receive_soon(self, wait_ms: int) -> LinkMessage | None:
        """Call `Link.receive_soon`."""
        return self.link.receive_soon(wait_ms)

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while the process runs."""
        return self._process.poll()

    def stderr_tail(self) -> str:
        """Return the end of what the process wrote to standard error."""
        return self._process.stderr_tail()

    def kill(self) -> None:
        """End the process at once. `receive` then gives what was sent before, and None."""
        self._process.kill()

    async def wait(self) -> int:
        """Wait until the process has ended; its exit code."""
        if self._exit is None or self._exit.cancelled():
            self._exit = self._start_waiting()
        return await asyncio.shield(self._exit)

    def _start_waiting(self) -> asyncio.Future[int]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def finish(returncode: int) -> None:
            if not future.done():
                future.set_result(returncode)

        def wait() -> None:
            returncode = self._process.wait()
            with contextlib.suppress(RuntimeError):  # the loop has been closed; the process is reaped all the same
                loop.call_soon_threadsafe(finish, returncode)

        self._waiter = threading.Thread(target=wait, name=f"turnwise-wait-{self.name}", daemon=True)
        self._waiter.start()
        return future

    async def close(self, grace_ms: int = GRACE_MS_DEFAULT) -> None:
        """Close the link, which tells the child to end; kill it after `grace_ms`. Twice is harmless.

        On return the process is gone and reaped, and the memory unmapped (where no message is held).
        """
        self.link.close()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_ms / 1000):
                    await self.wait()
        finally:
            self.kill()
        await self.wait()
        if self._waiter is not None:
            self._waiter.join()
        self._wire.join()

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def launch(
    module: str,
    *,
    name: str,
    transport: Transport = "auto",
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Peer:
    """Start `python -m module` as a child whose `main` calls `connect(sys.argv)`.

    Does not wait for the child: one that cannot start shows as end of file, with the reason in `stderr_tail`.
    `environment` adds to the few variables that a child inherits.
    EnvironmentFailure: there was no memory, descriptor or process for it.
    """
    loop = asyncio.get_running_loop()
    kind = resolve(transport)
    try:
        wire = make_wire(kind, loop)
        try:
            spec = endpoint_spec(kind, wire.handle)
            command = [sys.executable, "-P", "-m", module, spec, *arguments]
            process = Process(command, handle=wire.handle, environment=child_environment(environment))
        except BaseException:
            wire.close()
            raise
    except OSError as error:
        raise start_failure("the process could not be started", error, where=name) from error
    wire.child_started()
    return Peer(name, process, wire)


def make_wire(
    kind: Literal["memfd", "portable"], loop: asyncio.AbstractEventLoop, geometry: Geometry = GEOMETRY_DEFAULT
) -> LoopWire:
    """Return a wire of a transport; `geometry` is that of each direction, where there are slots."""
    if kind == "portable":
        from turnwise.sharedmem.pipe import PipeLoopWire

        return PipeLoopWire(loop)
    if sys.platform == "linux":
        from turnwise.sharedmem.memfd import MemfdLoopWire

        return MemfdLoopWire(loop, geometry)
    raise UsageError("the memfd transport exists on Linux only", actual=sys.platform, hint='Use transport "auto".')
