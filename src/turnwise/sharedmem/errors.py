"""Errors between the orchestrator and a peer."""

from __future__ import annotations

from turnwise.errors import EnvironmentFailure


class PeerGone(EnvironmentFailure):
    """The other side has closed or died; what was to be sent has not been. The work can be given to another peer."""


class PeerBroken(EnvironmentFailure):
    """The other side broke the rules of the transport. Nothing that it says can be believed: it is killed."""


class NoMemory(EnvironmentFailure):
    """Lack of memory on this machine, or of a descriptor in this process, for a message. Another peer has no more."""

    def __init__(self, length: int, reason: BaseException) -> None:
        super().__init__(
            f"there is no memory for a message of {length:,} bytes: {reason or type(reason).__name__}",
            actual=length,
            hint="Free memory or raise the limits of this process (ulimit -a); then resume the run.",
        )
