"""The effect `run_python`: code that an agent has executed, as a turn of a small agent in a sandbox of its own.

What comes of it is a function of the code, its input and the run's chance, so a replay executes it again.
"""

from __future__ import annotations

from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.events import Execute, Request
from turnwise.core.json_text import decode
from turnwise.core.state import AgentState
from turnwise.core.turn import Completed, Failed, Failure, FailureClass, Needs, Outcome
from turnwise.core.turn_input import TurnInput

RUN_PYTHON: Final = "run_python"

RUNNER: Final = "run_python()"
"""Name of the code that executes code, where codes are named by kind: no kind can be called so."""

RUNNER_FILE: Final = "run_python.py"
RUNNER_SOURCE: Final = "from turnwise_guest.runtime.run_python import turn\n"
"""Its source, a Python agent's: what does the work is a part of the interpreter."""

NESTING_MAX: Final = 60
"""Levels of lists and objects of a result, which stands in a reply, which is nested in others."""

_MESSAGES: Final = {
    FailureClass.FUEL: "the code used up its fuel (`fuel` of the agent's kind)",
    FailureClass.MEMORY: "the code asked for more memory than it may have (`memory_mib` of the agent's kind)",
    FailureClass.STACK: "the code called itself too deeply",
    FailureClass.OUTPUT_SIZE: "the result of the code is too large (`output_mib` of the agent's kind)",
}
_FAILURES: Final = frozenset(kind.value for kind in FailureClass)


def run_execution(request: Request, agent: AgentState, code: str, round_: int) -> Execute:
    """The execution of the code of a request, within the agent's own limits. `code` is the hash of what executes it."""
    given = TurnInput(
        name=agent.name,
        kind=RUN_PYTHON,
        args=request.request.body,
        round=round_,
        turn=1,
        now_us=request.now_us,
        seed=request.stream.hex(),
        state="",
        mail=(),
    )
    limits = agent.kind.limits
    return Execute(agent.place, RUN_PYTHON, given, (), limits.fuel, limits, code)


def run_reply(outcome: Outcome, stdout: str) -> str:
    """The reply to a request, given how the turn that executed its code has ended."""
    match outcome:
        case Completed(output):
            members = _result(output.state)
        case Needs():
            members = _failed(Failure(FailureClass.EFFECTS, "code that is run by run_python has no effects"))
        case Failed(failure):
            members = _failed(failure)
    return canonical({"ok": {**members, "stdout": stdout}})


def failure_of(reply: str) -> str | None:
    """The class of failure that a reply tells of, None where there is none."""
    value = decode(reply)
    ok = value.get("ok") if isinstance(value, dict) else None
    failure = ok.get("failure") if isinstance(ok, dict) else None
    return failure if isinstance(failure, str) else None


def _failed(failure: Failure) -> dict[str, Any]:
    return {"error": _MESSAGES.get(failure.kind, failure.message), "failure": failure.kind.value}


def _result(state: str) -> dict[str, Any]:
    """The result that the turn left as its state. The code may have left anything else there."""
    try:
        found = decode(state, NESTING_MAX)
        canonical(found)
    except ValueError as error:
        return _failed(Failure(FailureClass.OUTPUT, f"the result of the code cannot be told: {error}"))
    if isinstance(found, dict) and found.keys() == {"value"}:
        return found
    if (
        isinstance(found, dict)
        and found.keys() == {"error", "failure"}
        and isinstance(found["error"], str)
        and isinstance(found["failure"], str)
        and found["failure"] in _FAILURES
    ):
        return found
    return _failed(Failure(FailureClass.OUTPUT, "the code has changed what executes it, and left no result"))
