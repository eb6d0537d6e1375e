"""Time and memory of contents: a large one that goes from agent to agent, beside messages without one.

    python benchmarks/bench_contents.py [--mib 16] [--rounds 50] [--repeats 5]

Each line is one JSON object. `put`: the round in which an agent puts the content, in seconds; base64 in the sandbox is
nearly all of it. `attached` and `plain`: the median round, in milliseconds, in which two agents send each other a short
message, with the content attached or without; runs alternate, and `difference` is what the attachment costs.
`journal_bytes` is the size of the journal, over that of the content. `peak_over_content` is the growth of the
orchestrator's peak memory over a run without a content, in sizes of the content. Every run checks that the content
arrived.

    python benchmarks/bench_contents.py --infer [--mib 100]

`infer`: proportional memory (PSS, shared pages counted once) of the orchestrator and the inference process together,
while agents have a model compute with the content by its handle, over that of the same run with a content of 4 KiB, in
sizes of the content; each way in runs that alternate. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import turnwise
from turnwise import Agent, Grants, World

PLAYER = """
def turn(t):
    if t.args["begins"] and t.round == 1:
        handle = t.put(bytes(t.args["bytes"])) if t.args["bytes"] else None
        t.send("other", "ball", attach=handle)
    for message in t.inbox:
        t.state = {"bytes": message.attach.bytes if message.attach else 0}
        t.send(message.sender, "ball", attach=message.attach)
"""


def play(size: int, mib: int, rounds: int) -> dict[str, float]:
    """Times of rounds, size of the journal and peak memory of a run in this process; `mib` sets its limits."""
    common = {"fuel": 40_000_000_000, "memory_mib": 64 + 8 * mib, "output_mib": 2 + 2 * mib, "put_mib": max(64, mib)}
    agents = {
        "one": Agent(PLAYER, args={"begins": True, "bytes": size}, start=True, grants=Grants(send=["other"]), **common),
        "other": Agent(PLAYER, args={"begins": False, "bytes": 0}, grants=Grants(send=["one"]), **common),
    }
    world = World(name="bench", agents=agents, rounds_max=rounds, turn_seconds_max=100_000, contents_mib=256 + 2 * mib)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "run.journal"
        with world.start(journal=journal, workers=1) as live:
            before = time.perf_counter()
            for _ in live:
                now = time.perf_counter()
                times.append(now - before)
                before = now
        with turnwise.open(journal) as run:
            assert not list(run.failures), next(iter(run.failures)).failure
            assert json.loads(run.state("other")) == {"bytes": size}
        journal_bytes = journal.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "put_s": times[0],
        "round_ms": statistics.median(times[5:]) * 1000,
        "journal": journal_bytes,
        "peak": peak,
    }


ASKER = """
from turnwise_guest import StoredTensor

def turn(t):
    if t.turn == 1:
        t.state = {"handle": t.put(bytes(t.args["bytes"]))}
    else:
        stored = StoredTensor(t.state["handle"], "float32", (t.args["bytes"] // 4,))
        assert t.infer("most", {"x": stored})["y"].tolist() == 0.0
    t.wake_in(1)
"""
INFERS = 6


def protobuf(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A message of protobuf: numbers of fields with small numbers, texts or messages."""
    parts = []
    for number, value in fields:
        content = value.encode() if isinstance(value, str) else value
        if isinstance(content, int):
            parts.append(bytes([number << 3 & 0x7F | (number > 15) << 7, *([number >> 4] * (number > 15)), content]))
        else:
            parts.append(bytes([number << 3 | 2, len(content)]) + content)
    return b"".join(parts)


def write_model(path: Path) -> None:
    """A model that gives the greatest of all numbers: `y = ReduceMax(x)`, written as ONNX's messages are numbered."""
    rows = protobuf((1, protobuf((2, "n"))))
    x, y = (
        protobuf((1, name), (2, protobuf((1, protobuf((1, 1), (2, shape))))))
        for name, shape in (("x", rows), ("y", b""))
    )
    keep = protobuf((1, "keepdims"), (3, 0), (20, 2))
    node = protobuf((1, "x"), (2, "y"), (4, "ReduceMax"), (5, keep))
    graph = protobuf((1, node), (2, "most"), (11, x), (12, y))
    path.write_bytes(protobuf((1, 8), (7, graph), (8, protobuf((1, ""), (2, 13)))))


def pss_bytes(pid: int) -> int:
    """Memory of a process, of shared pages its share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no Pss")


def inference_process() -> int:
    """The child of this process that runs models."""
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            if b"turnwise.inference" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    raise ValueError("no inference process")


def infer(size: int, mib: int) -> dict[str, float]:
    """The most memory of orchestrator and inference process while a content of this size is computed with."""
    common = {"fuel": 40_000_000_000, "memory_mib": 64 + 8 * mib, "output_mib": 2 + 2 * mib, "put_mib": mib + 1}
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "most.onnx")
        agent = Agent(ASKER, args={"bytes": size}, start=True, grants=Grants(infer=["most"]), **common)
        model = turnwise.Model(Path(folder) / "most.onnx", provider="cpu")
        world = World(
            name="bench", agents={"asker": agent}, models={"most": model}, rounds_max=100, turn_seconds_max=100_000
        )
        most = 0
        done = threading.Event()

        def watch(pids: list[int]) -> None:
            nonlocal most
            while not done.wait(0.002):
                most = max(most, sum(map(pss_bytes, pids)))

        with world.start(journal=Path(folder) / "run.journal", workers=1) as live:
            for _ in range(2):
                live.step()
            pids = [os.getpid(), inference_process()]
            watching = threading.Thread(target=watch, args=(pids,))
            watching.start()
            for _ in range(INFERS):
                live.step()
            done.set()
            watching.join()
        with turnwise.open(Path(folder) / "run.journal") as run:
            assert not list(run.failures), next(iter(run.failures)).failure
    return {"most": most}


def apart(size: int, mib: int, rounds: int, *more: str) -> dict[str, float]:
    """The same in a process of its own, whose peak memory is this run's."""
    command = [
        sys.executable,
        os.fspath(Path(__file__)),
        "--one",
        str(size),
        "--mib",
        str(mib),
        "--rounds",
        str(rounds),
        *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--infer", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        one = infer(options.one, options.mib) if options.infer else play(options.one, options.mib, options.rounds)
        print(json.dumps(one))
        return
    size = options.mib * 1024 * 1024
    if options.infer:
        pairs = [
            (apart(size, options.mib, 0, "--infer")["most"], apart(4096, options.mib, 0, "--infer")["most"])
            for _ in range(options.repeats)
        ]
        ratios = [(large - small) / size for large, small in pairs]
        line = {"benchmark": "infer", "mib": options.mib, "value": round(statistics.median(ratios), 3)}
        print(json.dumps(line | {"spread": [round(min(ratios), 3), round(max(ratios), 3)]}))
        return
    found = [
        (apart(size, options.mib, options.rounds), apart(0, options.mib, options.rounds))
        for _ in range(options.repeats)
    ]
    for name, values in (
        ("put", [one["put_s"] for one, _ in found]),
        ("attached", [one["round_ms"] for one, _ in found]),
        ("plain", [other["round_ms"] for _, other in found]),
        ("difference", [one["round_ms"] - other["round_ms"] for one, other in found]),
        ("journal_bytes", [one["journal"] / size for one, _ in found]),
        ("peak_over_content", [(one["peak"] - other["peak"]) / size for one, other in found]),
    ):
        line = {"benchmark": name, "mib": options.mib, "value": round(statistics.median(values), 4)}
        print(json.dumps(line | {"spread": [round(min(values), 4), round(max(values), 4)]}))


if __name__ == "__main__":
    main()
