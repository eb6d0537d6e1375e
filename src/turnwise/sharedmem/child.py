"""The interface between a child process and what supervises it, and of what starts one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Child(Protocol):
    """A child process with which messages are exchanged. `Peer` is the real one, and says what each method does."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def send_nowait(self, kind: int, *parts: Buffer) -> bool: ...
    async def send(self, kind: int, *parts: Buffer) -> None: ...
    async def receive(self) -> LinkMessage | None: ...
    def stderr_tail(self) -> str: ...
    def kill(self) -> None: ...
    async def wait(self) -> int: ...
    async def close(self, grace_ms: int = ...) -> None: ...


class Launch(Protocol):
    """Starts a child process that runs a module: `launch`, or what stands in its place."""

    async def __call__(
        self, module: str, *, name: str, transport: Transport = ..., environment: Mapping[str, str] | None = ...
    ) -> Child:
        """Start `python -m module`. EnvironmentFailure: there was no memory, descriptor or process for it."""
        ...
