"""Serves one language model: requests as they come, or waves, one after the other with nothing beside them.

Each wave has an engine of its own, so that nothing of what ran before can show in it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import fields

from turnwise.inference.engine.engine import Engine, EngineEvent, EngineStatistics
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.wave import OpenWave, Wave, WaveReply
from turnwise.inference.requests.check_request import CheckRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, RunningText


class ModelServer:
    """Takes requests and waves, answers each once. Not thread-safe."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._machine = model.machine_plan
        self._waves_have = self._machine.for_waves()
        self._engine = Engine(model)
        self._for_wave = False
        self._open: OpenWave | None = None
        self._waves: deque[Wave] = deque()
        self._later: list[GenerateRequest | CheckRequest] = []
        self._before = EngineStatistics()

    @property
    def pending(self) -> bool:
        """True if `step` has something to do."""
        return bool(self._open or self._waves or self._later or self._engine.pending)

    def submit(self, request: GenerateRequest | CheckRequest) -> None:
        """Take a request, or a recorded answer to check. While there are waves it waits."""
        if self._open or self._waves:
            self._later.append(request)
            return
        if self._for_wave:
            self._change(self._machine, for_wave=False)
        if isinstance(request, CheckRequest):
            self._engine.check(request)
        else:
            self._engine.submit(request)

    def submit_wave(self, wave: Wave) -> None:
        """Take a wave. It begins when nothing else runs."""
        self._waves.append(wave)

    def cancel(self, number: int) -> None:
        """Drop a request. One of a wave is run to its end all the same: the bits of the others depend on it."""
        self._later = [request for request in self._later if request.id != number]
        if self._open is None:
            self._engine.cancel(number)

    def step(self) -> list[EngineEvent | WaveReply]:
        """Run the graph once; returns what came of it. A wave is answered as a whole."""
        if not self._engine.pending and self._open is None and (refused := self._next()):
            return [refused]
        events = self._engine.step()
        if self._open is None:
            return list(events)
        self._open.take(event for event in events if isinstance(event, GenerateReply))
        if not self._open.complete:
            return []
        reply, self._open = self._open.reply(), None
        return [reply]

    def statistics(self) -> EngineStatistics:
        """Counts of all engines together."""
        now = self._engine.statistics()
        waiting = sum(len(wave.requests) for wave in self._waves) + len(self._later)
        return _sum(self._before, now, EngineStatistics(waiting=waiting))

    def running_texts(self, count_max: int, chars_max: int) -> list[RunningText]:
        """Return the ends of texts that are being generated, in the order of their requests."""
        return self._engine.running_texts(count_max, chars_max)

    def _next(self) -> WaveReply | None:
        """Begin the next wave, or what waits for its end; returns the answer to a wave that cannot run here."""
        if not self._waves:
            later, self._later = self._later, []
            for request in later:
                self.submit(request)
            return None
        wave = self._waves.popleft()
        if wave.plan is not None and (problem := wave.plan.problem(self._machine)):
            return WaveReply(wave.id, wave.plan, (), problem)
        self._change(wave.plan or self._waves_have, for_wave=True)
        for request in wave.requests:
            self._engine.submit(request)
        self._open = OpenWave(wave, wave.plan or self._waves_have.for_wave(self._engine.lengths))
        return None

    def _change(self, plan: BatchPlan, *, for_wave: bool) -> None:
        """Go on with a new engine, whose cache is empty."""
        done = self._engine.statistics()
        self._before = _sum(self._before, done, EngineStatistics(cached_blocks=-done.cached_blocks, slots=-done.slots))
        self._engine = Engine(self._model, plan, wave=for_wave)
        self._for_wave = for_wave


def _sum(*counts: EngineStatistics) -> EngineStatistics:
    names = [field.name for field in fields(EngineStatistics)]
    return EngineStatistics(*[sum(getattr(count, name) for count in counts) for name in names])
