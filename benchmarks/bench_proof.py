"""Proofs of runs, each beside what it is compared with: verify, replay and a tolerant check; seconds of a bundle.

One function a figure. Both sides of a figure run alternately, and what they find is checked. A JSON line a figure:
seconds of both sides (medians), the ratio with its spread, and what it should be.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import turnwise
from turnwise import Agent, Grants, InitialMessage, Model, World
from turnwise.core.plan import AgentPlan, Kind, Plan
from turnwise.core.plan_json import plan_to_json
from turnwise.core.state import first_agents
from turnwise.evidence.opened import open_bundle
from turnwise.journal import CodeSource, Journal
from turnwise.sim import simulate

ASKER = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    told = t.state.get("told", "")
    prompt = f"{t.self_name} has a story of the day. {told[-200:]}"
    t.state["told"] = told + t.generate("model", prompt, tokens_max=t.args["tokens"], temperature=0.8).text
    t.wake_in(1)
"""
PASSER = """
def turn(t):
    total = 0
    for number in range(t.args["steps"]):
        total += number * number % 7
    t.state["total"] = t.state.get("total", 0) + total
    for _ in t.inbox:
        t.send(t.args["to"], str(t.turn))
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done: for a look, or for a claim."""

    times: int
    agents: int
    rounds: int
    tokens: int
    turns: int
    steps: int
    bundled: int
    """Turns of the run that is bundled."""


QUICK = Size(times=1, agents=4, rounds=2, tokens=24, turns=60, steps=2_000, bundled=2_000)
WHOLE = Size(times=5, agents=8, rounds=4, tokens=96, turns=600, steps=4_000, bundled=100_000)

Side = Callable[[], str]
"""Does it once; returns the head that it came to."""


class Bench:
    """Measures figures with one model, in one folder."""

    def __init__(self, model: str, size: Size, folder: Path) -> None:
        self.size = size
        self._model = model
        self._folder = folder
        self._numbers = count()

    def figures(self) -> Iterator[dict[str, object]]:
        """All figures, one after the other."""
        yield self.verify_of_a_model_bound_world()
        yield self.verify_of_a_turn_bound_world()
        yield self.replay_without_the_model()
        yield self.tolerant_check()
        yield self.bundle_of_many_turns()

    def verify_of_a_model_bound_world(self) -> dict[str, object]:
        path = self._asked()
        return self._measure(
            "verify of a model-bound world, 2 workers / its run",
            lambda: self._verify(path, workers=2),
            lambda: self._run(self._askers()),
            at_most=1.1,
        )

    def verify_of_a_turn_bound_world(self) -> dict[str, object]:
        path = self._path()
        self._run(self._passers(), path)
        return self._measure(
            "verify of a turn-bound world, 2 workers / 1 worker",
            lambda: self._verify(path, workers=2),
            lambda: self._verify(path, workers=1),
            at_most=0.7,
        )

    def replay_without_the_model(self) -> dict[str, object]:
        path = self._asked()
        return self._measure(
            "a run bound by a model / its replay without",
            lambda: self._run(self._askers()),
            lambda: turnwise.replay(path, workers=2).head,
            at_least=20.0,
        )

    def tolerant_check(self) -> dict[str, object]:
        path = self._asked()
        return self._measure(
            "verify / a tolerant check",
            lambda: self._verify(path, workers=2),
            lambda: self._verify(path, workers=2, tolerant=True),
            at_least=5.0,
        )

    def bundle_of_many_turns(self) -> dict[str, object]:
        """Seconds of a bundle: every byte of it is compared afterwards, and its head with the run's."""
        path = self._path()
        head = self._simulated(path)
        seconds = []
        for number in range(self.size.times):
            begun = time.perf_counter()
            made = turnwise.bundle(path, path.with_suffix(f".{number}.bundle"))
            seconds.append(time.perf_counter() - begun)
            with open_bundle(made.path) as bundle:
                said = bundle.statement.run
            if not made.head == said["head"] == head or said["turns"] != self.size.bundled:
                raise SystemExit(f"{made.path} is not of its run: {said}")
        median = statistics.median(seconds)
        return {
            "figure": f"bundle of {self.size.bundled:,} turns",
            "seconds": [round(median, 3)],
            "spread": [round(min(seconds), 3), round(max(seconds), 3)],
            "at_most": 5.0,
            "holds": median <= 5.0,
        }

    # -- worlds ------------------------------------------------------------------------------------------------------

    def _askers(self) -> World:
        size = self.size
        return turnwise.World(
            name="askers",
            seed=1,
            rounds_max=size.rounds,
            models={"model": Model(self._model)},
            agents={
                "asker": Agent(
                    ASKER,
                    args=[{"tokens": size.tokens}] * size.agents,
                    start=True,
                    grants=Grants(generate=["model"]),
                )
            },
        )

    def _passers(self) -> World:
        args = [{"to": f"passer-{other}", "steps": self.size.steps} for other in (2, 1)]
        return turnwise.World(
            name="passers",
            rounds_max=self.size.turns,
            agents={"passer": Agent(PASSER, args=args, grants=Grants(send=["*"]))},
            messages=[InitialMessage("passer-1", "go")],
        )

    def _simulated(self, path: Path) -> str:
        """Write the journal of a run of 100 agents, each of which changes its state in every round; return its head."""
        code, agents = "c0" * 32, 100
        plan = Plan(
            "many",
            1,
            (Kind("agent", code, start=True),),
            tuple([AgentPlan(f"agent-{number}", "agent") for number in range(agents)]),
            rounds_max=self.size.bundled // agents,
        )
        run = simulate(plan, {"agent": lambda turn, _: {"state": json.dumps(turn["turn"]), "wake_in": 1}})
        codes = {code: CodeSource("module", "noop.wat", (("noop.wat", b"(module)"),))}
        with Journal.create(
            path, plan=plan_to_json(plan), info="{}", versions="{}", codes=codes, agents=first_agents(plan)
        ) as journal:
            for record in run.rounds:
                journal.writer.commit(record)
            if run.end is not None:
                journal.writer.end(run.end)
        with turnwise.open(path) as played:
            return played.head

    def _path(self) -> Path:
        return self._folder / f"{next(self._numbers)}.journal"

    def _asked(self) -> Path:
        path = self._path()
        self._run(self._askers(), path)
        return path

    # -- sides -------------------------------------------------------------------------------------------------------

    def _run(self, world: World, path: Path | None = None) -> str:
        with turnwise.run(world, journal=path or self._path(), workers=2) as run:
            return run.head

    def _verify(self, path: Path, *, workers: int, tolerant: bool = False) -> str:
        found = turnwise.verify(path, workers=workers, tolerant=tolerant)
        if found.difference is not None or any(model.compared != model.requests for model in found.models):
            raise SystemExit(f"{path} does not hold: {found}")
        return found.head

    def _measure(
        self,
        name: str,
        one: Side,
        other: Side,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> dict[str, object]:
        """Do both sides alternately; the ratio is of neighbours."""
        seconds: list[tuple[float, float]] = []
        heads = set()
        for _ in range(self.size.times):
            pair = []
            for side in (one, other):
                begun = time.perf_counter()
                heads.add(side())
                pair.append(time.perf_counter() - begun)
            seconds.append((pair[0], pair[1]))
        if len(heads) != 1:
            raise SystemExit(f"{name}: the two sides came to different heads: {heads}")
        ratios = sorted(first / second for first, second in seconds)
        ratio = statistics.median(ratios)
        holds = (at_most is None or ratio <= at_most) and (at_least is None or ratio >= at_least)
        bound = {"at_most": at_most} if at_most is not None else {"at_least": at_least}
        return {
            "figure": name,
            "seconds": [round(statistics.median(side), 3) for side in zip(*seconds, strict=True)],
            "ratio": round(ratio, 3),
            "spread": [round(ratios[0], 3), round(ratios[-1], 3)],
            **bound,
            "holds": holds,
        }


def main() -> int:
    """Print a line a figure; 1 if one does not hold, unless it is only a look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="builtin:demo", help="folder of a model, for figures of 0.5 billion weights")
    parser.add_argument("--quick", action="store_true", help="once, with little work: whether it works, not a figure")
    chosen = parser.parse_args()
    held = True
    with tempfile.TemporaryDirectory() as folder:
        for figure in Bench(chosen.model, QUICK if chosen.quick else WHOLE, Path(folder)).figures():
            print(json.dumps(figure), flush=True)
            held = held and bool(figure["holds"])
    return 0 if held or chosen.quick else 1


if __name__ == "__main__":
    sys.exit(main())
