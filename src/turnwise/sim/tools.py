"""Servers of tools in a simulated run: the world outside, which a killed orchestrator leaves as it is.

A server is a function. Each time that it is called it may say something else, as servers do; so whoever calls it twice,
or forgets what it said, is found out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.envelope import error_reply
from turnwise.core.events import Request
from turnwise.core.json_text import decode
from turnwise.core.plan import Plan
from turnwise.sim.chance import Chance
from turnwise.sim.outside import OutsideWorld, key_of
from turnwise.tools.desk import OnListed

CALL_S: Final = 0.02
SLOW_S: Final = 5.0
CALLS_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """One call, as the function of the servers sees it."""

    tool: str
    """Whole name of the tool."""
    args: dict[str, Any]
    """Arguments."""
    answers: dict[str, Any] | None
    """Answers of people, or models, by their keys, where the call goes on after what its server has asked."""
    number: int
    """Number of the call among all that were ever made, those of killed orchestrators included."""


Tool = Callable[[ToolCalled], dict[str, Any]]
"""Answers a call with its outcome: `{"ok": {"text": …}}`, `{"error": {"kind": …, "message": …}}`,
`{"ask": {"questions": [{"key": …, "text": …}], "state": …}}`, or
`{"sample": {"requests": [{"key": …, "hints": […], "request": {"messages": […]}}], "state": …}}`."""


class SimulatedDesk:
    """Keeper of the servers in one life of an orchestrator.

    `called` is told of each call before anything comes of it, `given` of each outcome that is about to be handed over.
    """

    def __init__(
        self,
        chance: Chance,
        plan: Plan,
        tool: Tool,
        outside: OutsideWorld,
        called: Callable[[Request], None],
        given: Callable[[str], None],
    ) -> None:
        self.on_listed: OnListed | None = None
        self._chance = chance
        self._plan = plan
        self._tool = tool
        self._outside = outside
        self._called = called
        self._given = given
        self._idempotent = {f"{of.name}.{one.name}": one.idempotent for of in plan.tools for one in of.tools}
        self._slots = {server.name: asyncio.Semaphore(CALLS_AT_ONCE) for server in plan.tools}

    def slot(self, server: str) -> asyncio.Semaphore:
        """Return what a call holds while it runs."""
        return self._slots[server]

    def parks(self, request: Request) -> bool | None:
        """Return None: time decides."""
        return None

    async def call(self, server: str, tool: str, args: str, answers: str | None, request: Request) -> str:
        """Make a call, after some time; its server may end before it, or after, or answer too late."""
        chance = self._chance
        self._called(request)
        await asyncio.sleep(self._time_s())
        if chance.strikes("drop"):
            return self._handed(request, error_reply("unknown", f"the server ended: {self._number}"))
        outcome = self._made(f"{server}.{tool}", args, answers, request)
        if chance.strikes("vanish"):
            return self._handed(request, error_reply("unknown", f"the server ended: {self._number}"))
        if chance.strikes("late"):
            return self._handed(request, error_reply("unavailable", f"no answer in time: {self._number}"))
        await asyncio.sleep(self._time_s())
        return self._handed(request, outcome)

    def _time_s(self) -> float:
        return (SLOW_S if self._chance.strikes("delay") else CALL_S) * self._chance.random()

    @property
    def _number(self) -> int:
        return self._outside.made.total()

    def _made(self, name: str, args: str, answers: str | None, request: Request) -> str:
        """Have a call its effect on the world outside."""
        key = key_of(request)
        self._outside.made[key] += 1
        self._outside.is_idempotent[key] = self._idempotent[name]
        given = None if answers is None else decode(answers)["answers"]
        self._chance.note(f"called {name}: {key}")
        return canonical(self._tool(ToolCalled(name, decode(args), given, self._number)))

    def _handed(self, request: Request, outcome: str) -> str:
        self._outside.said.setdefault(key_of(request), []).append(outcome)
        self._given(outcome)
        return outcome

    async def close(self) -> None:
        """Give up nothing."""
