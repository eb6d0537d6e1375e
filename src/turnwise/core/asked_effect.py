"""Effects that a turn asks for, before anybody is asked: what is refused, what people are asked first, and what is kept
free for a reply.
"""

from __future__ import annotations

from turnwise.core.asking import ask_refusal, deadline_of, reserved
from turnwise.core.calling import CALL, TOOLS, approval, call_refusal, tool_of
from turnwise.core.contents import GET, PUT
from turnwise.core.envelope import EFFECT_KINDS, MODEL_EFFECTS, error_reply
from turnwise.core.grants import may_ask, may_run_python
from turnwise.core.plan import Plan
from turnwise.core.question import ASK
from turnwise.core.sampling import sampling_bytes_max
from turnwise.core.state import AgentState
from turnwise.core.turn import EffectRequest
from turnwise.core.turn_contents import TurnContents


def effect_refusal(
    plan: Plan, agent: AgentState, contents: TurnContents, request: EffectRequest, *, has_asked: bool
) -> str | None:
    """The reply to an effect that nobody is asked for; None if somebody is, or the core answers it by itself.

    `contents` are those of the turn, with which it cannot wait; `has_asked`: it is to wait for people already.
    """
    knows_questions = agent.kind.limits.effects_bytes_max is not None  # plans of version 1 have no bound on answers
    if request.kind not in EFFECT_KINDS or (request.kind in (ASK, CALL, TOOLS) and not knows_questions):
        return error_reply("unknown", f"there is no effect called {request.kind!r}")
    if request.kind == ASK:
        return contents.cannot_wait() if contents else ask_refusal(agent, request)
    if request.kind in (PUT, GET):
        return contents.cannot_wait() if has_asked else None
    if request.kind == TOOLS:
        return None
    if request.kind == CALL:
        refused = call_refusal(plan, agent.name, agent.grants, request.body)
        if refused is None and contents and approval(agent.name, agent.grants, plan, request.body) is not None:
            return contents.cannot_wait()
        return refused
    if request.kind not in MODEL_EFFECTS:
        return _code_refusal(agent)
    return _model_refusal(agent, contents, request)


def _code_refusal(agent: AgentState) -> str | None:
    if may_run_python(agent.grants):
        return None
    return error_reply("denied", f"{agent.name} may not run code (grants.run_python of its kind)")


def _model_refusal(agent: AgentState, contents: TurnContents, request: EffectRequest) -> str | None:
    if request.model is None:
        return error_reply("refused", f"the effect {request.kind!r} needs a 'model'")
    if not may_ask(agent.grants, request.kind, request.model):
        message = f"{agent.name} is not granted the model {request.model!r} (grants.{request.kind} of its kind)"
        return error_reply("denied", message)
    if request.kind != "generate" and not contents.knows_all(request):
        return contents.unknown()
    return None


def first_question(
    plan: Plan, agent: AgentState, request: EffectRequest, round_: int
) -> tuple[str, str, int | None] | None:
    """Kind, request and deadline of the question that an effect is, or begins with; None if it has none."""
    if request.kind == ASK:
        return ASK, request.body, deadline_of(request, round_)
    if request.kind == CALL:
        question = approval(agent.name, agent.grants, plan, request.body)
        return None if question is None else (ASK, question, None)
    return None


def reserved_bytes(plan: Plan, request: EffectRequest) -> int:
    """Bytes of a reply that are counted with its request, since it may come when the turn has been recorded."""
    if request.kind != CALL:
        return reserved(request)
    found = tool_of(plan, request.body)
    return 0 if found is None else found[0].reply_bytes_max + sampling_bytes_max(found[0])
