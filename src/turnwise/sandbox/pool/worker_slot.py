"""A slot: the place of one worker in a pool. The worker may be replaced; the slot stays.

It starts the worker, gives it batches, checks what it returns, watches the deadline, and reports to the pool.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec

from turnwise.confine import Measure
from turnwise.core.contents import Content
from turnwise.core.turn import FailureClass
from turnwise.errors import EnvironmentFailure, InvariantError, TurnwiseError
from turnwise.sandbox.build.code import Code
from turnwise.sandbox.execute.execution import MESSAGE_BYTES_MAX
from turnwise.sandbox.execute.jobs import STDOUT_BYTES_MAX, TurnJob, TurnResult
from turnwise.sandbox.execute.switches import Switches
from turnwise.sandbox.pool import messages
from turnwise.sandbox.pool.batch_queue import Item
from turnwise.sandbox.pool.deadline import Deadline, FuelRate
from turnwise.sharedmem import Child, Launch, LinkMessage, NoMemory, PeerBroken, PeerGone, Transport
from turnwise.system.clock import Clock

if TYPE_CHECKING:
    from typing_extensions import Buffer

WORKER = "turnwise.sandbox.pool.worker"
WORKER_ENVIRONMENT: dict[str, str] = {}
"""Environment of workers beyond the little that every child inherits."""

BATCHES_MAX = 2
START_MS_MAX = 120_000
"""Time within which a worker must be ready: on a busy machine it takes much longer than usual."""

LACK_CHARS_MAX = 1_000

LOOKS = 8
"""Number of times that a worker is looked at within the time that it may stand still."""

BARREN_DEATHS_MAX = 5
"""Workers of one slot that may die in a row without one result and without a job to blame."""


class Owner(Protocol):
    """Interface of the pool, as a slot uses it."""

    def slot_free(self) -> None: ...
    def slot_results(self, results: list[TurnResult], costs_us: dict[int, tuple[int, int]]) -> None: ...
    def slot_died(self, unfinished: list[TurnJob], reason: str) -> None: ...
    def slot_failed(self, error: TurnwiseError) -> None: ...


class Lack(Exception):
    """Report of a worker that the machine refuses what it needs."""


class Misbehaviour(Exception):
    """A message that no honest worker sends."""


FAULTS = (PeerGone, PeerBroken, Lack, Misbehaviour, msgspec.DecodeError)
"""Errors that end a worker, and nothing else."""


class WorkerSlot:
    """Place of one worker at a time. `running`: the jobs that it has, by number, in the order of being given."""

    def __init__(
        self,
        name: str,
        codes: tuple[Code, ...],
        owner: Owner,
        *,
        transport: Transport,
        deadline_ms: int,
        rate: FuelRate,
        launch: Launch,
        clock: Clock,
    ) -> None:
        self.name = name
        self.measures: tuple[Measure, ...] = ()
        self.running: dict[int, Item] = {}
        self.ready = False
        self.deaths = 0
        self.kills = 0
        self._codes = codes
        self._owner = owner
        self._transport: Transport = transport
        self._deadline_s = deadline_ms / 1000
        self._launch = launch
        self._clock = clock
        self._switches = Switches.of_environment(os.environ).environment()
        self._peer: Child | None = None
        self._sending: asyncio.Task[None] | None = None
        self._batches: deque[int] = deque()
        self._rate = rate
        self._deadline: Deadline | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._moved = False
        self._barren = 0
        self._fault: str | None = None
        self._content: Content = b""  # that has come, and the request of which has not

    @property
    def pid(self) -> int | None:
        return None if self._peer is None else self._peer.pid

    @property
    def batches(self) -> int:
        """Number of batches that the worker has."""
        return len(self._batches)

    @property
    def takes_batches(self) -> bool:
        return self.ready and self._sending is None and len(self._batches) < BATCHES_MAX

    async def run(self) -> None:
        """Keep a worker in the slot until cancelled, or until workers turn out not to work."""
        while self._barren <= BARREN_DEATHS_MAX:
            try:
                reason = await self._employ()
            except TurnwiseError as error:
                self._owner.slot_failed(error)
                return
            except Exception as error:
                self._owner.slot_failed(InvariantError(f"{self.name} cannot go on: {error!r}"))
                raise
            self.deaths += 1
            self._barren += 1
            unfinished = [job for job, _ in self.running.values()]
            self.running.clear()
            self._batches.clear()
            self._content = b""
            if unfinished:
                self._barren = 0
                self._owner.slot_died(unfinished, reason)
        self._owner.slot_failed(
            EnvironmentFailure(
                f"{self._barren} workers in a row died before they did anything: {reason}",
                where=self.name,
                hint="`turnwise doctor` says what this machine has and lacks.",
            )
        )

    async def _employ(self) -> str:
        """Start a worker and serve it until it is gone; return the reason, for people."""
        peer = self._peer = await self._launch(
            WORKER, name=self.name, transport=self._transport, environment=self._switches | WORKER_ENVIRONMENT
        )
        self._fault = None
        try:
            await self._serve(peer)
        except FAULTS as error:
            peer.kill()
            return str(error)
        finally:
            self.ready = False
            self._stop_timer()
            if self._sending is not None:
                self._sending.cancel()
                self._sending = None
            self._peer = None
            await peer.close(grace_ms=0)
        if self._fault is not None:
            return self._fault
        return f"it ended with status {peer.returncode}\n{peer.stderr_tail()}".rstrip()

    async def _serve(self, peer: Child) -> None:
        load = [(str(code.path), code.carrier, code.program) for code in self._codes]
        self._timer = asyncio.get_running_loop().call_later(START_MS_MAX / 1000, self._end_beginner)
        await peer.send(messages.LOAD, messages.encode(load))
        while (message := await peer.receive()) is not None:
            with message:
                self._take(message)

    def _take(self, message: LinkMessage) -> None:
        if message.kind == messages.CONTENT:
            self._take_content(message)
            return
        body = bytes(message.body)
        if message.kind == messages.READY and not self.ready:
            self.measures = tuple(Measure(*item) for item in messages.decode_ready(body))
            self._stop_timer()
            self.ready = True
            self._owner.slot_free()
        elif message.kind == messages.RESULTS and self.ready:
            self._take_results(messages.decode_results(body))
        elif message.kind == messages.LACKS:
            text = messages.decode_lacks(body)[:LACK_CHARS_MAX]
            raise Lack(f"the machine lacks memory, or a limit (`ulimit -v`, `ulimit -d`) refuses it: {text}")
        else:
            raise Misbehaviour(f"a worker sent a message of kind {message.kind} out of turn")

    def _take_content(self, message: LinkMessage) -> None:
        """Take the bytes beside the request that follows."""
        if self._content or not message.body:
            raise Misbehaviour("a worker sent a content that belongs to no request")
        bytes_max = max((job.output_bytes_max for job, _ in self.running.values()), default=0)
        if len(message.body) > bytes_max:
            raise Misbehaviour("a worker sent a content beyond the limits of its jobs")
        self._content = message.keep(messages.CONTENT_FILE_BYTES_MIN)

    def _take_results(self, items: list[messages.ResultItem]) -> None:
        content, self._content = self._content, b""
        if content and not items:
            raise Misbehaviour("a worker sent a content that belongs to no request")
        results: dict[int, TurnResult] = {}
        costs_us: dict[int, tuple[int, int]] = {}
        running = self.running
        last = items[-1] if content else None
        for item in items:
            job_id = item[0]
            found = running.get(job_id)
            if found is None or job_id in results:
                raise Misbehaviour(f"a worker returned job {job_id}, which it does not have")
            job, index = found
            results[job_id] = _checked(job, item, content if item is last else b"")
            took_us, jobs = costs_us.get(index, (0, 0))
            costs_us[index] = took_us + item[6], jobs + 1
        for job_id in results:
            del running[job_id]
        finished = len(results)
        while finished:
            step = min(finished, self._batches[0])
            self._batches[0] -= step
            finished -= step
            if not self._batches[0]:
                self._batches.popleft()
        self._barren = 0
        self._moved = True
        self._owner.slot_results(list(results.values()), costs_us)

    def start_batch(self, batch: list[Item]) -> None:
        """Give the worker a batch. Only when `takes_batches`."""
        peer = self._peer
        if peer is None:
            raise InvariantError(f"{self.name} was given a batch while it has no worker")
        if self._timer is None:
            self._watch()
        if not self.running:
            self._moved = True
        for item in batch:
            self.running[item[0].id] = item
        self._batches.append(len(batch))
        kind, parts = messages.jobs_message(
            [
                (job.id, index, job.encoded_input(), job.replies, job.fuel, job.memory_bytes, job.output_bytes_max)
                for job, index in batch
            ]
        )
        try:
            if not peer.send_nowait(kind, *parts):
                self._sending = asyncio.create_task(self._send(peer, kind, parts))
        except (PeerGone, PeerBroken):
            return  # the end of file follows, and the jobs run again
        except NoMemory as error:
            self._owner.slot_failed(error)

    async def _send(self, peer: Child, kind: int, parts: list[Buffer]) -> None:
        try:
            await peer.send(kind, *parts)
        except (PeerGone, PeerBroken):
            pass  # the end of file follows, and the jobs run again
        except NoMemory as error:
            self._owner.slot_failed(error)
        self._sending = None
        self._owner.slot_free()

    def take_soon(self, wait_ms: int) -> bool:
        """Take results of the worker outside of the event loop, which are waited for so long; whether there were any.

        Whatever is wrong ends the worker, and `run` finds that.
        """
        peer = self._peer
        if peer is None or not self.ready:
            return False
        try:
            message = peer.receive_soon(wait_ms)
            if message is None:
                return False
            with message:
                self._take(message)
        except FAULTS as error:
            self._fault = self._fault or str(error)
            peer.kill()
            return False
        return True

    def _watch(self) -> None:
        """Look at the worker, a few times within the time that it may stand still."""
        self._timer = asyncio.get_running_loop().call_later(self._deadline_s / LOOKS, self._look)

    def _look(self) -> None:
        """Look whether the worker has moved since the last look; its deadline counts from the first time it has not.

        So most batches cost no look at all, and a worker has up to one look's time more than its deadline.
        """
        self._timer = None
        peer = self._peer
        if peer is None or not self.running:
            return
        if self._moved or self._deadline is None:
            self._moved = False
            self._deadline = Deadline(peer.pid, self._deadline_s, self._rate, self._clock)
        elif (overdue := self._deadline.check(job for job, _ in self.running.values())) is not None:
            self._end(overdue)
            return
        self._watch()

    def _end_beginner(self) -> None:
        self._timer = None
        self._end(f"not ready after {START_MS_MAX // 1000} s")

    def _end(self, reason: str) -> None:
        if self._peer is not None:
            self.kills += 1
            self._fault = reason
            self._peer.kill()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _checked(job: TurnJob, item: messages.ResultItem, content: Content) -> TurnResult:
    """Return the result of `job`, or raise `Misbehaviour` if it is none that the job can have."""
    job_id, status, body, failure, fuel, stdout, _ = item
    body_bytes_max = MESSAGE_BYTES_MAX if status == "failed" else job.output_bytes_max
    if len(body) + len(content) > body_bytes_max or not 0 <= fuel <= job.fuel or len(stdout) > STDOUT_BYTES_MAX:
        raise Misbehaviour(f"a worker returned job {job_id} beyond its limits")
    if (failure is not None) != (status == "failed"):
        raise Misbehaviour(f"a worker returned job {job_id} as {status} with failure {failure}")
    if content and status != "needs":
        raise Misbehaviour(f"a worker returned job {job_id} as {status} with a content")
    try:
        kind = None if failure is None else FailureClass(failure)
        return TurnResult(job_id, status, body, kind, fuel, stdout, content)
    except ValueError:
        raise Misbehaviour(f"a worker returned job {job_id} with an unknown failure") from None
