"""Tools that are pure, called again while a run is replayed, and their results compared with the recorded ones.

Only servers are started whose kind runs in the sandbox: what a journal says of its servers may be anybody's words, and
a command in it must not be run for having read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Literal, Self

from turnwise.core.calling import CALL, call_of, full_name, tool_of
from turnwise.core.compare import Difference
from turnwise.core.events import Request
from turnwise.core.plan import Plan
from turnwise.core.records import EffectRecord, ParkRecord, RoundRecord, TurnRecord
from turnwise.core.sampling import index_text
from turnwise.core.withheld import Withheld
from turnwise.errors import TurnwiseError
from turnwise.history.replay import Witness
from turnwise.journal import Journal
from turnwise.orchestrator.tool_servers import list_difference, tools_of_journal
from turnwise.tools.desk import ToolDesk

SANDBOXED_KINDS: Final = ("wasm",)
"""Kinds of servers that can do nothing but compute."""

_NOT_OF_TOOLS: Final = (
    '{"error":{"kind":"denied"',
    '{"error":{"kind":"refused"',
    '{"error":{"kind":"un',
)
"""Beginnings of replies that say of a run that it did not call, or of a server that nobody knows."""


@dataclass(frozen=True, slots=True)
class ToolVerification:
    """One tool that the verified turns called.

    `level` is what held: `L2` if each result was computed again and is the same, or `L0`; `reasons` say why it is no
    higher. `calls` counts those of the run, `compared` the results that were compared.
    """

    name: str
    level: Literal["L0", "L2"]
    calls: int
    compared: int
    reasons: tuple[str, ...]


@dataclass(slots=True)
class _CalledTool:
    pure: bool
    calls: int = 0
    compared: int = 0
    reasons: list[str] = field(default_factory=list)


class ToolWitness:
    """Calls the pure tools of a journal again, round by round. An async context manager."""

    def __init__(self, journal: Journal, last: int) -> None:
        self.difference: Difference | None = None
        self._journal = journal
        self._plan: Plan = journal.header.plan_at(last)
        self._names = [record.name for record in journal.queries.agents()]
        self._tools: dict[str, _CalledTool] = {}
        self._unusable: dict[str, str] = {}
        self._desks: dict[str, ToolDesk] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        pure = {server.name: server for server in self._plan.tools if any(tool.pure for tool in server.tools)}
        settings = [server for server in tools_of_journal(self._journal).servers if server.name in pure]
        usable = [replace(server, environment={}) for server in settings if server.kind in SANDBOXED_KINDS]
        for name in pure.keys() - {server.name for server in usable}:
            self._unusable[name] = "its server runs outside of the sandbox, and is not started for a verification"
        for server in usable:
            desk = ToolDesk([server])
            try:
                listed = await desk.start()
            except TurnwiseError as error:
                self._unusable[server.name] = error.message
                continue
            self._stack.push_async_callback(desk.close)
            difference = list_difference(pure[server.name], listed[server.name])
            if difference is not None:
                self._unusable[server.name] = f"its tools are not those of the run: {difference}"
            else:
                self._desks[server.name] = desk
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def tools(self) -> tuple[ToolVerification, ...]:
        """Verifications of the tools that were called, in order of name."""
        return tuple([self._verification(name, tool) for name, tool in sorted(self._tools.items())])

    def _verification(self, name: str, tool: _CalledTool) -> ToolVerification:
        reasons = list(tool.reasons)
        if not tool.pure:
            reasons.append("it is not pure: what it did cannot be computed again")
        elif (why := self._unusable.get(name.partition(".")[0])) is not None:
            reasons.append(why)
        if not reasons and tool.compared < tool.calls:
            reasons.append(f"{tool.compared:,} of {tool.calls:,} results were compared")
        return ToolVerification(name, "L0" if reasons else "L2", tool.calls, tool.compared, tuple(reasons))

    async def round(self, record: RoundRecord) -> bool:
        """Call again what the turns of a round had results of; False if one is another."""
        found = await asyncio.gather(*[self._compared(record.round, *entry) for entry in record.effects()])
        self.difference = self.difference or next((entry for entry in found if entry is not None), None)
        return self.difference is None

    async def _compared(self, round_: int, place: int, effect: EffectRecord) -> Difference | None:
        """Call again what an effect had the result of; return the difference of the results."""
        if effect.kind != CALL or Withheld in (type(effect.request), type(effect.reply)):
            return None
        found = tool_of(self._plan, effect.request)
        if found is None or effect.reply.startswith(_NOT_OF_TOOLS):
            return None
        server, tool = found
        called = self._tools.setdefault(full_name(server, tool), _CalledTool(tool.pure))
        called.calls += 1
        desk = self._desks.get(server.name)
        if not tool.pure or desk is None:
            return None
        async with desk.slot(server.name):
            reply = await desk.call(server.name, tool.name, call_of(effect.request).args)
        if reply == effect.reply:
            called.compared += 1
            return None
        called.reasons.append("a result is another")
        what = f"effect {index_text(effect.index)}: result of {full_name(server, tool)}"
        return Difference(round_, self._names[place], what, effect.reply, reply)


class Witnesses:
    """Several witnesses of one replay, of whom each sees all."""

    def __init__(self, models: Witness, tools: ToolWitness) -> None:
        self._models = models
        self._tools = tools

    def asked(self, request: Request, effect: EffectRecord) -> None:
        """A turn of the round in progress asked a model."""
        self._models.asked(request, effect)

    def taken(self, turns: Sequence[TurnRecord | ParkRecord]) -> None:
        """Take note of turns that could not be executed."""
        self._models.taken(turns)

    async def round(self, record: RoundRecord) -> bool:
        """Take note of a round; False if one of them has seen enough."""
        return await self._models.round(record) and await self._tools.round(record)
