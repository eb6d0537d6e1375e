"""The reproducibility that a run may promise of its models, as observed when they were loaded."""

from __future__ import annotations

from collections.abc import Mapping

from turnwise.core.promise import caution, promise_of
from turnwise.core.records import WaveRecord
from turnwise.errors import JournalError
from turnwise.inference.plans.batch_plan import BatchPlan, read_plan
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.journal import Journal
from turnwise.journal.read.recorded_numeric import recorded_numeric

Models = Mapping[str, ModelInfo]


def plan_bound(models: Models) -> list[str]:
    """Return the models that must be asked in waves."""
    return [name for name, info in models.items() if info.numeric and info.numeric.numeric_class == "plan-bound"]


def cautions(models: Models) -> list[str]:
    """Return a line about each model that does not promise the same bits whatever runs beside what."""
    found = [
        caution(name, promise_of(info.numeric.numeric_class), given_up=not info.numeric.reproducible)
        for name, info in models.items()
        if info.numeric
    ]
    found += [
        f"{name} has less memory here than waves of it take elsewhere: on a machine with more, the head may be another"
        for name in plan_bound(models)
        if not models[name].room_for_waves
    ]
    return [line for line in found if line is not None]


def recorded_plan(journal: Journal, wave: WaveRecord) -> BatchPlan:
    """Return the plan of a recorded wave. Raises JournalError if it is none."""
    try:
        return read_plan(wave.plan)
    except ValueError as error:
        raise JournalError(
            f"the journal is damaged: the plan of a wave of {wave.model} cannot be read: {error}",
            where=str(journal.path),
            hint="Nothing was changed. Take a copy from a backup.",
        ) from error


def changed(journal: Journal, models: Models) -> list[str]:
    """Return a line about each model whose answers may not be what they would have been where the run was begun.

    To be asked before this process is noted as a writer.
    """
    found = []
    before = recorded_numeric(journal.header.writers()[-1].versions, journal.path)
    for name, info in models.items():
        now, was = info.numeric, before.get(name)
        if now is None or was is None:
            continue
        wave = journal.rounds.last_wave(name)
        threads = info.threads if wave is None else recorded_plan(journal, wave).threads
        if (was.promise, was.batching, threads) != (promise_of(now.numeric_class), now.batching, info.threads):
            found.append(
                f"{name} was {was.promise} with {was.batching!r} batches on {threads} threads, and is "
                f"{now.numeric_class} with {now.batching!r} batches on {info.threads}: the head may be another than "
                "without the interruption"
            )
    return found
