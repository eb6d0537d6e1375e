"""What verifying costs: beside the run, beside itself with one worker, without the model, and by nearness."""

from __future__ import annotations

from pathlib import Path

from proof.figure import Figure, alternately, medians, ratios
from proof.played import Journals, askers, passers
from proof.size import Size

import turnwise


def model_bound(journals: Journals, size: Size, model: str) -> list[Figure]:
    """A run that a model bounds, its verify and its replay without the model, one after the other."""
    world = askers(model, size.askers, size.asked_rounds, size.tokens)
    path = journals.played(world)
    taken = alternately(
        {
            "run": lambda: journals.run(world),
            "verify": lambda: verified(path),
            "replay": lambda: turnwise.replay(path, workers=2).head,
        },
        size.times_of_models,
    )
    run, verify, replay = taken.values()
    seconds = medians(taken)
    return [
        Figure("verify of a model-bound world, 2 workers / its run", ratios(verify, run), "", 1.1, False, seconds),
        Figure("a model-bound run / its replay without the model", ratios(run, replay), "", 20.0, True, seconds),
    ]


def tolerant(journals: Journals, size: Size, model: str) -> list[Figure]:
    """A run that is verified, and held to be near what the model gives.

    The model has to know what it says: of random weights all tokens are nearly as likely, and none is the model's own.
    """
    path = journals.played(askers(model, size.askers, size.asked_rounds, size.tokens))
    taken = alternately(
        {"verify": lambda: verified(path), "tolerant": lambda: verified(path, tolerant=True)}, size.times_of_models
    )
    values = ratios(taken["verify"], taken["tolerant"])
    return [Figure("verify / a tolerant check", values, "", 5.0, True, medians(taken))]


def turn_bound(journals: Journals, size: Size) -> list[Figure]:
    """A run of turns that each wait for the one before; its rounds are known when it is verified."""
    path = journals.played(passers(size.turns, size.steps))
    taken = alternately(
        {"2 workers": lambda: verified(path), "1 worker": lambda: verified(path, workers=1)}, size.times
    )
    values = ratios(taken["2 workers"], taken["1 worker"])
    name = "verify of a turn-bound world, 2 workers / 1 worker"
    return [Figure(name, values, "", 0.7, False, medians(taken))]


def verified(path: Path, *, workers: int = 2, tolerant: bool = False) -> str:
    """Verify a run, all of which has to be compared and to hold; return its head."""
    found = turnwise.verify(path, workers=workers, tolerant=tolerant)
    if found.difference is not None or any(model.compared != model.requests for model in found.models):
        raise SystemExit(f"{path} does not hold: {found}")
    return found.head
