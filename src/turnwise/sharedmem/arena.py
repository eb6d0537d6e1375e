"""An arena: memory of one direction, mapped, and cut into slots."""

from __future__ import annotations

from collections.abc import Callable

from turnwise.sharedmem import descriptor
from turnwise.sharedmem.errors import PeerBroken
from turnwise.sharedmem.transport import Geometry


class Arena:
    """A mapping as one memoryview of bytes, and its geometry.

    `view` is read-only at the receiving side. `punch(offset, length)` gives physical pages back to the
    system (they read as zeros afterwards), or is None where that cannot be done. `unmap` is called by `close`.
    """

    __slots__ = ("_unmap", "geometry", "punch", "view")

    def __init__(
        self,
        view: memoryview,
        geometry: Geometry,
        unmap: Callable[[], None],
        punch: Callable[[int, int], None] | None = None,
    ) -> None:
        if len(view) < geometry.arena_bytes:
            raise ValueError(f"a mapping of {len(view)} bytes is too short for {geometry}")
        self.view = view
        self.geometry = geometry
        self.punch = punch
        self._unmap: Callable[[], None] | None = unmap

    def close(self) -> None:
        """Unmap. Where somebody still holds a slice of it, the mapping goes with the last of these."""
        unmap, self._unmap = self._unmap, None
        if unmap is None:
            return
        self.view.release()
        unmap()


def pack_geometry(geometry: Geometry) -> bytes:
    """An ARENA packet."""
    return descriptor.pack(
        descriptor.ARENA, slot=geometry.slots, length=geometry.slot_bytes, remaining=geometry.message_bytes_max
    )


def unpack_geometry(packet: bytes) -> Geometry:
    """The geometry in an ARENA packet; PeerBroken if it is none."""
    if len(packet) != descriptor.BYTES or packet[0] != descriptor.ARENA:
        raise PeerBroken("an arena was expected", actual=packet.hex())
    _, slots, _, slot_bytes, message_bytes_max, _ = descriptor.FORMAT.unpack(packet)
    return Geometry(slots=slots, slot_bytes=slot_bytes, message_bytes_max=message_bytes_max)
