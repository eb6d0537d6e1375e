"""A run that others may watch: some times a second, a sample of where it is goes into memory that they can read.

Nothing waits for them, and nothing of what they do is seen here. The cost is one sample each INTERVAL_S, whatever the
number of agents and turns: the lists in it are bounded, and its counts are kept anyway.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from types import TracebackType
from typing import Final, Self

from turnwise.orchestrator.driver import Driver
from turnwise.orchestrator.effects import ModelEffects
from turnwise.orchestrator.model_hosts import ModelHosts
from turnwise.sandbox.pool.pool import Pool
from turnwise.system.clock import SYSTEM_CLOCK, Clock
from turnwise.telemetry.ring import RingWriter
from turnwise.telemetry.sample import PLACES_MAX, TEXTS_MAX, WORKERS_MAX, GeneratedText, State, slots_of

INTERVAL_S: Final = 0.1
"""Time between two samples."""


class Watched:
    """Writes the samples of one run. A context manager, which owns the ring."""

    def __init__(
        self,
        ring: RingWriter,
        driver: Driver,
        pool: Pool,
        host: ModelHosts,
        effects: ModelEffects,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._ring = ring
        self._driver = driver
        self._pool = pool
        self._host = host
        self._effects = effects
        self._clock = clock
        self._sample = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Write a sample now, and another each INTERVAL_S in the event loop."""
        self.write()
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self.begin)

    def write(self) -> None:
        """Write a sample."""
        texts = self._texts()
        self._sample += 1
        self._ring.write(slots_of(self._state(len(texts[:TEXTS_MAX]), len(texts)), texts[:TEXTS_MAX]))

    def _texts(self) -> list[GeneratedText]:
        """Texts of effects that are not answered yet; the process may have told of others, a moment ago."""
        asking = self._driver.asking
        found = []
        for text in self._host.texts:
            asked = asking.get(self._effects.asked(text.id))
            if asked is not None:
                found.append(GeneratedText(*asked, text.tokens, text.tail, text.cut))
        return found

    def _state(self, texts: int, texts_all: int) -> State:
        driver, models, pool = self._driver, self._host.statistics(), self._pool.statistics()
        counts, executing, asking = driver.counts, driver.executing, driver.asking
        return State(
            sample=self._sample,
            at_us=self._clock.wall_us(),
            texts=texts,
            phase="ended" if driver.over else "playing",
            round=driver.machine.round,
            rounds=counts.rounds,
            turns=counts.turns,
            failures=counts.failures,
            executing=tuple(islice(executing, PLACES_MAX)),
            executing_count=len(executing),
            asking=tuple([place for place, _ in islice(asking.values(), PLACES_MAX)]),
            asking_count=len(asking),
            workers=tuple([-1 if jobs is None else jobs for jobs in self._pool.jobs[:WORKERS_MAX]]),
            workers_count=pool.workers,
            jobs_queued=pool.queued,
            worker_deaths=pool.deaths,
            running=models.running,
            waiting=models.waiting,
            slots=models.slots,
            kv_bytes=models.kv_bytes,
            tokens=models.tokens,
            restarts=models.restarts,
            texts_hidden=texts_all - texts,
            prompt_tokens=models.prompt_tokens,
            reused_tokens=models.reused_tokens,
            steps=models.steps,
            step_rows=models.step_rows,
        )

    def close(self) -> None:
        """Stop, and give up the memory."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
