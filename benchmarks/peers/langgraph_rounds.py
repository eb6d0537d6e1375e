"""Rounds of agents as LangGraph's super-steps, each with a checkpoint in SQLite. See `bench_peers.py`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Send


def merged(old: dict[str, int], new: dict[str, int]) -> dict[str, int]:
    return old | new


class State(TypedDict):
    turns: Annotated[dict[str, int], merged]
    rounds: int


def main(agents: int, seconds: float) -> None:
    clock: dict[str, Any] = {"start": None, "rounds": 0, "elapsed": 0.0}

    def counter(state: dict[str, Any]) -> dict[str, Any]:
        return {"turns": {state["name"]: state["turns"] + 1}}

    def gate(state: State) -> dict[str, Any]:
        return {"rounds": state["rounds"] + 1}

    def fan_out(state: State) -> list[Send] | str:
        if state["rounds"] == 3:
            clock["start"] = time.perf_counter()
        if clock["start"] is not None:
            clock["elapsed"] = time.perf_counter() - clock["start"]
            clock["rounds"] = state["rounds"] - 3
            if clock["elapsed"] >= seconds and clock["rounds"]:
                return "__end__"
        turns = state["turns"]
        return [Send("counter", {"name": name, "turns": turns.get(name, 0)}) for name in names]

    names = [f"agent-{number}" for number in range(agents)]
    graph = StateGraph(State)
    graph.add_node("counter", counter)
    graph.add_node("gate", gate)
    graph.add_edge(START, "gate")
    graph.add_conditional_edges("gate", fan_out)
    graph.add_edge("counter", "gate")
    with (
        tempfile.TemporaryDirectory() as folder,
        SqliteSaver.from_conn_string(str(Path(folder, "checkpoints.sqlite"))) as saver,
    ):
        compiled = graph.compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 10**9}
        result = compiled.invoke({"turns": {}, "rounds": 0}, config, durability="sync")
    assert set(result["turns"].values()) == {clock["rounds"] + 2}, result["rounds"]
    print(json.dumps({"rounds": clock["rounds"], "seconds": clock["elapsed"]}))


main(int(sys.argv[1]), float(sys.argv[2]))
