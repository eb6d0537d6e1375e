"""Reproducibility of a run that asked models, by the numeric classes of these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

Promise = Literal["batch-invariant", "plan-bound", "none"]
"""Reproducibility of the models' answers, asked again on the same machine with the same versions.

The same bits whatever runs beside what; the same bits in the same batches only, which the journal holds; or nothing
that is known. The agents' own logic, and replay with recorded answers, need no such promise.
"""

_FROM_STRONGEST: Final[tuple[Promise, ...]] = ("batch-invariant", "plan-bound", "none")


def promise_of(numeric_class: str) -> Promise:
    """Return the promise of one model's class. A class that is not known promises nothing."""
    for known in _FROM_STRONGEST:
        if known == numeric_class:
            return known
    return "none"


def weakest(promises: Iterable[Promise]) -> Promise:
    """Return the promise of several models together, the weakest of theirs."""
    return max(promises, key=_FROM_STRONGEST.index, default="batch-invariant")


def caution(model: str, promise: Promise, *, given_up: bool = False) -> str | None:
    """A line for people about a model that does not promise everything. `given_up`: since nobody wanted that."""
    if promise == "plan-bound":
        return (
            f"{model} is plan-bound: its answers depend on what runs beside what, so turns wait for each other in "
            "waves; on the same machine and versions the head is the same, and a change in a fork may change the "
            "answers of agents that it has not reached"
        )
    if promise == "none":
        return (
            f"{model} may answer otherwise when it is asked the same again"
            f"{' (reproducible = false)' if given_up else ''}: this run can be replayed with its recorded answers, and "
            "nothing is promised of another"
        )
    return None
