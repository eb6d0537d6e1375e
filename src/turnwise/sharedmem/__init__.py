"""Messages between the orchestrator and its child processes, over memory that both have mapped.

A message is bytes in a slot; a packet of 16 bytes through a socket hands the slot over. What does not fit a slot goes
in a memory file of its own. From the bottom:

- `packet`: the 16 bytes; `parts`: what is to be sent; `message`: what was received.
- `exchange`: which side owns which slot, checked, without any IO; `memory_file`: memory that can be sealed.
- `memfd` with `memfd_child` (Linux, slots) and `pipe` (everywhere): the two transports, behind the interface in `wire`.
- `endpoint`: the child's end, blocking; `link`: the orchestrator's end, on the event loop.
- `process`: starting a child; `peer`: a child and its link, with one owner that closes; `child`: its interface.

Nothing is relied on for order but the order of packets in the socket: a slot belongs to one side at a time, and passes
only with a packet. Whatever a child sends is checked; one that breaks the rules is a `PeerBroken` and is killed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from turnwise.sharedmem.child import Child, Launch
from turnwise.sharedmem.connect import connect
from turnwise.sharedmem.endpoint import Endpoint
from turnwise.sharedmem.errors import NoMemory, PeerBroken, PeerGone
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.transport import Transport

if TYPE_CHECKING:
    from turnwise.sharedmem.link import Link
    from turnwise.sharedmem.peer import GRACE_MS_DEFAULT, Peer, launch

__all__ = [
    "GRACE_MS_DEFAULT",
    "Child",
    "Endpoint",
    "Launch",
    "Link",
    "LinkMessage",
    "NoMemory",
    "Peer",
    "PeerBroken",
    "PeerGone",
    "Transport",
    "connect",
    "launch",
]

# The orchestrator's side needs asyncio, whose import would double the time in which a child starts.
_ORCHESTRATOR_SIDE = {
    "GRACE_MS_DEFAULT": "turnwise.sharedmem.peer",
    "Link": "turnwise.sharedmem.link",
    "Peer": "turnwise.sharedmem.peer",
    "launch": "turnwise.sharedmem.peer",
}


def __getattr__(name: str) -> object:
    module = _ORCHESTRATOR_SIDE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)
