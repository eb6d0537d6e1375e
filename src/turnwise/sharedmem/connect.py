"""The child's end of the link, found by the first argument of its process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from turnwise.errors import UsageError
from turnwise.sharedmem.endpoint import Endpoint

PR_SET_PDEATHSIG: Final = 1


def endpoint_spec(transport: str, handle: int) -> str:
    """Return the first argument of a child: transport, inherited handle, and the process that it belongs to."""
    return f"{transport}:{handle}:{os.getpid()}"


def connect(argv: Sequence[str]) -> Endpoint:
    """The child's end of the link that `launch` made. `argv` is `sys.argv`, in which its own arguments begin at 2.

    To be called first, before there are threads. From here on the child is killed when the orchestrator dies (Linux),
    even while it computes and does not look at the link. SystemExit: the orchestrator is gone already.
    """
    try:
        transport, handle_text, parent_text = argv[1].split(":")
        handle, parent = int(handle_text), int(parent_text)
    except (IndexError, ValueError):
        raise UsageError(
            "this module is a part of Turnwise and is started by it, not by hand",
            actual=list(argv[1:2]),
            hint="Use the turnwise command.",
        ) from None
    die_with_parent(parent)
    try:
        if sys.platform == "linux" and transport == "memfd":
            from turnwise.sharedmem.memfd_child import MemfdBlockingWire

            return Endpoint(MemfdBlockingWire(handle))
        if transport == "portable":
            from turnwise.sharedmem.pipe import PipeBlockingWire

            return Endpoint(PipeBlockingWire(handle))
    except EOFError:
        raise SystemExit(0) from None
    raise UsageError(f"there is no transport {transport!r}", actual=transport)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends; Linux only, elsewhere nothing.

    End of file tells an idle child the same; this is for one that computes. The thread is the one that runs the
    orchestrator's event loop, so that it ends before its process does only when the loop has ended.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(0)
