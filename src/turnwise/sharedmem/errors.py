"""What can go wrong between the orchestrator and a peer."""

from __future__ import annotations

from turnwise.errors import EnvironmentFailure, TurnwiseError


class PeerGone(EnvironmentFailure):
    """The other side has closed or died; what was to be sent has not been. The work can be given to another peer."""


class PeerBroken(EnvironmentFailure):
    """The other side broke the rules of the transport. Nothing that it says can be believed: it is killed."""


class MessageTooLarge(TurnwiseError):
    """A message is longer than `message_bytes_max`. Nothing has been sent; the link goes on."""

    def __init__(self, actual_bytes: int, message_bytes_max: int) -> None:
        super().__init__(
            f"a message of {actual_bytes:,} bytes is over the limit of {message_bytes_max:,} bytes",
            expected=message_bytes_max,
            actual=actual_bytes,
            hint="Send it in parts, or raise message_bytes_max where the peer is launched.",
        )
