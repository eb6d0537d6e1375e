"""Memory of the inference process: where it goes while agents hold conversations with a model, and what stays.

    python benchmarks/bench_memory.py MODEL_FOLDER [--agents 8] [--turns 6] [--tokens 100] [--kv-mib N] [--quick]

Agents ask one turn after the other, all at once, each with all that it has said before (and a beginning of its own).
Each line is one JSON object. `loaded`, `talking` (the most that was seen), `idle` and `small` (the same process with
the model that comes with Turnwise) have MiB of resident memory, of which `file` are pages of files that the system can
take back. `counted` says what there must be: weights on disk, the KV cache of all sequences at the end, and the
kept prompts that the budget allows. `sum` holds the peak against `most`: the small process, weights twice, sequences,
and kept prompts as the budget allows; the program ends with an error if it is more. `least` has the weights once, and
as many kept prompts as there are tokens in the sequences. Only Linux tells memory so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.demo import BUILTIN_DEMO, model_folder
from turnwise.inference.decoding.memory_budget import CACHE_SHARE, MEMORY_SHARE
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.system.memory import memory_bytes

MIB: Final = 1024 * 1024
SAMPLE_S: Final = 0.005
TOPICS: Final = ("a lamp", "the sea", "a clock", "bread", "the moon", "a bridge", "snow", "a violin")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes of a process, and those of them that are pages of files."""

    resident: int
    file: int

    def mib(self) -> dict[str, float]:
        return {"resident_mib": round(self.resident / MIB, 1), "file_mib": round(self.file / MIB, 1)}


def memory_of(pid: int) -> Memory:
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssFile", "RssShmem", "VmHWM"):
            found[name] = int(value.split()[0]) * 1024
    return Memory(found["VmRSS"], found["RssFile"] + found["RssShmem"])


class Talk:
    """Conversations with the model of one inference process."""

    def __init__(self, host: InferenceHost) -> None:
        self._host = host
        self._replies: dict[int, dict[str, Any]] = {}
        self._asked = 0
        self._arrived = asyncio.Event()

    def take(self, replies: list[GenerateReply]) -> None:
        self._replies |= {reply.id: json.loads(reply.body) for reply in replies}
        self._arrived.set()

    async def ask(self, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Replies to requests that come at once."""
        first = self._asked
        self._asked += len(bodies)
        numbers = range(first, self._asked)
        self._host.submit(
            [
                GenerateRequest(number, "m", canonical(body), number.to_bytes(32, "big"))
                for number, body in zip(numbers, bodies, strict=True)
            ]
        )
        while not all(number in self._replies for number in numbers):
            self._arrived.clear()
            await self._arrived.wait()
        replies = [self._replies[number] for number in numbers]
        if bad := [reply["error"] for reply in replies if "error" in reply]:
            raise SystemExit(f"the model refuses: {bad[0]}")
        return [reply["ok"] for reply in replies]


async def watch(pid: int, seen: list[Memory]) -> None:
    """Keep the largest that is seen."""
    while True:
        now = memory_of(pid)
        if not seen or now.resident > seen[0].resident:
            seen[:] = [now]
        await asyncio.sleep(SAMPLE_S)


async def converse(talk: Talk, agents: int, turns: int, tokens: int, *, chat: bool) -> int:
    """Hold the conversations; return how many tokens all of them have at the end."""
    said: list[list[dict[str, str]]] = [[] for _ in range(agents)]
    held = 0
    for turn in range(turns):
        for number, messages in enumerate(said):
            topic = TOPICS[number % len(TOPICS)]
            messages.append({"role": "user", "content": f"Number {number}, {turn}: say more of {topic}, at length."})
        bodies: list[dict[str, Any]] = []
        for messages in said:
            text = "\n".join(message["content"] for message in messages)
            of = {"messages": messages} if chat else {"prompt": text}
            bodies.append({**of, "tokens_max": tokens, "temperature": 0.8, "on_full": "drop_oldest"})
        replies = await talk.ask(bodies)
        held = sum(reply["prompt_tokens"] + reply["tokens"] for reply in replies)
        for messages, reply in zip(said, replies, strict=True):
            messages.append({"role": "assistant", "content": reply["text"]})
    return held


async def measure(spec: ModelSpec, options: EngineOptions, arguments: argparse.Namespace) -> dict[str, Any]:
    failures: list[Exception] = []
    talks: list[Talk] = []

    def take(replies: list[GenerateReply]) -> None:
        talks[0].take(replies)

    async with InferenceHost([spec], on_replies=take, on_failure=failures.append, options=options) as host:
        talks.append(Talk(host))
        if host.pid is None:
            raise SystemExit("there is no inference process")
        info = host.models["m"]
        loaded = memory_of(host.pid)
        seen: list[Memory] = []
        watching = asyncio.create_task(watch(host.pid, seen))
        chat = (spec.path / "chat_template.jinja").exists()
        held = await converse(talks[0], arguments.agents, arguments.turns, arguments.tokens, chat=chat)
        watching.cancel()
        idle = memory_of(host.pid)
        return {
            "loaded": loaded,
            "talking": seen[0],
            "idle": idle,
            "tokens": held,
            "bytes_per_token": info.kv_bytes_per_token,
        }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=model_folder)
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--kv-mib", type=int, default=None)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args(argv)
    if not sys.platform.startswith("linux"):
        raise SystemExit("only Linux tells of a process's memory what this asks")
    if arguments.quick:
        arguments.agents, arguments.turns, arguments.tokens = 2, 2, 8
    options = EngineOptions(kv_bytes_max=None if arguments.kv_mib is None else arguments.kv_mib * MIB)
    path = Path(arguments.model)
    spec = ModelSpec("m", path, "cpu")
    found = asyncio.run(measure(spec, options, arguments))
    few = argparse.Namespace(agents=1, turns=1, tokens=4)
    small = asyncio.run(measure(replace(spec, path=model_folder(BUILTIN_DEMO)), options, few))
    for name in ("loaded", "talking", "idle"):
        print(json.dumps({"part": name, **found[name].mib()}), flush=True)
    print(json.dumps({"part": "small", **small["idle"].mib()}), flush=True)
    weights = sum(file.stat().st_size for file in path.glob("model.onnx*"))
    budget = memory_bytes() // MEMORY_SHARE if options.kv_bytes_max is None else options.kv_bytes_max
    sequences = found["tokens"] * found["bytes_per_token"]
    counted = {"weights": weights, "sequences": sequences, "kept_max": budget // CACHE_SHARE}
    print(json.dumps({"part": "counted", **{f"{name}_mib": round(size / MIB, 1) for name, size in counted.items()}}))
    peak, beside = found["talking"].resident, weights + sequences + small["idle"].resident
    least, most = beside + min(sequences, counted["kept_max"]), beside + weights + counted["kept_max"]
    line = {name: round(size / MIB, 1) for name, size in (("peak", peak), ("least", least), ("most", most))}
    print(json.dumps({"part": "sum", **line, "holds": peak <= most}), flush=True)
    if peak > most:
        raise SystemExit("the process took more than it is said to need")


if __name__ == "__main__":
    main()
