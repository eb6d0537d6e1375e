"""State of one execution of a turn on the host's side: calls so far, charges, printed text, and its outcome.

Guests have a single way to reach the host that matters, `effect`. Its k-th call is answered by the k-th reply. When
there is none, the execution is over: the request is kept, the host function raises `Ended`, and the engine turns that
into a trap, which no guest can catch. The turn runs again from its start when the reply is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.jobs import STDOUT_BYTES_MAX, ExecutionStatus
from turnwise.sandbox.execute.replies import HandedReply, as_text

MESSAGE_BYTES_MAX = 16 * 1024
"""Longest message of a failure, which a guest may have had a hand in."""

HOST_CALL_FUEL = 50_000
"""Fuel that a call of a host function costs, about what the guest could have computed in its time. Without it, a guest
that does nothing but read the clock would take minutes before its fuel is used up."""

HOST_BYTE_FUEL = 5_000
"""Fuel per byte that passes one by one through a host function: printing and randomness."""

HOST_HANDLE_FUEL = 50_000
"""Fuel per resource in a list that is passed to a host function, beyond the first, which the call covers."""


class Ended(Exception):
    """End of an execution, raised inside a host function by `Execution` and caught by the carriers.

    `outcome` is that of the execution.
    """

    def __init__(self, outcome: ExecutionOutcome) -> None:
        super().__init__(outcome.status)
        self.outcome = outcome


@dataclass(slots=True)
class ExecutionOutcome:
    """Outcome of an execution, without the number of its job: see `TurnResult`."""

    status: ExecutionStatus
    """Way in which it ended."""
    body: bytes
    """Output envelope, effect request, or a message for people: see `TurnResult.body`."""
    failure: FailureClass | None = None
    """Class of failure; None unless `status` is `failed`."""
    content: bytes = b""
    """Bytes beside the effect request."""


@dataclass(slots=True)
class Execution:
    """State of the execution that is going on."""

    input: bytes
    """Input envelope, UTF-8 JSON."""
    replies: tuple[HandedReply, ...]
    """Replies to the calls of `effect` so far, in order."""
    fuel: int
    """Fuel that is left for the execution."""
    memory_bytes: int
    """Bound of linear memory."""
    output_bytes_max: int
    """Bound of the output, and of each effect request with what comes beside it."""
    calls: int = 0
    """Calls of `effect` so far."""
    host_fuel: int = 0
    """Charges of host calls so far."""
    outcome: ExecutionOutcome | None = None
    """Outcome, set when a host function ended the execution."""
    printed: bytearray = field(default_factory=bytearray)
    """Printed text that is kept."""
    printed_bytes: int = 0
    """Bytes that were printed."""
    lacked_memory: bool = False
    """True if a host function found no memory."""

    def effect(self, request: bytes) -> bytes:
        """Return the reply to the next call of `effect`, or end the execution if it is not known yet."""
        reply = self.next_reply()
        if reply is None:
            raise self.end(ExecutionOutcome("needs", request))
        return as_text(reply)

    def next_reply(self) -> HandedReply | None:
        """Count a call of the host that asks for effects; return its reply, or None if it is not known yet."""
        index = self.calls
        self.calls += 1
        return self.replies[index] if index < len(self.replies) else None

    def fail(self, failure: FailureClass, message: str) -> Ended:
        """Set a failed outcome; return the exception to raise."""
        return self.end(failed(failure, message))

    def end(self, outcome: ExecutionOutcome) -> Ended:
        """Set the outcome, unless there is one already; return the exception to raise."""
        if self.outcome is None:
            self.outcome = outcome
        return Ended(self.outcome)

    def charge(self, fuel: int) -> None:
        """Charge a host call. The charge comes on top of the engine's own count, within the same limit."""
        self.host_fuel += fuel
        if self.host_fuel > self.fuel:
            raise self.fail(FailureClass.FUEL, out_of_fuel(self.fuel))

    def settle(self, outcome: ExecutionOutcome, engine_fuel: int) -> tuple[ExecutionOutcome, int]:
        """Add the charges of host calls to the engine's count, and fail the turn if both together exceed its fuel."""
        used = engine_fuel + self.host_fuel
        if used <= self.fuel:
            return outcome, used
        return failed(FailureClass.FUEL, out_of_fuel(self.fuel)), self.fuel

    def print(self, text: bytes) -> None:
        """Keep what the guest prints, as far as there is room."""
        self.printed_bytes += len(text)
        room = STDOUT_BYTES_MAX - len(self.printed)
        if room > 0:
            self.printed += text[:room]

    def stdout(self) -> str:
        """Return the printed text, with a last line that says how much of it is missing."""
        if not self.printed:
            return ""
        missing = self.printed_bytes - len(self.printed)
        if not missing:
            return self.printed.decode("utf-8", "replace")
        note = f"\n… {missing} bytes more were printed; {STDOUT_BYTES_MAX} bytes are kept"
        kept = self.printed[: STDOUT_BYTES_MAX - len(note.encode())]
        return kept.decode("utf-8", "ignore") + note


def failed(failure: FailureClass, message: str) -> ExecutionOutcome:
    """Return a failed outcome with a message for people."""
    return ExecutionOutcome("failed", message.encode("utf-8", "replace")[:MESSAGE_BYTES_MAX], failure)


def out_of_fuel(fuel: int) -> str:
    """Return the message of a turn that used up its fuel."""
    return f"the turn used up its fuel ({fuel:,} units were left to it); raise `fuel` in the world file, or do less"
