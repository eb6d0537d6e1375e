"""The Linux transport: sealed memfd arenas, passed over an AF_UNIX SOCK_SEQPACKET socket that also carries the packets.

Nothing has a name, so nothing can be left over: when the last of the two processes is gone, whatever way, the kernel
frees the memory. The seals hold even against code that has broken out of its sandbox in the child: neither side can
resize an arena (which would make the other's access a bus error), and what the orchestrator writes can be mapped by the
child for reading only.
"""

from __future__ import annotations

import array
import contextlib
import mmap
import os
import select
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from turnwise.sharedmem import descriptor
from turnwise.sharedmem.arena import Arena, pack_geometry, unpack_geometry
from turnwise.sharedmem.errors import PeerBroken
from turnwise.sharedmem.transport import Geometry

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

assert sys.platform == "linux", "this module is imported on Linux only"

import fcntl  # noqa: E402 - does not exist everywhere

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
F_SEAL_FUTURE_WRITE: Final = 0x10  # not in `fcntl` before Python 3.13
MFD_NOEXEC_SEAL: Final = 0x8  # Linux 6.3; not in `os`
READS_MAX: Final = 64
"""Packets taken in one callback of the loop, so that one peer cannot keep the loop for itself."""
SOCKET_BUFFER_BYTES: Final = 256 * 1024
"""Room for all that an honest peer can leave unread: SLOTS_MAX messages and as many releases, 768 bytes each."""
_DESCRIPTOR_ROOM: Final = descriptor.BYTES + 1
"""One byte more than a packet may have, so that a longer one is seen."""
_FD_BYTES: Final = array.array("i").itemsize


def create_memfd(geometry: Geometry) -> int:
    """A memory file of the arena's size, not yet sealed. Sparse: pages that are never touched do not exist."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("turnwise", flags | MFD_NOEXEC_SEAL)
    except OSError:
        fd = os.memfd_create("turnwise", flags)
    try:
        os.ftruncate(fd, geometry.arena_bytes)
    except OSError:
        os.close(fd)
        raise
    return fd


def map_arena(fd: int, geometry: Geometry, *, writable: bool, punch: Callable[[int, int], None] | None = None) -> Arena:
    """Map an arena; `fd` can be closed afterwards."""
    protection = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
    mapping = mmap.mmap(fd, geometry.arena_bytes, flags=mmap.MAP_SHARED, prot=protection)
    return Arena(memoryview(mapping), geometry, partial(_unmap, mapping), punch)


def _unmap(mapping: mmap.mmap) -> None:
    # Somebody kept a slice of a message beyond its release: the mapping lives as long as that does.
    with contextlib.suppress(BufferError):
        mapping.close()


def seal(fd: int, *, future_write: bool) -> None:
    """Fix the size for ever; with `future_write` also refuse every new way to write, mappings that exist excepted."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS | (F_SEAL_FUTURE_WRITE if future_write else 0))


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give pages back to the system; both sides read zeros there afterwards."""
    # MADV_REMOVE wants a writable mapping, which ours on purpose is not; this one lives for the call. Where there is no
    # room for it (a process out of file descriptors), the pages stay, and the next long message tries again.
    with contextlib.suppress(OSError), mmap.mmap(fd, length, flags=mmap.MAP_SHARED, offset=offset) as mapping:
        mapping.madvise(mmap.MADV_REMOVE)


class MemfdLoopWire:
    """The orchestrator's end: it makes, sizes and seals the arenas, and sends them before anything else."""

    def __init__(self, loop: AbstractEventLoop, outgoing: Geometry, incoming: Geometry) -> None:
        self._loop = loop
        self._geometry = outgoing
        self._incoming_fd: int | None = None
        self._on_packet: Callable[[bytes], None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._socket, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.child_socket: socket.socket | None = child
        try:
            self._socket.setblocking(False)
            for end in (self._socket, child):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            self.outgoing = self._make_outgoing(announced=False)
            self.incoming = self._make_incoming(incoming)
        except BaseException:
            self.close()
            raise

    def _make_outgoing(self, *, announced: bool) -> Arena:
        fd = create_memfd(self._geometry)
        try:
            arena = map_arena(fd, self._geometry, writable=True)
            seal(fd, future_write=True)
            if announced:
                self._socket.send(pack_geometry(self._geometry))
            self._send_arena(fd, self._geometry)
        finally:
            os.close(fd)
        return arena

    def _make_incoming(self, geometry: Geometry) -> Arena:
        fd = self._incoming_fd = create_memfd(geometry)
        seal(fd, future_write=False)
        arena = map_arena(fd, geometry, writable=False, punch=partial(punch_hole, fd))
        self._send_arena(fd, geometry)
        return arena

    def _send_arena(self, fd: int, geometry: Geometry) -> None:
        packet = pack_geometry(geometry)
        self._socket.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])

    @property
    def handle(self) -> int:
        """What the child inherits."""
        assert self.child_socket is not None
        return self.child_socket.fileno()

    def child_started(self) -> None:
        """The child has its end: close ours of it, so that its death is an end of file."""
        if self.child_socket is not None:
            self.child_socket.close()
            self.child_socket = None

    def start(self, on_packet: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_packet = on_packet
        self._on_end = on_end
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        receive = self._socket.recv
        for _ in range(READS_MAX):
            if self._on_packet is None or self._on_end is None:
                return
            try:
                packet = receive(_DESCRIPTOR_ROOM)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._loop.remove_reader(self._socket)
                self._on_end()
                return
            self._on_packet(packet)

    def send(self, packet: bytes) -> None:
        self._socket.send(packet)

    def send_new_arena(self) -> Arena:
        return self._make_outgoing(announced=True)

    def on_attached(self) -> None:
        """Nothing has a name that could go."""

    def join(self) -> None:
        """There are no threads to wait for."""

    def close(self) -> None:
        self.child_started()
        self._on_packet = self._on_end = None
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        if self._incoming_fd is not None:
            os.close(self._incoming_fd)
            self._incoming_fd = None


class MemfdBlockingWire:
    """The child's end."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._socket.setblocking(True)
        self._poller = select.poll()
        self._poller.register(self._socket, select.POLLIN)
        self.incoming = self._receive_fd(writable=False)
        self.outgoing = self._receive_fd(writable=True)

    def send(self, packet: bytes) -> None:
        self._socket.send(packet)

    def receive(self) -> bytes:
        try:
            return self._socket.recv(_DESCRIPTOR_ROOM)
        except ConnectionResetError:
            return b""

    def poll(self) -> bool:
        return bool(self._poller.poll(0))

    def receive_arena(self, announcement: bytes) -> Arena:
        del announcement  # the packet with the file descriptor says the same
        return self._receive_fd(writable=False)

    def _receive_fd(self, *, writable: bool) -> Arena:
        packet, ancillary, _, _ = self._socket.recvmsg(
            _DESCRIPTOR_ROOM, socket.CMSG_SPACE(_FD_BYTES), socket.MSG_CMSG_CLOEXEC
        )
        fds = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % _FD_BYTES])
        if not packet:
            raise EOFError("the orchestrator is gone")
        if len(fds) != 1:
            raise PeerBroken("no memory came with the announcement of an arena", expected=1, actual=len(fds))
        try:
            return map_arena(fds[0], unpack_geometry(packet), writable=writable)
        finally:
            os.close(fds[0])

    def close(self) -> None:
        self._socket.close()
