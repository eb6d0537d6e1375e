"""The program of a simulated sandbox worker: it speaks as the real one does, and executes Python functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.replies import as_text
from turnwise.sandbox.pool import messages
from turnwise.sandbox.pool.messages import JobItem, ResultItem
from turnwise.sim.behaviour import Behaviour, execute
from turnwise.sim.chance import Chance
from turnwise.sim.child import SimulatedChild

START_S = 0.2
JOB_S = 0.002

Seen = Callable[[bytes, tuple[bytes, ...]], None]
"""Told of every execution: the turn's input and the replies that it was given."""


class SimulatedWorker:
    """Executes batches of jobs, one job after the other; results go out by ones or several at once."""

    def __init__(
        self, process: SimulatedChild, chance: Chance, behaviours: Mapping[str, Behaviour], seen: Seen
    ) -> None:
        self._process = process
        self._chance = chance
        self._behaviours = behaviours
        self._seen = seen
        self._codes: list[Behaviour] | None = None
        self._results: list[ResultItem] = []

    def take(self, kind: int, body: bytes) -> None:
        if self._codes is None:
            self._codes = [self._behaviours[path] for path, _, _ in messages.decode_load(body)]
            self._process.compute(START_S * self._chance.random(), self._ready)
            return
        jobs = messages.read_jobs(kind, memoryview(body))
        for left, job in zip(range(len(jobs) - 1, -1, -1), jobs, strict=True):
            self._process.compute(JOB_S * self._chance.random(), lambda job=job, last=not left: self._run(job, last))  # type: ignore[misc]

    def lack(self) -> None:
        self._process.write(messages.LACKS, messages.encode("simulated"))
        self._process.exit(1)

    def lie(self) -> None:
        strange: list[ResultItem] = [
            (2**40, "completed", b"{}", None, 1, "", 1),
            (0, "failed", b"", "no such class", 1, "", 1),
            (1, "completed", b"{}", None, 2**62, "", 1),
            (1, "completed", b"{}", "raised", 1, "", 1),
        ]
        how = self._chance.below(len(strange) + 1)
        if how == len(strange):
            self._ready()
        else:
            self._process.write(messages.RESULTS, messages.encode([strange[how]]))

    def _ready(self) -> None:
        self._process.write(messages.READY, messages.encode([]))

    def _run(self, job: JobItem, last: bool) -> None:
        number, code, envelope, replies, fuel_max, _, output_bytes_max = job
        if self._codes is None:
            raise ValueError("a job before any code")
        texts = tuple(map(as_text, replies))
        self._seen(envelope, texts)
        status, text = execute(self._codes[code], envelope, texts)
        body, failure = text.encode(), FailureClass.RAISED.value if status == "failed" else None
        fuel = 100 + len(envelope) + sum(map(len, texts))
        if fuel > fuel_max:
            status, body, failure, fuel = "failed", b"out of fuel", FailureClass.FUEL.value, fuel_max
        elif len(body) > output_bytes_max:
            status, body, failure = "failed", b"too large", FailureClass.OUTPUT_SIZE.value
        self._results.append((number, status, body, failure, fuel, "", 1 + self._chance.below(2_000)))
        if last or self._chance.below(2):
            results, self._results = self._results, []
            self._process.write(messages.RESULTS, messages.encode(results))
