"""Asking people: what is refused, what is counted in advance, and until when an answer is waited for."""

from __future__ import annotations

from turnwise.core.calling import is_of_call
from turnwise.core.envelope import error_reply
from turnwise.core.grants import may_ask_people
from turnwise.core.question import ANSWER_BYTES_MAX, ASK, OF_CALL, question_of
from turnwise.core.state import AgentState
from turnwise.core.turn import EffectRequest


def ask_refusal(agent: AgentState, request: EffectRequest) -> str | None:
    """The reply to a question that is not asked; None if it is."""
    if not may_ask_people(agent.grants):
        return error_reply("denied", f"{agent.name} is not granted to ask people (grants.ask of its kind)")
    if is_of_call(request.body):
        return error_reply("refused", f"a question has no member {OF_CALL!r}")
    try:
        question_of(request.body)
    except ValueError as error:
        return error_reply("refused", str(error))
    return None


def reserved(request: EffectRequest) -> int:
    """Bytes of a reply that are counted with its request, since it comes when the turn has been recorded."""
    return ANSWER_BYTES_MAX if request.kind == ASK else 0


def deadline_of(request: EffectRequest, round_: int) -> int | None:
    """The round from which on the default is taken of a question that is asked in this round."""
    rounds = question_of(request.body).deadline
    return None if rounds is None else round_ + rounds
