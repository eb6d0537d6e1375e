"""Calls of tools in a fork that calls none: answered as the parent's were, or denied.

An agent's call is the same as one of the parent's after the fork if it is of the agent of that name, to the same tool
with the same arguments; of several, that of the same turn and place there, or else the first. So what is answered does
not depend on the order in which calls come, and a fork that is resumed goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from turnwise.core.calling import CALL
from turnwise.core.envelope import error_reply
from turnwise.core.events import Request
from turnwise.core.records import ParkRecord, RoundRecord, TurnRecord
from turnwise.core.sampling import sampled_stages, samples
from turnwise.errors import UsageError
from turnwise.journal import Journal

ToolMode = Literal["recorded", "live", "deny"]
"""Way of calls in a fork: answered as the parent's were, made, or denied."""

TOOL_MODES: Final[tuple[ToolMode, ...]] = get_args(ToolMode)


def tool_mode(value: object) -> ToolMode:
    """Return a way of calls. Raises `UsageError` for what is none."""
    for mode in TOOL_MODES:
        if value == mode:
            return mode
    raise UsageError(
        f"there is no way {value!r} of calls",
        where="--tools",
        expected=TOOL_MODES,
        actual=value,
        hint=f"Give one of {', '.join(TOOL_MODES)}.",
    )


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call of the parent, after the fork."""

    turn: int
    """Number of the turn among the agent's own."""
    index: int
    """Number of the effect in the turn."""
    reply: str
    """Reply to it."""
    is_parked: bool
    """True if its turn parked with it."""
    sampled: Mapping[int, str] = field(default_factory=dict)
    """Outcomes by which its server asked models, by their stages."""


Recorded = Mapping[tuple[str, str], list[RecordedCall]]
"""Calls by the agent's name and the request, in order."""


def recorded_calls(parent: Journal, at: int) -> Recorded:
    """Return the calls that a run has made after a round."""
    names = [agent.name for agent in parent.queries.agents()]
    found: dict[tuple[str, str], list[RecordedCall]] = {}
    sampled: dict[tuple[int, int, int], dict[int, str]] = {}
    for record in parent.rounds.between(at + 1):
        for part in record.parts:
            for (index, stage), outcome in _sampled(parent, record, part).items():
                sampled.setdefault((part.place, part.turn, index), {})[stage] = outcome
            for effect in part.effects:
                if effect.kind == CALL:
                    parked = any(
                        question.kind == CALL and question.index == effect.index
                        for _, earlier in parent.rounds.parks.parts(part.place, part.turn, record.round)
                        for question in earlier.questions
                    )
                    stages = sampled.setdefault((part.place, part.turn, effect.index), {})
                    call = RecordedCall(part.turn, effect.index, effect.reply, parked, stages)
                    found.setdefault((names[part.place], effect.request), []).append(call)
    return found


def _sampled(parent: Journal, record: RoundRecord, part: TurnRecord | ParkRecord) -> dict[tuple[int, int], str]:
    """Return the outcomes of a round by which servers asked models; those that turns had parked with as they came."""
    found = sampled_stages(part.effects)
    came = {answer.question: answer.reply for answer in record.answers if samples(answer.reply)} if found else {}
    if came:
        for _, earlier in parent.rounds.parks.parts(part.place, part.turn, record.round):
            for question in earlier.questions:
                stages = [stage for index, stage in found if index == question.index]
                if question.id in came and stages:
                    found[question.index, min(stages)] = came[question.id]
    return found


class ForkedCalls:
    """The stand-in of a desk in a fork. `recorded` None: every call is denied."""

    def __init__(self, recorded: Recorded | None) -> None:
        self._recorded = recorded
        self.name_of: Callable[[int], str] = str

    def slot(self, server: str) -> AbstractAsyncContextManager[object]:
        """Return nothing that is to be waited for."""
        return nullcontext()

    def parks(self, request: Request) -> bool | None:
        """Return whether a turn parks with a call."""
        found = self._found(request)
        return found is not None and found.is_parked

    async def call(self, server: str, tool: str, args: str, answers: str | None, request: Request) -> str:
        """Answer a call without making it."""
        if self._recorded is None:
            return error_reply("denied", "this fork calls no tools (--tools deny)")
        found = self._found(request)
        if found is None:
            message = "the run that was forked has no answer to this call: fork with --tools live to make it"
            return error_reply("unavailable", message)
        return found.sampled.get(request.stage, found.reply)

    async def close(self) -> None:
        """Give up nothing."""

    def _found(self, request: Request) -> RecordedCall | None:
        calls = (self._recorded or {}).get((self.name_of(request.place), request.request.body), [])
        same = (call for call in calls if (call.turn, call.index) == (request.turn, request.index))
        return next(same, calls[0] if calls else None)
