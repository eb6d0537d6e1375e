"""Python agents in the interpreter module: what they may do and may not, and that nothing is left to chance."""

from __future__ import annotations

import asyncio
import json
import textwrap
from dataclasses import dataclass, replace
from typing import Any

import pytest

from turnwise.core.turn import FailureClass
from turnwise.errors import EnvironmentFailure, TurnwiseError
from turnwise.sandbox.build.code import Code, CodeError, Source, prepare
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.execute.switches import C_LIBRARY, OFF, POOL
from turnwise.sandbox.pool.pool import Pool

MIB = 1024 * 1024
WAIT_S_MAX = 200

SEND = "t.send('you', repr(({})))"
AGENTS: dict[str, str] = {
    "hello": "t.send('you', 'hello ' + t.inbox[0].body)",
    "counts": "t.state['n'] = t.state.get('n', 0) + 1\nglobal N\nN += 1\nt.send('you', str(N))",
    "raises": "raise ValueError('no good')",
    "exits": "import sys\nsys.exit(3)",
    "exits at once": "import os\nos._exit(3)",
    "recurses": "f = lambda: f()\nf()",
    "recurses deeply": "def f(n): return n if n == 0 else f(n - 1)\nt.send('you', str(f(900)))",
    "parses deeply": "import json\njson.loads('[' * 100_000)",
    "takes memory": "x = []\nwhile True: x.append(bytes(1 << 20))",
    "takes memory at once": "bytes(1 << 30)",
    "takes memory in pieces": "x = []\nwhile True: x.append([1] * 100)",
    "survives lack of memory": "try:\n    bytes(1 << 30)\nexcept MemoryError:\n    t.send('you', 'survived')",
    "loops": "while True: pass",
    "waits without end": "import time\nwhile True: time.sleep(1)",
    "reads the clock without end": "import time\nwhile True: time.time()",
    "prints without end": "while True: print('x' * 1000)",
    "prints": "import sys\nprint('out')\nprint('err', file=sys.stderr)\nprint('€ 世界')",
    "opens a file": "open('/etc/passwd')",
    "writes a file": "open('/tmp/x', 'w')",
    "lists files": "import os\nos.listdir('/')",
    "makes a socket": "import socket\nsocket.socket()",
    "starts a process": "import subprocess\nsubprocess.run(['ls'])",
    "starts a thread": "import threading\nthreading.Thread(target=print).start()",
    "imports ctypes": "import ctypes",
    "reads input": "t.send('you', repr(input()))",
    "environment": "import os, sys\n" + SEND.format("dict(os.environ), sys.argv[1:]"),
    "time": "import time, datetime\n"
    + SEND.format("time.time(), time.time_ns(), time.monotonic_ns(), str(datetime.datetime.now()), t.now()"),
    "sleep": "import time\nbefore = time.time()\ntime.sleep(3600)\n" + SEND.format("round(time.time() - before, 3)"),
    "random": "import random, uuid, secrets, os\n"
    + SEND.format(
        "random.random(), t.random.random(), uuid.uuid4(), secrets.token_hex(8), os.urandom(8), uuid.uuid1()"
    ),
    "order": SEND.format("list({str(i) * 3 for i in range(40)}), hash('x'), [hash(object) == hash(object)]"),
    "floats": "import math\n" + SEND.format("math.sin(1e22), float('nan'), 0.1 + 0.2, math.exp(1) ** 50"),
    "returns much": "t.state['x'] = 'y' * (1 << 21)",
    "asks": "answer = t.generate('model', 'prompt')\nt.send('you', answer.text)",
    "asks twice": "for p in 'ab': t.send('you', t.generate('model', p).text)",
    "catches": "try:\n    t.generate('m', 'p')\nexcept BaseException:\n    print(1)\nfinally:\n    print(2)",
}
SOURCE = "N = 0\ndef turn(t):\n{}\n"


@dataclass(frozen=True)
class Played:
    """Results of agents by name, from one pool."""

    codes: dict[str, Code]
    jobs: dict[str, TurnJob]
    results: dict[str, TurnResult]

    def output(self, name: str) -> dict[str, Any]:
        result = self.results[name]
        assert result.status == "completed", result.body.decode()
        return dict(json.loads(result.body))

    def sent(self, name: str) -> str:
        return str(self.output(name)["send"][0]["body"])

    def error(self, name: str) -> str:
        return str(self.output(name)["error"])

    def failure(self, name: str) -> FailureClass | None:
        return self.results[name].failure


def source(name: str) -> Source:
    text = SOURCE.format(textwrap.indent(AGENTS[name], "    "))
    return Source(f"agents.{name}.source", "python", {"agent.py": text.encode()}, "agent.py")


def envelope(name: str) -> bytes:
    value = {
        "abi": 1,
        "self": "agent-1",
        "kind": name,
        "round": 3,
        "turn": 2,
        "now_us": 946_684_800_000_000,
        "seed": "5eed" * 16,
        "args": {},
        "state": "",
        "inbox": [{"from": "you", "round": 2, "body": "world"}],
    }
    return json.dumps(value).encode()


FUEL = {
    "takes memory in pieces": 20_000_000_000,
    "waits without end": 300_000_000,
    "reads the clock without end": 300_000_000,
}


def job(codes: dict[str, Code], number: int, name: str) -> TurnJob:
    fuel = FUEL.get(name, 1_000_000_000)
    return TurnJob(number, codes[name].hash, envelope(name), (), fuel, 64 * MIB, MIB)


async def execute(codes: list[Code], jobs: list[TurnJob], workers: int = 1) -> dict[int, TurnResult]:
    results: dict[int, TurnResult] = {}
    failures: list[TurnwiseError] = []
    finished = asyncio.Event()

    def take(batch: list[TurnResult]) -> None:
        results.update((result.id, result) for result in batch)
        if len(results) == len(jobs):
            finished.set()

    def fail(error: TurnwiseError) -> None:
        failures.append(error)
        finished.set()

    async with Pool(codes, workers=workers, on_results=take, on_failure=fail) as pool:
        pool.submit(jobs)
        async with asyncio.timeout(WAIT_S_MAX):
            await finished.wait()
    assert failures == []
    return results


@pytest.fixture(scope="module")
def played() -> Played:
    try:
        codes = dict(zip(AGENTS, asyncio.run(prepare([source(name) for name in AGENTS])), strict=True))
    except EnvironmentFailure as error:
        pytest.skip(str(error))
    jobs = {name: job(codes, number, name) for number, name in enumerate(AGENTS)}
    results = asyncio.run(execute(list(codes.values()), list(jobs.values()), 3))
    return Played(codes, jobs, {name: results[number] for number, name in enumerate(AGENTS)})


def again(played: Played, *names: str, workers: int = 1, **changes: Any) -> list[TurnResult]:
    """Executes agents again, in a pool of their own."""
    jobs = [replace(played.jobs[name], id=number, **changes) for number, name in enumerate(names)]
    results = asyncio.run(execute([played.codes[name] for name in {*names}], jobs, workers))
    return [results[number] for number in range(len(names))]


def test_a_turn_reads_its_inbox_and_sends(played: Played) -> None:
    assert played.output("hello")["send"] == [{"body": "hello world", "to": "you"}]


def test_nothing_survives_a_turn_but_the_state(played: Played) -> None:
    results = again(played, *["counts"] * 3)
    assert {result.body for result in results} == {played.results["counts"].body}
    assert played.sent("counts") == "1"
    assert json.loads(played.output("counts")["state"]) == {"n": 1}


def test_what_an_agent_raises_is_its_error_with_the_place(played: Played) -> None:
    error = played.error("raises")
    assert 'File "agent.py", line 3, in turn' in error
    assert "ValueError: no good" in error
    assert "SystemExit" in played.error("exits")
    assert "RecursionError" in played.error("recurses")
    assert "RecursionError" in played.error("parses deeply")


def test_ordinary_recursion_is_fine(played: Played) -> None:
    assert played.sent("recurses deeply") == "0"


def test_an_exit_beyond_python_fails_the_turn(played: Played) -> None:
    assert played.failure("exits at once") is FailureClass.TRAP
    assert "exited" in played.results["exits at once"].body.decode()


@pytest.mark.parametrize("name", ["takes memory", "takes memory at once", "takes memory in pieces"])
def test_lack_of_memory_is_an_error_of_the_agent(played: Played, name: str) -> None:
    assert "MemoryError" in played.error(name)


def test_lack_of_memory_can_be_survived(played: Played) -> None:
    assert played.sent("survives lack of memory") == "survived"


@pytest.mark.parametrize("name", ["loops", "waits without end", "reads the clock without end", "prints without end"])
def test_whatever_has_no_end_runs_out_of_fuel(played: Played, name: str) -> None:
    result = played.results[name]
    assert (result.failure, result.fuel) == (FailureClass.FUEL, played.jobs[name].fuel)


def test_what_is_printed_is_kept_in_order(played: Played) -> None:
    assert played.results["prints"].stdout == "out\nerr\n€ 世界\n"
    assert "bytes more were printed" in played.results["prints without end"].stdout


@pytest.mark.parametrize("name", ["opens a file", "writes a file", "lists files"])
def test_there_are_no_files(played: Played, name: str) -> None:
    assert "Error" in played.error(name)


@pytest.mark.parametrize("name", ["makes a socket", "starts a process", "starts a thread", "imports ctypes"])
def test_there_is_no_way_out(played: Played, name: str) -> None:
    result = played.results[name]
    assert result.failure is FailureClass.FORBIDDEN or "Error" in played.error(name)


def test_there_is_no_input_and_no_environment(played: Played) -> None:
    assert "EOFError" in played.error("reads input")
    assert played.sent("environment") == "({}, [])"


def test_time_is_virtual(played: Played) -> None:
    assert played.sent("time").startswith("(946684800.0")
    assert "2000-01-01 00:00:00" in played.sent("time")
    assert played.sent("sleep") == "3600.0"


def test_output_over_its_limit_fails_the_turn(played: Played) -> None:
    assert played.failure("returns much") is FailureClass.OUTPUT_SIZE


def test_an_effect_suspends_the_turn_and_its_reply_goes_on(played: Played) -> None:
    result = played.results["asks"]
    assert result.status == "needs"
    assert json.loads(result.body)["effect"] == "generate"
    reply = b'{"ok":{"finish":"end","prompt_tokens":3,"text":"once upon","tokens":2}}'
    (done,) = again(played, "asks", replies=(reply,))
    assert json.loads(done.body)["send"][0]["body"] == "once upon"


def test_a_turn_goes_further_with_every_reply(played: Played) -> None:
    reply = b'{"ok":{"finish":"end","prompt_tokens":3,"text":"r","tokens":2}}'
    first = played.results["asks twice"]
    (second,) = again(played, "asks twice", replies=(reply,))
    (third,) = again(played, "asks twice", replies=(reply, reply))
    assert [first.status, second.status, third.status] == ["needs", "needs", "completed"]
    assert json.loads(first.body)["prompt"] == "a"
    assert json.loads(second.body)["prompt"] == "b"
    assert first.fuel < second.fuel < third.fuel


def test_a_suspension_cannot_be_caught(played: Played) -> None:
    result = played.results["catches"]
    assert (result.status, result.stdout) == ("needs", "")


def test_every_execution_is_the_same_in_every_process(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results, fuel and what is printed: under other hash seeds, other workers, other order, warm and cold."""
    names = [name for name in AGENTS if "without end" not in name and "takes memory" not in name]
    for seed, workers, order in (("0", 1, names), ("1", 2, names[::-1]), ("777", 4, names + names)):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        for name, result in zip(order, again(played, *order, workers=workers), strict=True):
            assert replace(result, id=0) == replace(played.results[name], id=0), name


@pytest.mark.parametrize("off", [(C_LIBRARY,), (POOL,), (C_LIBRARY, POOL)])
def test_every_execution_is_the_same_in_every_way(
    played: Played, monkeypatch: pytest.MonkeyPatch, off: tuple[str, ...]
) -> None:
    """Results, fuel and what is printed, also of those that fail: each has had every other as its neighbour."""
    for name in off:
        monkeypatch.setenv(name, OFF)
    names = [name for name in AGENTS if "without end" not in name and "takes memory" not in name]
    for name, result in zip(names, again(played, *names, workers=2), strict=True):
        assert replace(result, id=0) == replace(played.results[name], id=0), name


def test_another_seed_is_another_chance(played: Played) -> None:
    other = envelope("random").replace(b"5eed5eed", b"5eee5eed")
    (result,) = again(played, "random", input=other)
    before, after = played.sent("random"), json.loads(result.body)["send"][0]["body"]
    assert all(one != two for one, two in zip(before.split(", "), after.split(", "), strict=True))


def test_numbers_are_those_that_were_journalled_before(played: Played) -> None:
    """Golden: a change here is a change of every stored run of a Python agent."""
    assert played.sent("floats") == "(-0.8522008497671888, nan, 0.30000000000000004, 5.184705528587058e+21)"


# Sources of more than one file, and sources with mistakes.


def python(**files: str) -> Source:
    names = {name.replace("__", "/") + ".py": text.encode() for name, text in files.items()}
    return Source("agents.agent.source", "python", names, "agent.py")


def test_local_modules_travel_with_the_agent(played: Played) -> None:
    wanted = python(
        agent="from lib.words import word\nimport helper\ndef turn(t): t.send('you', word + helper.twice('b'))",
        helper="def twice(x): return x * 2",
        lib__words="word = 'a'",
    )
    (code,) = asyncio.run(prepare([wanted]))
    done = asyncio.run(execute([code], [TurnJob(0, code.hash, envelope("x"), (), 10**9, 64 * MIB, MIB)]))
    assert json.loads(done[0].body)["send"][0]["body"] == "abb"


def test_a_change_in_any_file_is_another_code(played: Played) -> None:
    base = {"agent": "import helper\ndef turn(t): pass", "helper": "x = 1"}
    variants = [base, base | {"helper": "x = 2"}, base | {"other": ""}, {"agent": base["agent"], "helpe": "x = 1"}]
    codes = asyncio.run(prepare([python(**files) for files in variants]))
    assert len({code.hash for code in codes}) == 4
    assert len({code.path for code in codes}) == 1


@pytest.mark.parametrize(
    ("files", "where", "message"),
    [
        ({"agent": "def turn(t):\n    x = = 1\n"}, "agent.py:2", "invalid syntax"),
        ({"agent": "def turn(t):\nreturn 1\n"}, "agent.py:2", "indented block"),
        ({"agent": "import b", "b": "\n\n)"}, "b.py:3", "unmatched ')'"),
        ({"agent": "x = 1\0"}, "agent.py", "null"),
        ({"agent": "(" * 3_000}, "agent.py", ""),
        ({"agent": "import json", "json": "x = 1"}, "json.py:1", "standard module"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(played: Played, files: dict[str, str], where: str, message: str) -> None:
    with pytest.raises(CodeError) as caught:
        asyncio.run(prepare([python(**files)]))
    assert f"agents.agent.source: {where}" in (caught.value.where or "")
    assert message in caught.value.message


def test_text_that_is_not_utf8_is_named(played: Played) -> None:
    bad = Source("agents.agent.source", "python", {"agent.py": b"import x", "x.py": b"\xff"}, "agent.py")
    with pytest.raises(CodeError, match=r"x\.py: it is not UTF-8"):
        asyncio.run(prepare([bad]))


def test_compiling_runs_nothing(played: Played) -> None:
    (code,) = asyncio.run(prepare([python(agent="print('run')\nraise SystemExit\ndef turn(t): pass")]))
    assert code.program
