"""The parts of a run, connected: sandboxes, models and journal around a driver."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from turnwise.core.events import Answer, Input, OutsideChange
from turnwise.core.machine import Machine
from turnwise.journal import Journal, JournalWriter
from turnwise.orchestrator.ahead import Ahead
from turnwise.orchestrator.calls import Calls, Desk
from turnwise.orchestrator.driver import Driver
from turnwise.orchestrator.edges import EDGES, Edges
from turnwise.orchestrator.effects import HostAnswers, ModelEffects
from turnwise.orchestrator.forked_calls import ForkedCalls
from turnwise.orchestrator.garbage import collected_seldom
from turnwise.orchestrator.kept_replies import KeptReplies, promising_nothing
from turnwise.orchestrator.model_hosts import ModelHosts, Spec
from turnwise.orchestrator.outside_box import OutsideBox
from turnwise.orchestrator.reproducibility import plan_bound
from turnwise.orchestrator.session import Session
from turnwise.orchestrator.settings import Settings
from turnwise.orchestrator.tool_servers import Listed, calls_made, changed_list, list_difference
from turnwise.orchestrator.watched import Watched
from turnwise.sandbox.build.code import Code
from turnwise.sandbox.pool.pool import Pool
from turnwise.tools.desk import OnListed
from turnwise.tools.spec import ToolSpec


class ServerDesk(Desk, Protocol):
    """Keeper of servers, which may list other tools while a run goes on."""

    on_listed: OnListed | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The part of a run that can be made before its plan is known.

    codes: what each kind executes, compiled. host: the models, loaded. answers: the callbacks of the host. desk: the
    servers of tools, started, None where there are none. listed: their tools. park_after_ms: time after which a turn
    waits for a tool beyond its round.
    """

    codes: dict[str, Code]
    host: ModelHosts
    answers: HostAnswers
    desk: ServerDesk | ForkedCalls | None = None
    listed: Listed = field(default_factory=dict)
    park_after_ms: int = 0


def host_of(specs: Sequence[Spec], settings: Settings, edges: Edges = EDGES) -> tuple[ModelHosts, HostAnswers]:
    """Make a host for models, not started yet, and its callbacks."""
    answers = HostAnswers()
    host = ModelHosts(
        specs,
        on_replies=answers.on_replies,
        on_wave=answers.on_wave,
        on_failure=answers.on_failure,
        transport=settings.transport,
        tells_texts=settings.telemetry,
        launch=edges.launch,
    )
    return host, answers


def continued(file: Journal, *, versions: str, info: str) -> Machine:
    """Return the machine as the journal's last round left it; the journal notes that this process goes on writing."""
    machine = file.machine.at()
    comes(machine, file)
    file.writer.resumed(versions=versions, info=info)
    later = file.header.continued_versions(file.rounds.last_round)
    if later is not None:
        machine.continued_by(later)
    return machine


def comes(machine: Machine, file: Journal) -> None:
    """Tell a machine, which stands after the journal's last round, what is to come from outside."""
    for entries in file.rounds.coming(machine.world.round + 1).values():
        for entry in entries:
            machine.step(entry if isinstance(entry, Input | Answer) else OutsideChange(entry))


def _listed(driver: Driver, file: Journal, server: str, specs: tuple[ToolSpec, ...]) -> None:
    """A server has listed its tools while the run goes on: they must be those that it is pinned to."""
    for pinned in driver.machine.plan.tools:
        if pinned.name == server and (difference := list_difference(pinned, specs)) is not None:
            driver.on_failure(changed_list(str(file.path), server, difference))


def connect_tools(
    stack: AsyncExitStack,
    driver: Driver,
    file: Journal,
    ahead: Ahead,
    desk: ServerDesk | ForkedCalls,
    park_after_ms: int,
) -> None:
    """Have a driver's calls of tools made at a desk; the stack closes what makes them."""
    world = driver.machine.world
    if isinstance(desk, ForkedCalls):
        desk.name_of = lambda place: world.agents[place].name
    else:
        desk.on_listed = partial(_listed, driver, file)
    calls = Calls(desk, ahead, driver, park_after_ms / 1_000, calls_made(file, driver.machine.plan))
    stack.push_async_callback(calls.close)
    driver.calls = calls
    driver.resume_calls()


async def connect(
    stack: AsyncExitStack,
    settings: Settings,
    prepared: Prepared,
    machine: Machine,
    file: Journal,
    edges: Edges = EDGES,
) -> Session:
    """Start the sandboxes and connect everything; the session owns what the stack did."""
    writer = await stack.enter_async_context(
        JournalWriter(file.writer, thread=edges.journal_thread(), in_loop=edges.waits_in_loop)
    )
    codes = prepared.codes
    driver = Driver(machine, writer, edges.clock)
    driver.contents.load = file.contents.read
    stack.callback(driver.contents.close)
    driver.sandboxes = pool = await stack.enter_async_context(
        Pool(
            list({code.hash: code for code in codes.values()}.values()),
            workers=settings.workers_count,
            on_results=driver.on_results,
            on_failure=driver.on_failure,
            transport=settings.transport,
            deadline_ms=settings.deadline_ms,
            launch=edges.launch,
            clock=edges.clock,
            rate=edges.fuel_rate(),
        )
    )
    driver.take_soon = pool.take_soon
    ahead = Ahead(writer, file.ahead.rows())
    models = prepared.host.models
    keeper = KeptReplies(driver, ahead, promising_nothing(models))
    effects = ModelEffects(prepared.host, keeper if keeper.is_needed else driver, driver.contents, plan_bound(models))
    keeper.effects = effects
    driver.effects = keeper if keeper.is_needed else effects
    stack.push_async_callback(keeper.close)
    prepared.answers.attach(effects, driver)
    if prepared.desk is not None:
        connect_tools(stack, driver, file, ahead, prepared.desk, prepared.park_after_ms)
    stack.enter_context(collected_seldom())
    ring = edges.telemetry() if settings.telemetry else None
    if ring is not None:
        watched = stack.enter_context(Watched(ring, driver, pool, prepared.host, effects))
        file.announce(ring.address)
        watched.begin()
    box = OutsideBox(file.path, file.header.received) if edges is EDGES else None
    return Session(driver, stack.pop_all(), prepared.host, box, writer)
