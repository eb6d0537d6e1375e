"""The child's end of the memfd transport: it maps what it is given, and makes no memory of its own."""

from __future__ import annotations

import array
import mmap
import os
import select
import socket
from collections.abc import Sequence
from typing import Final

from turnwise.sharedmem import memory_file, packet
from turnwise.sharedmem.errors import PeerBroken, PeerGone
from turnwise.sharedmem.exchange import Exchange, Notice
from turnwise.sharedmem.memory_file import map_file, unmap
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.parts import Flat
from turnwise.sharedmem.transport import Geometry

_ROOM: Final = packet.BYTES + 1
"""One byte more than a packet may have, so that a longer one is seen."""
_FD_BYTES: Final = array.array("i").itemsize
_FDS_ROOM: Final = socket.CMSG_SPACE(2 * _FD_BYTES)


class MemfdBlockingWire:
    """The child's end. `fd` is the socket that it has inherited."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._socket.setblocking(True)
        self._poller = select.poll()
        self._poller.register(self._socket, select.POLLIN)
        self._asked: tuple[int, int] | None = None
        self._file: int | None = None
        self._mappings: list[mmap.mmap] = []
        try:
            self.exchange = self._receive_arenas()
        except BaseException:
            self._socket.close()
            raise

    def _receive_arenas(self) -> Exchange:
        """Map the arenas, which come with the first packet."""
        data, fds = self._receive()
        try:
            if len(data) != packet.BYTES or data[0] != packet.ARENAS or len(fds) != 2:
                raise PeerBroken("the arenas were expected", actual=(data.hex(), len(fds)))
            _, slots, _, self._slot_bytes, _ = packet.FORMAT.unpack(data)
            geometry = Geometry(slots, self._slot_bytes)
            incoming = map_file(fds[0], geometry.arena_bytes, writable=False)
            outgoing = map_file(fds[1], geometry.arena_bytes, writable=True)
        finally:
            for arena in fds:
                os.close(arena)
        self._mappings = [incoming, outgoing]
        return Exchange(memoryview(outgoing), memoryview(incoming), geometry, self._tell)

    def put(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        """Send a message, in a slot or in a file that the orchestrator is asked for."""
        if length > self._slot_bytes:
            return self._put_long(kind, parts, length)
        data = self.exchange.write(kind, parts, length)
        if data is None:
            return False
        self._transmit(data)
        return True

    def _put_long(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        if self._asked is None:
            slot = self.exchange.take()
            if slot is not None:
                self._asked = slot, length
                released = self.exchange.take_due()
                self._transmit(packet.pack(packet.ASK, slot=slot, length=length, released=released))
            return False
        if self._file is None:
            return False
        (slot, asked), self._asked = self._asked, None
        fd, self._file = self._file, None
        try:
            if asked != length:
                raise ValueError(f"a message of {asked} bytes is under way, not one of {length}")
            memory_file.fill(fd, length, parts)
        finally:
            os.close(fd)
        released = self.exchange.take_due()
        self._transmit(packet.pack(packet.LONG, slot=slot, kind=kind, length=length, released=released))
        return True

    def _transmit(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            raise PeerGone("the orchestrator is gone") from error

    def _tell(self) -> None:
        """Give slots back now. That the orchestrator is gone is for the end of file to say."""
        data = self.exchange.release_packet()
        if data is not None:
            try:
                self._socket.send(data)
            except OSError:
                return

    def take(self) -> LinkMessage | None:
        """Wait for one packet, and take it in."""
        data, fds = self._receive()
        found = self.exchange.feed(data)
        if isinstance(found, Notice):
            return self._attend(found, fds)
        return found

    def _attend(self, notice: Notice, fds: Sequence[int]) -> LinkMessage | None:
        if len(fds) != 1:
            raise PeerBroken("a file was expected with this packet", expected=1, actual=len(fds))
        if notice.operation == packet.GRANT and self._asked == (notice.slot, notice.length) and self._file is None:
            self._file = fds[0]
            return None
        try:
            if notice.operation != packet.LONG:
                raise PeerBroken("the peer sent a packet that means nothing here", actual=notice)
            self.exchange.hold(notice.slot)
            mapping = map_file(fds[0], notice.length, writable=False)
        finally:
            os.close(fds[0])
        return self.exchange.accept(notice.slot, notice.kind, mapping)

    def _receive(self) -> tuple[bytes, Sequence[int]]:
        try:
            data, ancillary, _, _ = self._socket.recvmsg(_ROOM, _FDS_ROOM, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            data, ancillary = b"", []
        if not data:
            raise EOFError("the orchestrator is gone")
        if not ancillary:
            return data, ()
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % _FD_BYTES])
        return data, fds

    def poll(self) -> bool:
        """Tell whether a packet is there, or the end."""
        return bool(self._poller.poll(0))

    def close(self) -> None:
        """Close; messages that are held stay valid until released."""
        self._socket.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self.exchange.close()
        while self._mappings:
            unmap(self._mappings.pop())
