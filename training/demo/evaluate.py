"""Plays `examples/haggle` over held-out seeds: `python -m training.demo.evaluate [--mode …] [--confirm N]`.

With the model's own replies (honest), with replies that are mixed up between the requests of a round (shuffled), and
with empty ones (blanked). Prints one JSON object a line: one for each mode, and one for each run that was played once
more as a whole run, in sandboxes and with a journal, and must have the same head.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import turnwise
from training.demo.play import Interference, Mode, Model, Play, load_agents
from turnwise.core.plan import Plan
from turnwise.core.plan_json import plan_from_json
from turnwise.core.records import TurnRecord
from turnwise.journal import Journal
from turnwise.world import Overrides, World

ROOT: Final = Path(__file__).resolve().parents[2]
WORLD: Final = ROOT / "examples" / "haggle"
MODES: Final[tuple[Mode, ...]] = ("honest", "shuffled", "blanked")
SEED_FIRST: Final = 10_000
"""Seeds from here on were not looked at while the world was written."""
SILENCE: Final = "…"
_NO_HASH: Final = "0" * 64


class Evaluation:
    """The world's agents and model, loaded once for many seeds."""

    def __init__(self, world: Path, model: Path | None) -> None:
        self._world = World.read(world, Overrides(models={"haggler": model}) if model else None)
        resolved = self._world.resolve()
        self.model_folder = model or resolved.models[0].path
        self._agents = load_agents(world, [kind.name for kind in resolved.kinds])
        self._model = Model(self.model_folder)
        hashes = {kind.name: _NO_HASH for kind in resolved.kinds}
        self._plan = self._world.plan(hashes, {one.name: _NO_HASH for one in resolved.models})

    def play(self, seed: int, mode: Mode, plan: Plan | None = None) -> Play:
        """One run, by the world's own plan (whose hashes are no real ones) or by another."""
        plan = dataclasses.replace(plan or self._plan, seed=seed)
        return Play(plan, self._agents, self._model, Interference(mode, seed))

    def many(self, seeds: Sequence[int], mode: Mode) -> dict[str, Any]:
        """Figures of one mode."""
        started = time.monotonic()
        plays = [self.play(seed, mode) for seed in seeds]
        results = [play.result for play in plays]
        reached = sum(bool(result and result["goal"]) for result in results)
        deals = [deal for result in results if result for deal in result["deals"]]
        turns = [turn for play in plays for record in play.rounds for turn in record.turns]
        asked = sum(len(turn.effects) for turn in turns)
        spoken = [text for turn in turns for text in _spoken(turn)]
        gains = [deal["buyer_gain"] + deal["seller_gain"] for deal in deals]
        return {
            "mode": mode,
            "seeds": len(seeds),
            "seed_first": seeds[0],
            "goal_reached": reached,
            "goal_share": round(reached / len(seeds), 4),
            "deals_mean": round(len(deals) / len(seeds), 3),
            "sentences": len(spoken) - spoken.count(SILENCE),
            "silences": spoken.count(SILENCE),
            "asked": asked,
            "refused_share": round(1 - (len(spoken) - spoken.count(SILENCE)) / max(asked, 1), 4),
            "gain_mean": round(sum(gains) / max(len(gains), 1), 2),
            "turns_failed": sum(turn.failure is not None for turn in turns),
            "rounds_mean": round(sum(len(play.rounds) for play in plays) / len(plays), 1),
            "wall_s": round(time.monotonic() - started, 1),
        }

    def confirm(self, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Play seeds as whole runs as well, and compare heads and results."""
        with tempfile.TemporaryDirectory() as folder:
            for seed in seeds:
                path = Path(folder) / f"{seed}.journal"
                run = turnwise.run(WORLD, seed=seed, journal=path, models={"haggler": self.model_folder})
                with Journal.open(path) as journal:
                    plan = plan_from_json(journal.header.plan)
                play = self.play(seed, "honest", plan)
                mine = play.machine.head.hex()
                yield {"seed": seed, "head": run.head, "equal": mine == run.head and play.result == run.result}
                run.close()


def _spoken(turn: TurnRecord) -> list[str]:
    """What a turn said with a model's help, or could not say."""
    if turn.output is None or not turn.effects:
        return []
    return [message.body for message in turn.output.send if message.to != "crier"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Play the haggling world over held-out seeds.")
    parser.add_argument("--world", type=Path, default=WORLD)
    parser.add_argument("--model", type=Path, help="model folder; without it the world's own")
    parser.add_argument("--mode", choices=MODES, action="append", help="may be given more than once; without it all")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=SEED_FIRST, help="the first seed")
    parser.add_argument("--confirm", type=int, default=0, help="play so many seeds as whole runs, too")
    arguments = parser.parse_args()
    evaluation = Evaluation(arguments.world, arguments.model)
    for mode in arguments.mode or MODES:
        print(json.dumps(evaluation.many(range(arguments.first, arguments.first + arguments.seeds), mode)), flush=True)
    for line in evaluation.confirm(range(arguments.first, arguments.first + arguments.confirm)):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
