"""Time and memory of contents: a large one that goes from agent to agent, beside messages without one.

    python benchmarks/bench_contents.py [--mib 16] [--rounds 50] [--repeats 5] [--random]

Each line is one JSON object. `put`: the round in which an agent puts the content, in seconds. `attached` and `plain`:
the median round, in milliseconds, in which two agents send each other a short message, with the content attached or
without; runs alternate, and `difference` is what the attachment costs. `journal_bytes` is the size of the journal, over
that of the content. `peak_over_content` is by how much the orchestrator grew at the most while the content was put and
sent, over the same of a run without one, in sizes of the content, and `worker_peak_over_content` that of the worker,
the agent's memory included (Linux). `--random`: bytes that do not compress. Every run checks that the content arrived.

    python benchmarks/bench_contents.py --infer [--mib 100]

`infer`: proportional memory (PSS, shared pages counted once) of the orchestrator and the inference process together,
while agents have a model compute with the content by its handle, over that of the same run with a content of 4 KiB, in
sizes of the content; each way in runs that alternate. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
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
    if t.args["begins"] and t.turn == 1:
        t.wake_in(1)
    elif t.args["begins"] and t.turn == 2:
        size = t.args["bytes"]
        handle = t.put(t.random.randbytes(size) if t.args["random"] else bytes(size)) if size else None
        t.send("other", "ball", attach=handle)
    for message in t.inbox:
        t.state = {"bytes": message.attach.bytes if message.attach else 0}
        t.send(message.sender, "ball", attach=message.attach)
"""


def memory_bytes(pid: int, line: str) -> int:
    """A line of what the system says of a process's memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(one.split()[1]) * 1024 for one in lines if one.startswith(line))


class Peaks:
    """The most memory of the orchestrator and the worker over what each has now. Linux; elsewhere both are 0."""

    def __init__(self) -> None:
        self._pids = [os.getpid(), child("turnwise.sandbox.pool.worker")] if sys.platform == "linux" else []
        for pid in self._pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # what it has now is the most that it has had
        self._before = [memory_bytes(pid, "VmRSS:") for pid in self._pids]

    def grown_bytes(self) -> list[int]:
        """By how much each has grown at the most, so far."""
        pairs = zip(self._pids, self._before, strict=True)
        return [memory_bytes(pid, "VmHWM:") - before for pid, before in pairs] or [0, 0]


def play(size: int, mib: int, rounds: int, *, random: bool) -> dict[str, float]:
    """Times of rounds, size of the journal and peak memory of a run in this process; `mib` sets its limits."""
    common = {"fuel": 40_000_000_000, "memory_mib": 64 + 8 * mib, "output_mib": 2 + 2 * mib, "put_mib": max(64, mib)}
    agents = {
        "one": Agent(
            PLAYER,
            args={"begins": True, "bytes": size, "random": random},
            start=True,
            grants=Grants(send=["other"]),
            **common,
        ),
        "other": Agent(
            PLAYER, args={"begins": False, "bytes": 0, "random": False}, grants=Grants(send=["one"]), **common
        ),
    }
    world = World(name="bench", agents=agents, rounds_max=rounds, turn_seconds_max=100_000, contents_mib=256 + 2 * mib)
    times = []
    peaks: Peaks | None = None
    grown = [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "run.journal"
        with world.start(journal=journal, workers=1) as live:
            before = time.perf_counter()
            for _ in live:
                now = time.perf_counter()
                times.append(now - before)
                if len(times) == 1:
                    peaks = Peaks()
                elif len(times) == rounds - 1 and peaks is not None:
                    grown = peaks.grown_bytes()
                before = time.perf_counter()
        with turnwise.open(journal) as run:
            assert not list(run.failures), next(iter(run.failures)).failure
            assert json.loads(run.state("other")) == {"bytes": size}
        journal_bytes = journal.stat().st_size
    return {
        "put_s": times[1],
        "round_ms": statistics.median(times[5:]) * 1000,
        "journal": journal_bytes,
        "peak": grown[0],
        "worker": grown[1],
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


def child(module: str) -> int:
    """The child of this process that executes a module."""
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    raise ValueError(f"no process of {module}")


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
            pids = [os.getpid(), child("turnwise.inference")]
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
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        if options.infer:
            one = infer(options.one, options.mib)
        else:
            one = play(options.one, options.mib, options.rounds, random=options.random)
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
    more = ["--random"] if options.random else []
    found = [
        (apart(size, options.mib, options.rounds, *more), apart(0, options.mib, options.rounds))
        for _ in range(options.repeats)
    ]
    for name, values in (
        ("put", [one["put_s"] for one, _ in found]),
        ("attached", [one["round_ms"] for one, _ in found]),
        ("plain", [other["round_ms"] for _, other in found]),
        ("difference", [one["round_ms"] - other["round_ms"] for one, other in found]),
        ("journal_bytes", [one["journal"] / size for one, _ in found]),
        ("peak_over_content", [(one["peak"] - other["peak"]) / size for one, other in found]),
        ("worker_peak_over_content", [(one["worker"] - other["worker"]) / size for one, other in found]),
    ):
        line = {"benchmark": name, "mib": options.mib, "value": round(statistics.median(values), 4)}
        print(json.dumps(line | {"spread": [round(min(values), 4), round(max(values), 4)]}))


if __name__ == "__main__":
    main()
