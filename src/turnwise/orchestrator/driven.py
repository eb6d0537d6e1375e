"""Interfaces of what a driver drives: sandboxes, what answers effects, what calls tools, and what keeps rounds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from turnwise.core.events import Request
from turnwise.core.plan import Plan
from turnwise.core.records import EndRecord
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.sandbox.execute.jobs import TurnJob

Replies = Sequence[tuple[int, str, tuple[int, ...] | None]]
"""Answers to effects: (id, reply as canonical JSON text, tokens of a language model's answer)."""


class Sandboxes(Protocol):
    """The executor of turns; it reports results to `on_results` of the driver."""

    def submit(self, jobs: Sequence[TurnJob]) -> None: ...


class Effects(Protocol):
    """The answerer of effects; it reports replies to `on_replies` of the driver."""

    def submit(self, requests: Sequence[tuple[int, Request]]) -> None: ...
    def settled(self, round_: int, calling: Collection[int] = ()) -> None:
        """Take note that no turn of the round can go on before an effect is answered.

        Turns of the places `calling` wait for tools.
        """


class CallMaker(Protocol):
    """The maker of calls of tools; it reports to `on_call_left` and `on_call` of the driver."""

    def submit(self, plan: Plan, requests: Sequence[tuple[int, Request]], *, is_left: bool = False) -> None: ...


class Sink(Protocol):
    """The keeper of rounds: the journal's writer, or a comparison with another journal.

    `on_failure` is called when a round that was taken turns out to be lost.
    """

    on_failure: Callable[[BaseException], None] | None

    async def hand_over(self, commit: RoundCommit) -> object:
        """Take a round, and what goes along with it. Waits only while too much is on its way to the disk."""

    async def commit(self, commit: RoundCommit) -> None:
        """Take a round, and wait until it is kept."""

    async def wait_durable(self) -> None:
        """Wait until all that was taken is kept."""

    async def end(self, record: EndRecord) -> None:
        """Keep an end that came after the last round."""
