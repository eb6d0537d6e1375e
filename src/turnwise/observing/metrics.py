"""Metrics of a run, for Prometheus: counts of what was committed, and gauges of what is live."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from turnwise.core.question import ASK
from turnwise.exports.moments import RoundMoments
from turnwise.observing.tail import Looked
from turnwise.telemetry.sample import State

SECONDS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0)
"""Bounds of the histograms of times."""


class Metrics:
    """Metrics of one run, in a registry of their own. Counts begin with the process that counts."""

    def __init__(self, info: Mapping[str, str]) -> None:
        self.registry = registry = CollectorRegistry()
        Info("turnwise_run", "The run that is observed", registry=registry).info(dict(info))
        self._rounds = Counter("turnwise_rounds", "Rounds that were committed", registry=registry)
        self._skipped = Counter("turnwise_rounds_skipped", "Rounds that came too fast to be read", registry=registry)
        self._turns = Counter("turnwise_turns", "Turns that were committed", ["outcome"], registry=registry)
        self._messages = Counter("turnwise_messages", "Messages that were sent", ["origin"], registry=registry)
        self._effects = Counter("turnwise_effects", "Effects with an answer", ("kind", "outcome"), registry=registry)
        self._tokens = Counter("turnwise_tokens", "Tokens of models", ["model", "type"], registry=registry)
        self._spans = Counter("turnwise_otlp_spans", "Spans for the collector", ["outcome"], registry=registry)
        self._round_s = Histogram("turnwise_round_seconds", "Time of a round", buckets=SECONDS, registry=registry)
        self._turn_s = Histogram("turnwise_turn_seconds", "Time of a turn", buckets=SECONDS, registry=registry)
        self._effect_s = Histogram(
            "turnwise_effect_seconds", "Time of an effect", ["kind"], buckets=SECONDS, registry=registry
        )
        self._round = Gauge("turnwise_round", "Round that was committed last", registry=registry)
        self._questions = Counter("turnwise_questions", "Questions to people", ["event"], registry=registry)
        self._playing = Gauge("turnwise_playing", "1 while a process plays the run", registry=registry)
        self._live = {
            name: Gauge(f"turnwise_{name}", text, registry=registry)
            for name, text in {
                "turns_executing": "Turns that are executed or wait for a sandbox",
                "effects_asked": "Effects that are not answered",
                "workers": "Sandbox workers",
                "jobs_queued": "Executions that no worker has yet",
                "worker_deaths": "Workers that had to be replaced, since the run was begun or resumed",
                "sequences_running": "Sequences that have a slot of an engine",
                "requests_waiting": "Requests that wait for a slot",
                "slots": "Slots of all engines",
                "kv_bytes": "Memory of KV caches",
                "inference_restarts": "Inference processes that had to be replaced, since the run was begun or resumed",
                "sampled_timestamp_seconds": "Time of the newest sample",
            }.items()
        }
        self._told = (0, 0, 0)

    def looked(self, looked: Looked) -> None:
        """Take the result of a look."""
        self._round.set(looked.last)
        self._skipped.inc(looked.skipped)
        for moment in looked.rounds:
            self._take(moment)

    def _take(self, moment: RoundMoments) -> None:
        record = moment.record
        self._rounds.inc()
        failed = sum(turn.failure is not None for turn in record.turns)
        self._turns.labels("completed").inc(len(record.turns) - failed)
        self._turns.labels("failed").inc(failed)
        self._messages.labels("agents").inc(len(record.messages))
        self._messages.labels("outside").inc(len(record.inputs))
        if moment.times is not None:
            self._round_s.observe(moment.duration_us / 1e6)
            for span in moment.times.turns.values():
                self._turn_s.observe(span.duration_us / 1e6)
        self._questions.labels("asked").inc(sum(asked.kind == ASK for park in record.parks for asked in park.questions))
        self._questions.labels("answered").inc(len(record.answers))
        for place, effect in record.effects():
            reply = json.loads(effect.reply)
            ok = reply.get("ok") if isinstance(reply, dict) else None
            self._effects.labels(effect.kind, "error" if ok is None and "error" in reply else "ok").inc()
            if moment.times is not None and (place, effect.index) in moment.times.effects:
                self._effect_s.labels(effect.kind).observe(moment.effect(place, effect.index).duration_us / 1e6)
            if effect.model is not None and isinstance(ok, dict):
                self._count_tokens(effect.model, ok)

    def _count_tokens(self, model: str, ok: Mapping[str, Any]) -> None:
        for member, type_ in (("prompt_tokens", "input"), ("tokens", "output")):
            if type(ok.get(member)) is int:
                self._tokens.labels(model, type_).inc(ok[member])

    def spans(self, sent: int, failed: int, dropped: int) -> None:
        """Take how many spans the collector has taken, has refused, and had no time for."""
        before, self._told = self._told, (sent, failed, dropped)
        for outcome, was, now in zip(("sent", "failed", "dropped"), before, self._told, strict=True):
            self._spans.labels(outcome).inc(now - was)

    def live(self, state: State | None) -> None:
        """Take the newest sample; None if nobody plays the run, or it tells nothing."""
        self._playing.set(0 if state is None or state.phase == "ended" else 1)
        if state is None:
            return
        values = {
            "turns_executing": state.executing_count,
            "effects_asked": state.asking_count,
            "workers": state.workers_count,
            "jobs_queued": state.jobs_queued,
            "worker_deaths": state.worker_deaths,
            "sequences_running": state.running,
            "requests_waiting": state.waiting,
            "slots": state.slots,
            "kv_bytes": state.kv_bytes,
            "inference_restarts": state.restarts,
            "sampled_timestamp_seconds": state.at_us / 1e6,
        }
        for name, value in values.items():
            self._live[name].set(value)
