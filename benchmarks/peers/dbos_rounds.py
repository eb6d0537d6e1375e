"""Rounds of agents as steps of a DBOS workflow, each durable in SQLite by itself. See `bench_peers.py`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dbos import DBOS


@DBOS.step()
def counter(turns: int) -> int:
    return turns + 1


@DBOS.workflow()
def play(agents: int, rounds: int, turns: int) -> int:
    states = [turns] * agents
    for _ in range(rounds):
        states = [counter(state) for state in states]
    assert len(set(states)) == 1
    return states[0]


def main(agents: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        address = f"sqlite:///{Path(folder, 'system.sqlite')}"
        config: Any = {
            "name": "rounds",
            "system_database_url": address,
            "log_level": "ERROR",
            "run_admin_server": False,
        }
        DBOS(config=config)
        DBOS.launch()
        turns = play(agents, 1, 0)
        rounds = 0
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            turns = play(agents, 1, turns)
            rounds += 1
        assert turns == rounds + 1
        DBOS.destroy()
    print(json.dumps({"rounds": rounds, "seconds": elapsed}))


main(int(sys.argv[1]), float(sys.argv[2]))
