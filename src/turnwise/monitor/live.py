"""Live data of a run as the page has it, with names of agents."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from turnwise.telemetry.sample import Sample


def told(sample: Sample, name: Callable[[int], str]) -> dict[str, Any]:
    """A sample as the page has it; `name` makes names of places."""
    state = sample.state
    return {
        "sample": state.sample,
        "age_ms": max(0, time.time_ns() // 1_000 - state.at_us) // 1_000,
        "phase": state.phase,
        "round": state.round,
        "turns": state.turns,
        "failures": state.failures,
        "executing": [name(place) for place in state.executing],
        "executing_count": state.executing_count,
        "asking": list(dict.fromkeys(name(place) for place in state.asking)),
        "asking_count": state.asking_count,
        "workers": list(state.workers),
        "workers_count": state.workers_count,
        "jobs_queued": state.jobs_queued,
        "worker_deaths": state.worker_deaths,
        "running": state.running,
        "waiting": state.waiting,
        "slots": state.slots,
        "kv_bytes": state.kv_bytes,
        "tokens": state.tokens,
        "restarts": state.restarts,
        "prompt_tokens": state.prompt_tokens,
        "reused_tokens": state.reused_tokens,
        "steps": state.steps,
        "step_rows": state.step_rows,
        "texts": [
            {
                "agent": name(text.place),
                "effect": text.effect,
                "tokens": text.tokens,
                "text": text.tail,
                "cut": text.cut,
            }
            for text in sample.texts
        ],
        "hidden": state.texts_hidden + sample.lost,
    }


class PlaceNames:
    """Names of agents by place, as far as the journal has them: those that were spawned in this round come later."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def lacks(self, sample: Sample) -> bool:
        """Return whether an agent of a sample has no name here yet."""
        state = sample.state
        places = (*state.executing, *state.asking, *[text.place for text in sample.texts])
        return max(places, default=-1) >= len(self._names)

    def take(self, names: list[str]) -> None:
        """Take the names that a journal has now."""
        self._names = names

    def __call__(self, place: int) -> str:
        """Return the name of the agent at a place."""
        return self._names[place] if 0 <= place < len(self._names) else f"agent {place}"
