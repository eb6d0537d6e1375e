"""A simulated machine: the edges of a run under virtual time, and what an orchestrator that is killed leaves on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future
from typing import Any, Final, TypeVar

from turnwise.errors import EnvironmentFailure, InvariantError
from turnwise.inference.host.supervisor import SERVER
from turnwise.orchestrator.edges import Edges
from turnwise.sandbox.pool.deadline import FuelRate
from turnwise.sandbox.pool.worker_slot import WORKER
from turnwise.sharedmem import Child, Transport
from turnwise.sim.behaviour import Answer, Behaviour
from turnwise.sim.chance import Chance
from turnwise.sim.child import SimulatedChild
from turnwise.sim.engine import SimulatedEngine
from turnwise.sim.worker import Seen, SimulatedWorker

T = TypeVar("T")

COMMIT_S: Final = 0.004
SLOW_S: Final = 2.0
WALL_START_US: Final = 1_700_000_000_000_000
WALL_LEAP_US: Final = 86_400_000_000
FUEL_NS: Final = 1.0


class SimulatedThread(Executor):
    """The thread that waits for the disk: one thing after the other, each after some time.

    `before` is told of each, `after` when it has come to its end.
    """

    def __init__(self, chance: Chance, before: Callable[[], None], after: Callable[[], None]) -> None:
        self._chance = chance
        self._before = before
        self._after = after
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._cut = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        if self._cut:
            future.set_exception(EnvironmentFailure("the orchestrator was killed"))
            return future
        self._waiting.append((future, lambda: fn(*args, **kwargs)))
        if len(self._waiting) == 1:
            self._next()
        return future

    def _next(self) -> None:
        chance = self._chance
        time_s = SLOW_S * chance.random() if chance.strikes("delay") else COMMIT_S * chance.random()
        asyncio.get_running_loop().call_later(time_s, self._do)

    def _do(self) -> None:
        if not self._waiting:
            return
        self._before()
        self._perform()
        if self._waiting:
            self._next()

    def _perform(self) -> None:
        future, call = self._waiting.popleft()
        try:
            result = call()
        except Exception as error:
            self._after()
            future.set_exception(error)
        else:
            self._after()
            future.set_result(result)

    def cut(self) -> None:
        """The process is killed: the first of what waits may still come to its end on disk, the rest is lost."""
        self._cut = True
        if self._waiting and self._chance.below(2):
            self._perform()
        while self._waiting:
            self._waiting.popleft()[0].set_exception(EnvironmentFailure("the orchestrator was killed"))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if wait and self._waiting:
            raise InvariantError("the journal's thread is shut down while it has work")


class SimulatedClock:
    """Clocks that show virtual time. The wall clock can be set; `machine` knows what processes have used."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine
        self._set_us = WALL_START_US

    def wall_us(self) -> int:
        chance = self._machine.chance
        if chance.strikes("clock"):
            self._set_us += chance.below(2 * WALL_LEAP_US) - WALL_LEAP_US
        return self._set_us + self.elapsed_ns() // 1_000

    def elapsed_ns(self) -> int:
        return int(self._machine.now_s() * 1e9)

    def processor_s(self, pid: int) -> float | None:
        child = self._machine.children.get(pid)
        return None if child is None or child.returncode is not None else child.processor_s


class SimulatedMachine:
    """Starts simulated processes, shows virtual time, and has a thread for the disk.

    - `seen`: told of every execution of a turn
    - `before_write`, `after_write`: told before and after the journal's thread does something
    """

    def __init__(
        self,
        chance: Chance,
        behaviours: Mapping[str, Behaviour],
        answer: Answer,
        hashes: Mapping[str, str],
        waved: Collection[str],
        seen: Seen,
        before_write: Callable[[], None],
        after_write: Callable[[], None],
    ) -> None:
        self.chance = chance
        self.children: dict[int, SimulatedChild] = {}
        self.clock = SimulatedClock(self)
        self._behaviours = behaviours
        self._answer = answer
        self._hashes = dict(hashes)
        self._waved = waved
        self._seen = seen
        self._before_write = before_write
        self._after_write = after_write
        self._pid = 1_000
        self._threads: list[SimulatedThread] = []
        self._cut = False

    @property
    def edges(self) -> Edges:
        """The edges of one life of an orchestrator."""
        self._cut = False
        self._threads = []
        self.children = {}
        return Edges(
            launch=self.launch,
            clock=self.clock,
            fuel_rate=lambda: FuelRate(_fuel_ns),
            journal_thread=self._thread,
            waits_in_loop=False,
            telemetry=lambda: None,
        )

    @staticmethod
    def now_s() -> float:
        return asyncio.get_running_loop().time()

    @property
    def living(self) -> list[str]:
        """Names of the processes that have not ended."""
        return [child.name for child in self.children.values() if child.returncode is None]

    async def launch(
        self,
        module: str,
        *,
        name: str,
        transport: Transport = "auto",
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start a process of a module that is known here."""
        if self._cut or self.chance.strikes("refuse"):
            raise EnvironmentFailure("the process could not be started: simulated", where=name)
        self._pid += 1
        child = SimulatedChild(self.chance, name, self._pid, self._program(module))
        self.children[child.pid] = child
        return child

    def _program(self, module: str) -> Callable[[SimulatedChild], SimulatedWorker | SimulatedEngine]:
        if module == WORKER:
            return lambda child: SimulatedWorker(child, self.chance, self._behaviours, self._seen)
        if module == SERVER:
            return lambda child: SimulatedEngine(child, self.chance, self._answer, self._hashes, self._waved)
        raise InvariantError("a process that the simulator does not know", actual=module)

    def _thread(self) -> SimulatedThread:
        thread = SimulatedThread(self.chance, self._before_write, self._after_write)
        self._threads.append(thread)
        return thread

    def cut(self) -> None:
        """Kill the orchestrator: its children go; of what waited for the disk only the first may be there."""
        self._cut = True
        for thread in self._threads:
            thread.cut()
        for child in self.children.values():
            child.kill()


async def _fuel_ns() -> float:
    await asyncio.sleep(1.0)
    return FUEL_NS
