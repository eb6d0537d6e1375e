"""The Linux transport: sealed memory in slots, passed over an AF_UNIX SOCK_SEQPACKET socket, which carries the packets.

The seals hold even against code that has broken out of its sandbox in the child: neither side can resize an arena, what
the orchestrator writes can be mapped by the child for reading only, and a message in a file of its own cannot be
changed by anybody. A child is given file descriptors and never sends one.
"""

from __future__ import annotations

import array
import mmap
import os
import select
import socket
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from turnwise.sharedmem import memory_file, packet
from turnwise.sharedmem.errors import NoMemory, PeerBroken, PeerGone
from turnwise.sharedmem.exchange import Exchange, Notice
from turnwise.sharedmem.memory_file import F_SEAL_FUTURE_WRITE, F_SEAL_SEAL, SIZE_SEALS, create, map_file, seal, unmap
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.parts import Flat
from turnwise.sharedmem.transport import GEOMETRY_DEFAULT, Geometry
from turnwise.sharedmem.wire import Receiver

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

READS_MAX: Final = 64
"""Packets taken in one callback of the loop, so that one peer cannot keep the loop for itself."""
SOCKET_BUFFER_BYTES: Final = 256 * 1024
"""Room for all that an honest peer can leave unread: SLOTS_MAX messages and as many releases, 768 bytes each."""
ARENA_SEALS: Final = SIZE_SEALS | F_SEAL_SEAL
_ROOM: Final = packet.BYTES + 1
"""One byte more than a packet may have, so that a longer one is seen."""


@cache
def machine_memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class MemfdLoopWire:
    """The orchestrator's end: it makes, sizes and seals all memory, and sends the arenas before anything else."""

    def __init__(self, loop: AbstractEventLoop, geometry: Geometry = GEOMETRY_DEFAULT) -> None:
        self._loop = loop
        self._slot_bytes = geometry.slot_bytes
        self._receiver: Receiver | None = None
        self._granted: dict[int, tuple[int, int]] = {}
        self._refused = False
        self._mappings: list[mmap.mmap] = []
        self._socket, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.child_socket: socket.socket | None = child
        try:
            self._socket.setblocking(False)
            self._poller = select.poll()
            self._poller.register(self._socket, select.POLLIN)
            for end in (self._socket, child):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            outgoing, incoming = self._make_arenas(geometry)
            self.exchange = Exchange(outgoing, incoming, geometry, self._tell)
        except BaseException:
            self.close()
            raise

    def _make_arenas(self, geometry: Geometry) -> tuple[memoryview, memoryview]:
        """Make both arenas, and send them to the child."""
        fds: list[int] = []
        try:
            for outgoing in (True, False):
                fd = create(geometry.arena_bytes)
                fds.append(fd)
                if not outgoing:
                    seal(fd, ARENA_SEALS)
                self._mappings.append(map_file(fd, geometry.arena_bytes, writable=outgoing))
                if outgoing:  # only now, since this seal would refuse our own mapping as well
                    seal(fd, ARENA_SEALS | F_SEAL_FUTURE_WRITE)
            self._send_with(packet.pack(packet.ARENAS, slot=geometry.slots, length=geometry.slot_bytes), fds)
        finally:
            for fd in fds:
                os.close(fd)
        ours, theirs = self._mappings
        return memoryview(ours), memoryview(theirs)

    def _send_with(self, data: bytes, fds: Sequence[int]) -> None:
        self._socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])

    @property
    def handle(self) -> int:
        """The file descriptor that the child inherits."""
        if self.child_socket is None:
            raise ValueError("the child has been started")
        return self.child_socket.fileno()

    def child_started(self) -> None:
        """Close our copy of the child's end."""
        if self.child_socket is not None:
            self.child_socket.close()
            self.child_socket = None

    def start(self, receiver: Receiver) -> None:
        """Begin to receive."""
        self._receiver = receiver
        self._loop.add_reader(self._socket, self._readable)

    # -- sending -----------------------------------------------------------------------------------------------------

    def put(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        """Send a message, in a slot or in a file of its own."""
        if length > self._slot_bytes:
            return self._put_long(kind, parts, length)
        data = self.exchange.write(kind, parts, length)
        if data is None:
            self._refused = True
            return False
        self._transmit(data)
        return True

    def _put_long(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        slot = self.exchange.take()
        if slot is None:
            self._refused = True
            return False
        try:
            fd = memory_file.file_of(parts, length)
            if fd is None:
                fd = memory_file.of_parts(parts, length)
        except (OSError, MemoryError) as error:
            self.exchange.take_back(slot)
            raise NoMemory(length, error) from error
        try:
            released = self.exchange.take_due()
            self._transmit(packet.pack(packet.LONG, slot=slot, kind=kind, length=length, released=released), fd)
        finally:
            os.close(fd)
        return True

    def _transmit(self, data: bytes, fd: int | None = None) -> None:
        try:
            if fd is None:
                self._socket.send(data)
            else:
                self._send_with(data, [fd])
        except BlockingIOError as error:
            # An honest child never leaves so many packets unread, since each needs a slot.
            broken = PeerBroken("the peer does not read what it is sent")
            self._break(broken)
            raise broken from error
        except OSError as error:
            raise PeerGone("the process is gone") from error

    def _tell(self) -> None:
        """Give slots back now. That the child is gone is for the end of file to say."""
        data = self.exchange.release_packet()
        if data is None or self._receiver is None:
            return
        try:
            self._socket.send(data)
        except BlockingIOError:
            # Not now: whoever releases a message, or takes a packet in, is not in the way to hear of it.
            self._loop.call_soon(self._break, PeerBroken("the peer does not read what it is sent"))
        except OSError:
            pass

    # -- receiving ---------------------------------------------------------------------------------------------------

    def wait(self, wait_ms: int) -> None:
        """Wait outside of the event loop for a packet, but not for longer, and take it in."""
        if self._receiver is not None and self._poller.poll(wait_ms):
            self._take_packet()

    def _readable(self) -> None:
        for _ in range(READS_MAX):
            if not self._take_packet():
                return

    def _take_packet(self) -> bool:
        """Take a packet in. False if there was none, or if none will follow."""
        receiver = self._receiver
        if receiver is None:
            return False
        try:
            data = self._socket.recv(_ROOM)  # without room for file descriptors: those that a child sends are dropped
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            receiver.on_end()
            return False
        try:
            found = self.exchange.feed(data)
            message = self._attend(found) if isinstance(found, Notice) else found
        except (PeerBroken, NoMemory) as error:
            self._break(error)
            return False
        if message is not None:
            receiver.on_message(message)
        if self._refused and self.exchange.free:
            self._refused = False
            receiver.on_room()
        return True

    def _attend(self, notice: Notice) -> LinkMessage | None:
        if notice.operation == packet.ASK and not notice.kind:
            self._grant(notice.slot, notice.length)
            return None
        if notice.operation == packet.LONG:
            return self._take_long(notice)
        raise PeerBroken("the peer sent a packet that means nothing here", actual=notice)

    def _grant(self, slot: int, length: int) -> None:
        """Give the child a file for a message that it wants to send."""
        if not self._slot_bytes < length <= machine_memory_bytes():
            raise PeerBroken(
                "the peer asked for memory that no message of it can need",
                expected=(self._slot_bytes + 1, machine_memory_bytes()),
                actual=length,
            )
        self.exchange.hold(slot)
        try:
            fd = create(length)
        except OSError as error:
            raise NoMemory(length, error) from error
        self._granted[slot] = fd, length
        try:
            seal(fd, SIZE_SEALS)
            self._send_with(
                packet.pack(packet.GRANT, slot=slot, length=length, released=self.exchange.take_due()), [fd]
            )
        except BlockingIOError:
            raise PeerBroken("the peer does not read what it is sent") from None
        except ConnectionError:
            pass  # the child is gone, which the end of file says
        except OSError as error:
            raise NoMemory(length, error) from error

    def _take_long(self, notice: Notice) -> LinkMessage:
        """Return the message in the file that was granted for a slot."""
        fd, length = self._granted.pop(notice.slot, (-1, -1))
        if fd < 0:
            raise PeerBroken("the peer sent a file that it had not asked for", actual=notice.slot)
        try:
            if notice.length != length:
                raise PeerBroken(
                    "the peer sent another length than it asked for", expected=length, actual=notice.length
                )
            mapping = memory_file.map_filled(fd, length)
        except BaseException as error:
            os.close(fd)
            if isinstance(error, OSError):
                raise NoMemory(length, error) from error
            raise
        return self.exchange.accept(notice.slot, notice.kind, mapping)

    def _break(self, error: PeerBroken | NoMemory) -> None:
        receiver = self._receiver
        self.close()
        if receiver is not None:
            receiver.on_broken(error)

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close; messages that are held stay valid until released."""
        self.child_started()
        self._receiver = None
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        for fd, _ in self._granted.values():
            os.close(fd)
        self._granted.clear()
        if hasattr(self, "exchange"):
            self.exchange.close()
        while self._mappings:
            unmap(self._mappings.pop())

    def join(self) -> None:
        """Return at once: there are no threads to wait for."""
