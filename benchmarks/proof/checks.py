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
    """Runs, their verify and a tolerant check, one after the other: of one agent, and of many at once.

    A run of one agent decodes a token at a time; that of many, and a verify, which knows all prompts, decode many at
    once, so that a check, which computes all tokens of an answer at once, has less to gain beside them. The model has
    to know what it says: of random weights all tokens are nearly as likely, and none is the model's own.
    """
    figures = []
    for agents, rounds, of in (
        (1, 2 * size.askers * size.asked_rounds, "one agent"),
        (size.askers, size.asked_rounds, f"{size.askers} agents at once"),
    ):
        figures += _tolerant(journals, askers(model, agents, rounds, size.tokens), size.times_of_models, of)
    return figures


def _tolerant(journals: Journals, world: turnwise.World, times: int, of: str) -> list[Figure]:
    path = journals.played(world)
    taken = alternately(
        {
            "run": lambda: journals.run(world),
            "verify": lambda: verified(path),
            "tolerant": lambda: verified(path, tolerant=True),
        },
        times,
    )
    run, verify, near = taken.values()
    seconds = medians(taken)
    return [
        Figure(f"a run / a tolerant check, {of}", ratios(run, near), "", 5.0, True, seconds),
        Figure(f"verify / a tolerant check, {of}", ratios(verify, near), "", 5.0, True, seconds),
    ]


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
