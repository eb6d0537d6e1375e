"""What a run may promise of its models, from what was observed of them when they were loaded."""

from __future__ import annotations

from collections.abc import Mapping

from turnwise.core.promise import caution, promise_of
from turnwise.core.records import WaveRecord
from turnwise.errors import JournalError
from turnwise.inference.batch_plan import BatchPlan, read_plan
from turnwise.inference.model import ModelInfo
from turnwise.journal import Journal

Models = Mapping[str, ModelInfo]


def plan_bound(models: Models) -> list[str]:
    """The models that must be asked in waves."""
    return [name for name, info in models.items() if info.numeric and info.numeric.numeric_class == "plan-bound"]


def cautions(models: Models) -> list[str]:
    """A line about each model that does not promise the same bits whatever runs beside what."""
    found = [caution(name, promise_of(info.numeric.numeric_class)) for name, info in models.items() if info.numeric]
    found += [
        f"{name} has less memory here than waves of it take elsewhere: on a machine with more, the head may be another"
        for name in plan_bound(models)
        if not models[name].room_for_waves
    ]
    return [line for line in found if line is not None]


def recorded_plan(journal: Journal, wave: WaveRecord) -> BatchPlan:
    """The plan of a recorded wave. Raises JournalError if it is none."""
    try:
        return read_plan(wave.plan)
    except ValueError as error:
        raise JournalError(
            f"the journal is damaged: the plan of a wave of {wave.model} cannot be read: {error}",
            where=str(journal.path),
            hint="Nothing was changed. Take a copy from a backup.",
        ) from error


def changed_plans(journal: Journal, models: Models) -> list[str]:
    """A line about each model whose next waves cannot be what they would have been where the run was begun."""
    found = []
    for name in plan_bound(models):
        info = models[name]
        wave = journal.last_wave(name)
        if wave is None or info.numeric is None:
            continue
        plan = recorded_plan(journal, wave)
        if (plan.threads, plan.batching) != (info.threads, info.numeric.batching):
            found.append(
                f"{name} has answered on {plan.threads} threads, {plan.batching!r} batches, and goes on with "
                f"{info.threads}, {info.numeric.batching!r}: the head may be another than without the interruption"
            )
    return found
