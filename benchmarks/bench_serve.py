"""A server under load: many clients for a while, with tokens a second, time to the first token, errors and memory.

    python benchmarks/bench_serve.py MODEL_FOLDER [--clients 64] [--seconds 60] [--tokens 64]
        [--llama-server PATH --gguf FILE] [--quick]

Each client asks for one streamed chat completion after the other, of 16 conversations in turn. Each line is one JSON
object: answers, errors, tokens a second, milliseconds to the first token (median and 95th percentile), and MiB of all
processes of the server, after its first answers and at the end. Our answers are compared: the same conversation must
get the same text every time, whoever else is served, and a client that goes away in the middle disturbs nobody.
llama-server gets as many slots as clients, and room for them. With `--quick` little is asked, and figures mean nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

CONVERSATIONS = 16
START_S_MAX = 300
SLOT_TOKENS = 512
LEAVES_EVERY = 20
"""One request in so many is left by its client after the first token."""


@dataclass
class Load:
    """What came of a load."""

    texts: dict[int, set[str]] = field(default_factory=dict)
    first_ms: list[float] = field(default_factory=list)
    tokens: int = 0
    answers: int = 0
    left: int = 0
    errors: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--llama-server", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.clients, options.seconds, options.tokens = 8, 3.0, 8
    with ours(options.model) as (url, pid):
        load = measure("turnwise serve", url, pid, options, leaves=True)
        check(load)
    if options.llama_server is not None:
        with llama(options.llama_server, options.gguf, options.clients) as (url, pid):
            measure("llama-server", url, pid, options, leaves=False)


def check(load: Load) -> None:
    """Check that nobody was refused, and that everybody got what others got for the same. Raises SystemExit."""
    differing = [number for number, texts in load.texts.items() if len(texts) != 1]
    if load.errors or differing:
        raise SystemExit(f"errors {load.errors[:3]}, conversations with several answers: {differing}")


def measure(name: str, url: str, pid: int, options: argparse.Namespace, *, leaves: bool) -> Load:
    """Load a server and print what came of it."""
    asyncio.run(run(url, options, Load(), min(2.0, options.seconds), leaves=False))
    before, load = memory_mib(pid), Load()
    seconds = asyncio.run(run(url, options, load, options.seconds, leaves=leaves))
    first = sorted(load.first_ms)
    figures = {
        "server": name,
        "clients": options.clients,
        "seconds": round(seconds, 1),
        "answers": load.answers,
        "left": load.left,
        "errors": len(load.errors),
        "tokens_per_s": round(load.tokens / seconds, 1),
        "first_token_ms": round(statistics.median(first), 1) if first else None,
        "first_token_ms_p95": round(first[int(len(first) * 0.95)], 1) if first else None,
        "memory_mib": [round(before, 1), round(memory_mib(pid), 1)],
        **({"first_error": load.errors[0][:300]} if load.errors else {}),
    }
    print(json.dumps(figures), flush=True)
    return load


async def run(url: str, options: argparse.Namespace, load: Load, seconds: float, *, leaves: bool) -> float:
    """Have all clients ask until the time is over; returns how long it took until all were answered."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=START_S_MAX, limits=limits) as client:
        start = time.perf_counter()

        async def one(number: int) -> None:
            asked = 0
            while time.perf_counter() - start < seconds:
                conversation = (number + asked) % CONVERSATIONS
                asked += 1
                leave = leaves and (number + asked) % LEAVES_EVERY == 0
                try:
                    await ask(client, conversation, options.tokens, load, leave=leave)
                except (httpx.HTTPError, ValueError) as error:
                    load.errors.append(f"{type(error).__name__}: {error}")

        await asyncio.gather(*[one(number) for number in range(options.clients)])
        return time.perf_counter() - start


async def ask(client: httpx.AsyncClient, conversation: int, tokens: int, load: Load, *, leave: bool) -> None:
    body = {
        "model": "model",
        "messages": [{"role": "user", "content": f"I can pay {conversation}. What do you say?"}],
        "max_tokens": tokens,
        "temperature": 0.8,
        "seed": conversation,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    start, text, usage = time.perf_counter(), "", None
    first: float | None = None
    async with client.stream("POST", "/chat/completions", json=body) as response:
        if response.status_code != 200:
            raise ValueError(f"{response.status_code} {(await response.aread())[:200]!r}")
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise ValueError(str(event["error"]))
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                text += choice["delta"].get("content") or ""
                if first is None and text:
                    first = time.perf_counter() - start
                    if leave:
                        load.left += 1
                        return
    if usage is None:
        raise ValueError("an answer without usage")
    if first is not None:
        load.first_ms.append(first * 1000)
    load.answers += 1
    load.tokens += usage["completion_tokens"]
    load.texts.setdefault(conversation, set()).add(text)


@contextmanager
def ours(model: Path) -> Iterator[tuple[str, int]]:
    """Run `turnwise serve` on a free port."""
    command = [sys.executable, "-m", "turnwise", "serve", f"model={model}", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"serving at (\S+)", line):
            break
    else:
        raise SystemExit(f"the server does not start: {said}")
    try:
        yield found[1], process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


@contextmanager
def llama(binary: Path, gguf: Path, slots: int) -> Iterator[tuple[str, int]]:
    """Run llama-server with a slot for each client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = str(os.cpu_count() or 1)
    command = [str(binary), "--model", str(gguf), "--host", "127.0.0.1", "--port", str(port), "--no-webui"]
    command += ["--threads", threads, "--threads-batch", threads, "--parallel", str(slots), "--cont-batching"]
    command += ["--ctx-size", str(slots * SLOT_TOKENS), "--alias", "model"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1", process.pid
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{process.args!r} does not start")


def memory_mib(pid: int) -> float:
    """Resident memory of a process and its children (Linux; elsewhere 0)."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    pages = 0
    for member in family:
        try:
            pages += int(Path(f"/proc/{member}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
