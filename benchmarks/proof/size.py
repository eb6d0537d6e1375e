"""How much is done: for a look, or for a claim."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Numbers of everything that is measured."""

    times: int
    """Repetitions of what takes up to a few seconds."""
    times_of_models: int
    """Repetitions of what a model bounds."""
    askers: int
    """Agents that ask a model, all in each round."""
    asked_rounds: int
    tokens: int
    """Tokens of an answer, at most."""
    turns: int
    """Rounds of two agents that compute and write to each other."""
    steps: int
    """What each of them computes in a turn."""
    diffed: int
    """Turns of each of the two runs that are compared."""
    bundled: int
    """Turns of the run that is bundled."""
    resumed: int
    """Turns of the run that is taken up."""
    forked: int
    """Round at which a run is forked."""
    seeds: int
    """Runs of the sweep."""


QUICK = Size(
    times=1,
    times_of_models=1,
    askers=2,
    asked_rounds=1,
    tokens=16,
    turns=10,
    steps=2_000,
    diffed=200,
    bundled=400,
    resumed=600,
    forked=5,
    seeds=3,
)
WHOLE = Size(
    times=5,
    times_of_models=3,
    askers=8,
    asked_rounds=2,
    tokens=128,
    turns=600,
    steps=4_000,
    diffed=10_000,
    bundled=100_000,
    resumed=1_000_000,
    forked=1_000,
    seeds=200,
)
