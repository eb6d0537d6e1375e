"""The driver beside parts that fail: between rounds, in one, and while a round is committed."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.core.worlds import kind, plan
from turnwise.core.canonical import canonical
from turnwise.core.machine import Machine
from turnwise.core.plan import KindGrants
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.tool_plan import SamplingPlan, ToolPlan, ToolServerPlan
from turnwise.errors import EnvironmentFailure, InvariantError
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.orchestrator.driver import LOOP_HELD_NS, Driver
from turnwise.orchestrator.session import Session
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.system.clock import SYSTEM_CLOCK, Clock

ROUND_S_MAX = 60
AHEAD_MAX = 100


class Parts:
    """Sandboxes that answer each job with the same output, if they answer at all, and a sink that can fail."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.on_failure: Callable[[BaseException], None] | None = None
        machine = Machine(plan([kind("a", start=True)], rounds_max=100), "{}")
        self.driver = Driver(machine, self, clock)
        self.driver.sandboxes = self
        self.answers = True
        self.jobs: list[TurnJob] = []
        self.committed: list[int] = []
        self.waiting: list[int] = []
        self.is_held = False
        self.failure: Exception | None = None

    def submit(self, jobs: Sequence[TurnJob]) -> None:
        self.jobs += jobs
        if self.answers:
            body = b'{"state":"","wake_in":1}'
            results = [TurnResult(job.id, "completed", body, None, 1, "") for job in jobs]
            asyncio.get_running_loop().call_soon(self.driver.on_results, results)

    async def hand_over(self, commit: RoundCommit) -> None:
        if len(self.waiting) >= AHEAD_MAX:
            self.release()
        self.waiting.append(commit.record.round)
        if not self.is_held:
            asyncio.get_running_loop().call_soon(self.release)

    async def commit(self, commit: RoundCommit) -> None:
        await self.hand_over(commit)
        await self.wait_durable()

    async def wait_durable(self) -> None:
        self.release()
        if self.failure is not None:
            raise self.failure

    def release(self) -> None:
        """The disk has what was handed over, or has failed."""
        if self.failure is None:
            self.committed += self.waiting
        elif self.waiting and self.on_failure is not None:
            self.on_failure(self.failure)
        self.waiting = []

    async def end(self, record: EndRecord) -> None:
        raise AssertionError(record)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Fails rather than hangs."""
    asyncio.run(asyncio.wait_for(coroutine, ROUND_S_MAX))


def test_a_failure_before_the_first_round_is_raised_by_it() -> None:
    async def main() -> None:
        parts = Parts()
        parts.answers = False
        parts.driver.on_failure(EnvironmentFailure("no worker can be started"))
        with pytest.raises(EnvironmentFailure, match="no worker"):
            await parts.driver.round()
        assert parts.jobs == []

    run(main())


def test_a_failure_between_rounds_is_raised_by_the_next_and_all_after_it() -> None:
    async def main() -> None:
        parts = Parts()
        await parts.driver.round()
        parts.driver.on_failure(EnvironmentFailure("the workers are gone"))
        parts.driver.on_failure(EnvironmentFailure("so is the rest"))
        for _ in range(2):
            with pytest.raises(EnvironmentFailure, match="the workers are gone"):
                await parts.driver.round()
        await parts.driver.settle()
        assert parts.committed == [1]

    run(main())


def test_a_failure_while_news_are_waited_for_is_raised_to_who_waits() -> None:
    """Found by the simulated world that calls tools: who waited was not told, and waited for ever."""

    async def main() -> None:
        parts = Parts()
        session = Session(parts.driver, AsyncExitStack(), None)
        waiting = asyncio.create_task(session.wait_news(ROUND_S_MAX * 10))
        await asyncio.sleep(0)
        parts.driver.on_failure(EnvironmentFailure("the disk is full"))
        with pytest.raises(EnvironmentFailure, match="the disk is full"):
            await waiting

    run(main())


def test_a_failure_in_a_round_ends_it() -> None:
    async def main() -> None:
        parts = Parts()
        parts.answers = False
        playing = asyncio.create_task(parts.driver.round())
        while not parts.jobs:
            await asyncio.sleep(0)
        parts.driver.on_failure(EnvironmentFailure("the workers are gone"))
        with pytest.raises(EnvironmentFailure, match="gone"):
            await playing
        with pytest.raises(EnvironmentFailure, match="gone"):
            await parts.driver.round()

    run(main())


def test_a_commit_that_fails_ends_the_round_in_progress() -> None:
    async def main() -> None:
        parts = Parts()
        parts.is_held = True
        await parts.driver.round()
        parts.answers = False
        playing = asyncio.create_task(parts.driver.round())
        while len(parts.jobs) < 2:
            await asyncio.sleep(0)
        parts.failure = EnvironmentFailure("the disk is full")
        parts.release()
        with pytest.raises(EnvironmentFailure, match="the disk is full"):
            await playing
        with pytest.raises(EnvironmentFailure, match="the disk is full"):
            await parts.driver.settle()

    run(main())


def test_a_commit_that_fails_by_a_defect_ends_the_run_as_one() -> None:
    async def main() -> None:
        parts = Parts()
        parts.failure = ZeroDivisionError("in the writer")
        await parts.driver.round()
        parts.answers = False
        with pytest.raises(InvariantError, match="ZeroDivisionError: in the writer"):
            await parts.driver.round()

    run(main())


def test_a_round_is_durable_when_it_returns_if_that_is_asked() -> None:
    async def main() -> None:
        parts = Parts()
        parts.is_held = True
        await parts.driver.round()
        assert parts.committed == []
        await parts.driver.round(durable=True)
        assert parts.committed == [1, 2]

    run(main())


class Ticking:
    """A clock that goes on when it is looked at: some rounds take as long as the loop may be kept from running."""

    def __init__(self) -> None:
        self.now_ns = 0

    def wall_us(self) -> int:
        return self.elapsed_ns() // 1_000

    def elapsed_ns(self) -> int:
        self.now_ns += LOOP_HELD_NS // 20
        return self.now_ns

    def processor_s(self, pid: int) -> float | None:
        raise AssertionError(pid)


class Soon:
    """Waits for results outside of the loop: `parts` answer a job when somebody waits, at most `times` in a row."""

    def __init__(self, parts: Parts, times: int = 10**9) -> None:
        self.parts = parts
        self.times = times
        self.waited = 0
        parts.answers = False
        parts.driver.take_soon = self

    def __call__(self) -> bool:
        self.waited += 1
        if self.waited > self.times:
            return False
        job = self.parts.jobs[-1]
        self.parts.driver.on_results([TurnResult(job.id, "completed", b'{"state":"","wake_in":1}', None, 1, "")])
        return True


def test_rounds_whose_results_come_soon_do_without_the_loop_and_let_it_run_all_the_same() -> None:
    async def main() -> None:
        parts, ran = Parts(Ticking()), 0

        def count() -> None:
            nonlocal ran
            ran += 1
            asyncio.get_running_loop().call_soon(count)

        count()
        soon = Soon(parts)
        for _ in range(40):
            await parts.driver.round()
        assert soon.waited == 40
        assert 5 < ran <= 20
        await parts.driver.settle()
        assert parts.committed == list(range(1, 41))

    run(main())


def test_results_that_do_not_come_soon_come_by_the_loop() -> None:
    async def main() -> None:
        parts = Parts()
        soon = Soon(parts, times=0)
        playing = asyncio.create_task(parts.driver.round())
        while not parts.jobs:
            await asyncio.sleep(0)
        assert not playing.done()
        soon.times = 10
        assert soon()
        assert isinstance(await playing, RoundRecord)

    run(main())


def test_nothing_is_waited_for_outside_of_the_loop_while_effects_are_asked_for() -> None:
    async def main() -> None:
        parts = Parts()
        soon = Soon(parts)
        parts.driver._requests[7] = (0, 0)  # as a turn's that has asked for one
        playing = asyncio.create_task(parts.driver.round())
        while not parts.jobs:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert soon.waited == 0
        parts.driver._requests.clear()
        assert soon()
        await playing

    run(main())


def test_a_failure_while_results_are_waited_for_outside_of_the_loop_ends_the_round() -> None:
    async def main() -> None:
        parts = Parts()
        parts.answers = False

        def fail() -> bool:
            parts.driver.on_failure(EnvironmentFailure("the workers are gone"))
            return False

        parts.driver.take_soon = fail
        with pytest.raises(EnvironmentFailure, match="the workers are gone"):
            await parts.driver.round()

    run(main())


class Outside(Parts):
    """Parts of an agent that calls two tools at once; `told` is what models and tools are asked, in order."""

    def __init__(self, sampling: SamplingPlan | None) -> None:
        super().__init__()
        asked = plan([kind("a", start=True, grants=KindGrants(call=("s",)))])
        server = ToolServerPlan("s", (ToolPlan("t"),), sampling=sampling)
        self.driver = Driver(Machine(dataclasses.replace(asked, tools=(server,))), self)
        self.driver.sandboxes = self
        self.driver.calls = _Told(self, "call")
        self.driver.effects = _Told(self, "model")
        self.ids: dict[str, list[int]] = {"call": [], "model": []}
        self.settled = 0

    def submit(self, jobs: Sequence[TurnJob]) -> None:
        needs = b'{"effects":[{"effect":"call","tool":"s.t","args":{}},{"effect":"call","tool":"s.t","args":{}}]}'
        for job in jobs:
            told = ("completed", b'{"state":""}') if job.replies else ("needs", needs)
            result = TurnResult(job.id, *told, None, 1, "")  # type: ignore[arg-type]
            asyncio.get_running_loop().call_soon(self.driver.on_results, [result])


class _Told:
    def __init__(self, parts: Outside, who: str) -> None:
        self._parts, self._who = parts, who

    def submit(self, *args: Any, **_: Any) -> None:
        self._parts.ids[self._who] += [id_ for id_, _ in args[-1]]

    def settled(self, round_: int, calling: Collection[int] = ()) -> None:
        self._parts.settled += 1


@pytest.mark.parametrize("may_ask", [True, False])
def test_a_wave_waits_for_calls_whose_servers_may_ask_models(may_ask: bool) -> None:
    """One of two calls has its server ask a model: what the other's server may ask belongs into the same wave."""

    async def main() -> None:
        parts = Outside(SamplingPlan(("m",)))
        playing = asyncio.create_task(parts.driver.round())
        while len(parts.ids["call"]) < 2:
            await asyncio.sleep(0)
        if not may_ask:  # the control: of such a server nothing is waited for
            parts.driver._may_sample.clear()
        one, two = parts.ids["call"]
        request = {"key": "k", "hints": [], "request": {"messages": [{"role": "user", "content": "?"}]}}
        parts.settled = 0
        parts.driver.on_call(one, canonical({"sample": {"requests": [request], "state": ""}}))
        assert len(parts.ids["model"]) == 1
        assert parts.settled == (0 if may_ask else 1)
        parts.driver.on_call(two, canonical({"ok": {"text": "done"}}))
        assert parts.settled == (1 if may_ask else 2)
        parts.driver.on_replies([(parts.ids["model"][0], canonical({"ok": {"text": "!"}}), None)])
        parts.driver.on_call(parts.ids["call"][2], canonical({"ok": {"text": "done"}}))
        record = await playing
        assert isinstance(record, RoundRecord)
        assert [effect.kind for effect in record.turns[0].effects] == ["call", "call", "sampling", "generate"]

    run(main())
