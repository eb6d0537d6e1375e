"""The effect `run_python`: code that is executed in a sandbox of its own, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from turnwise_guest.errors import EffectError
from turnwise_guest.jsontext import check_text, short

RunFailure = Literal["raised", "fuel", "memory", "stack", "trap", "output", "output_size", "effects", "forbidden"]
"""Reason why code did not come to its end:

- ``raised``: it raised an exception, or is no Python;
- ``fuel``, ``memory``, ``stack``, ``output_size``: it came to a bound, which are those of the agent's own turns;
- ``output``: the value of its last expression is no JSON value;
- ``effects``: it asked for an effect, which code has not;
- ``forbidden``, ``trap``: it did what the sandbox does not allow.
"""


@dataclass(frozen=True, slots=True)
class PythonResult:
    """Result of code that was run.

    `value` is that of its last statement, if that is an expression, as in a notebook, and None otherwise. `stdout` is
    what it printed. `error` is None, or says what went wrong: the traceback of what it raised, with its own lines.
    `failure` is the class of that, None where there is no error.
    """

    value: Any = None
    stdout: str = ""
    error: str | None = None
    failure: RunFailure | None = None

    @property
    def ok(self) -> bool:
        """True if the code came to its end."""
        return self.error is None

    def __repr__(self) -> str:
        if self.error is None:
            return f"PythonResult(value={short(repr(self.value))}, stdout={short(self.stdout)})"
        return f"PythonResult(failure={self.failure!r}, error={short(self.error)})"


def run_request(code: str, value: Any) -> dict[str, Any]:
    """Return one request to run code, checked, as a JSON object."""
    if not isinstance(code, str):
        raise TypeError(f"code is a text, not {code!r}")
    check_text(code, "code")
    return {"effect": "run_python", "code": code, "input": value}


def run_result(reply: Any) -> PythonResult:
    """Read one reply to `run_python`. Raises `EffectError` where the code was not run."""
    if "ok" in reply:
        ok = reply["ok"]
        return PythonResult(ok.get("value"), ok["stdout"], ok.get("error"), ok.get("failure"))
    error = reply["error"]
    raise EffectError(error["kind"], error["message"])
