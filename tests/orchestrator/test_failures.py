"""An agent that does what it must not: its turn fails with a journalled reason, and the others go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import turnwise
from tests.guests import SPINS, constant
from turnwise import Agent, EnvironmentFailure, Grants, JournalError
from turnwise.core.turn import FailureClass
from turnwise.orchestrator import assembly
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.settings import Settings
from turnwise.sandbox.pool import worker_slot

CHILDREN = str(Path(__file__).parents[1] / "sandbox" / "children")
SOURCES = str(Path(turnwise.__path__[0]).parent)

RECURSES = """
(module
  (memory (export "memory") 1)
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))
  (func (export "turnwise_turn") (param i32 i32) (result i64) (i64.extend_i32_u (call $deeper (i32.const 0)))))
"""
TRAPS = """
(module
  (memory (export "memory") 1)
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "turnwise_turn") (param i32 i32) (result i64) (unreachable)))
"""
GREEDY = """
(module
  (memory (export "memory") 2048)
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "turnwise_turn") (param i32 i32) (result i64) (i64.const 0)))
"""
NOT_JSON = constant({"state": ""}).replace("\\7b\\22", "\\5b\\22")


def python(body: str) -> str:
    return "def turn(t):\n" + "".join(f"    {line}\n" for line in body.splitlines())


CASES: dict[str, tuple[str, FailureClass, str]] = {
    "raises": (python("x = {}\nx['price']"), FailureClass.RAISED, "KeyError: 'price'"),
    "exits": (python("raise SystemExit(3)"), FailureClass.RAISED, "SystemExit"),
    "recurses": (python("def f(n): return f(n + 1)\nf(0)"), FailureClass.RAISED, "RecursionError"),
    "hoards": (python("x = [bytearray(10**6) for _ in range(10**6)]"), FailureClass.RAISED, "MemoryError"),
    "loops": (python("while True: pass"), FailureClass.FUEL, "fuel"),
    "state": (python("t.state = {1, 2}"), FailureClass.RAISED, "t.state"),
    "says too much": (python("t.state['x'] = 'x' * 3_000_000"), FailureClass.OUTPUT_SIZE, "output"),
    "sends": (python("t.send('healthy', 'hello')"), FailureClass.DENIED, "not granted to send to 'healthy'"),
    "spawns": (python("t.spawn('healthy', 'x')"), FailureClass.DENIED, "not granted to spawn 'healthy'"),
    "stops": (python("t.stop('healthy')"), FailureClass.DENIED, "not granted to stop 'healthy'"),
    "generates": (python("t.generate('m', 'x')"), FailureClass.RAISED, "denied"),
    "opens a file": (python("open('/etc/passwd')"), FailureClass.RAISED, "Error"),
    "imports": (python("import socket"), FailureClass.RAISED, "socket"),
    "no turn": ("x = 1\n", FailureClass.RAISED, "has no function turn"),
    "asks too often": (
        python(
            "from turnwise_guest import EffectError\nwhile True:\n    try:\n        t.generate('m', 'x')\n"
            "    except EffectError:\n        pass"
        ),
        FailureClass.EFFECTS,
        "more than 8 effects",
    ),
    "loops in wasm": (SPINS, FailureClass.FUEL, "fuel"),
    "recurses in wasm": (RECURSES, FailureClass.STACK, "stack"),
    "traps": (TRAPS, FailureClass.TRAP, "unreachable"),
    "memory of a module": (GREEDY, FailureClass.MEMORY, "memory"),
    "not JSON": (NOT_JSON, FailureClass.OUTPUT, "not JSON"),
    "other members": (constant({"state": "", "sends": []}), FailureClass.OUTPUT, "unknown member 'sends'"),
    "declares": (constant({"error": "I cannot"}), FailureClass.RAISED, "I cannot"),
}


def test_every_misdeed_fails_its_turn_and_the_others_go_on(tmp_path: Path) -> None:
    agents = {
        f"bad-{i}": Agent(source, start=True, fuel=1_000_000_000, output_mib=1, effects_max=8)
        for i, (source, _, _) in enumerate(CASES.values())
    }
    healthy = python("t.state['turns'] = t.turn\nt.wake_in(1)\nif t.turn == 3: t.finish(t.turn)")
    world = turnwise.World(
        name="w", agents={**agents, "healthy": Agent(healthy, start=True, grants=Grants(finish=True))}
    )
    path = tmp_path / "a.journal"
    with turnwise.run(world, journal=path, workers=2) as run:
        assert (run.status, run.result) == ("finished", 3)
        failures = {turn.agent: turn.failure for turn in run.failures}
        for i, (name, (_, kind, said)) in enumerate(CASES.items()):
            failure = failures[f"bad-{i}"]
            assert failure is not None, name
            assert failure.kind == kind, (name, failure)
            assert said in failure.message, (name, failure.message)
        assert len(failures) == len(CASES)
    assert turnwise.replay(path).difference is None


def test_a_traceback_names_the_agents_own_lines(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("from lib import words\n\ndef turn(t):\n    words.speak(t)\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "words.py").write_text("def speak(t):\n    return t.args['voice']\n")
    world = turnwise.World(name="w", folder=tmp_path, agents={"a": Agent("agent.py", start=True)})
    with turnwise.run(world, journal=tmp_path / "a.journal") as run:
        (turn,) = run.failures
        assert turn.failure is not None
        lines = turn.failure.message.splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert '  File "agent.py", line 4, in turn' in lines
        assert "    words.speak(t)" in lines
        assert '  File "lib/words.py", line 2, in speak' in lines
        assert lines[-1] == "KeyError: 'voice'"


def test_what_a_failed_turn_did_is_discarded_but_its_effects_stay(demo_model: Path, tmp_path: Path) -> None:
    source = python(
        "t.state['touched'] = True\n"
        "t.send('b', 'hello')\n"
        "t.generate('m', 'Once', tokens_max=3)\n"
        "raise ValueError('late')"
    )
    world = turnwise.World(
        name="w",
        models={"m": turnwise.Model(demo_model)},
        agents={
            "a": Agent(source, start=True, grants=Grants(send=["b"], generate=["m"])),
            "b": Agent(constant({"state": ""})),
        },
    )
    with turnwise.run(world, journal=tmp_path / "a.journal") as run:
        (turn,) = run.turns
        assert turn.failure is not None
        assert len(run.messages) == 0
        assert run.state("a") == ""
        assert len(turn.effects) == 1
        assert json.loads(turn.effects[0].reply)["ok"]["tokens"] == 3


def test_a_journal_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    world = turnwise.World(name="w", agents={"a": Agent(constant({"state": "", "wake_in": 1}), start=True)})
    with world.start(journal=path) as live:
        live.step()
        with pytest.raises(JournalError, match="in use"):
            turnwise.resume(path).result()
        with turnwise.open(path) as reader:
            assert len(reader.rounds) == 1


FULL = """
import resource, signal, sys, turnwise
from turnwise import Agent
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
agent = Agent("def turn(t):\\n    t.state['x'] = t.random.randbytes(60_000).hex()\\n    t.wake_in(1)\\n", start=True)
with turnwise.World(name="w", rounds_max=40, agents={"a": agent}).start(journal=sys.argv[1]) as live:
    live.step()
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        live.result()
    except turnwise.EnvironmentFailure as failure:
        print(failure)
        sys.exit(1)
"""


def test_a_full_disk_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(600_000)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert f"turnwise resume {path}" in done.stdout
    with turnwise.open(path) as run:
        assert run.status == "open"
        committed = len(run.rounds)
        assert 0 < committed < 40
    with turnwise.resume(path).result() as run:
        assert run.status == "rounds_max"
        assert len(run.rounds) == 40


LITTLE_MEMORY = """
import resource, sys, turnwise
from tests.guests import constant
from turnwise import Agent
def world():
    grows = "def turn(t):\\n    t.state['size'] = len(bytearray(20_000_000))\\n    t.wake_in(1)\\n"
    agents = {"grows": Agent(grows, start=True), "rests": Agent(constant({"state": "", "wake_in": 1}), start=True)}
    return turnwise.World(name="w", rounds_max=4, agents=agents)
which, bytes_max = sys.argv[2], int(sys.argv[3])
if which != "none":
    resource.setrlimit({"as": resource.RLIMIT_AS, "data": resource.RLIMIT_DATA}[which], (bytes_max, bytes_max))
try:
    with world().start(journal=sys.argv[1], workers=1) as live:
        live.result()
except turnwise.EnvironmentFailure as failure:
    print(failure)
    sys.exit(1)
"""
GIB = 1024**3


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_lack_of_memory_stops_the_run_and_no_outcome_is_another(tmp_path: Path) -> None:
    """Limits from hopeless to ample, of address space and of data: the head is the same, or the run can be resumed."""

    def play(name: str, which: str, bytes_max: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", LITTLE_MEMORY, str(tmp_path / name), which, str(bytes_max)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([SOURCES, str(Path(__file__).parents[2])])}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)

    assert play("free", "none", 0).returncode == 0
    with turnwise.open(tmp_path / "free") as run:
        expected = (run.status, run.head)
    limits = [("as", 3 * GIB), ("as", int(4.5 * GIB)), ("as", 12 * GIB), ("data", GIB // 5), ("data", 2 * GIB)]
    stopped = []
    for which, bytes_max in limits:
        name = f"{which}-{bytes_max}"
        done = play(name, which, bytes_max)
        assert done.returncode in (0, 1), done.stderr
        if done.returncode == 1:
            stopped.append(which)
            with turnwise.open(tmp_path / name) as run:
                assert run.status == "open"
                assert [turn.failure for turn in run.turns] == [None] * len(run.turns)
            turnwise.resume(tmp_path / name).result().close()
        with turnwise.open(tmp_path / name) as run:
            assert (run.status, run.head) == expected, name
    assert "as" in stopped


def test_a_turn_that_takes_worker_after_worker_stops_the_run_as_a_failure_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_slot, "WORKER", "sandbox_child")
    for name, value in {"SANDBOX_ROLE": "stand", "PYTHONPATH": os.pathsep.join([CHILDREN, SOURCES])}.items():
        monkeypatch.setitem(worker_slot.WORKER_ENVIRONMENT, name, value)
    world = turnwise.World(
        name="w",
        turn_seconds_max=10**12,
        agents={
            "spins": Agent(SPINS, fuel=10**17),
            "first": Agent(
                constant({"state": "", "send": [{"to": "spins", "body": ""}]}),
                start=True,
                grants=Grants(send=["spins"]),
            ),
        },
    )
    path = tmp_path / "a.journal"
    with (
        Live(path, partial(assembly.begin, world, path, Settings(workers=1, deadline_ms=300))) as live,
        pytest.raises(EnvironmentFailure),
    ):
        live.result()
    with turnwise.open(path) as run:
        assert (run.status, len(run.rounds)) == ("open", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="long messages are files of memory on Linux only")
def test_a_message_for_which_there_is_no_memory_stops_the_run_and_it_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = python("t.state = t.state or 'x' * 6_000_000\nt.wake_in(1)\nif t.turn == 3: t.finish(len(t.state))")
    world = turnwise.World(
        name="w",
        agents={"a": Agent(source, start=True, output_mib=16, memory_mib=256, fuel=10**10, grants=Grants(finish=True))},
    )
    path = tmp_path / "a.journal"

    def refuse(name: str, flags: int) -> int:
        raise OSError(12, "Cannot allocate memory")

    with world.start(journal=path, workers=1) as live:
        live.step()
        monkeypatch.setattr(os, "memfd_create", refuse)
        with pytest.raises(EnvironmentFailure, match="no memory for a message"):
            live.step()
        monkeypatch.undo()
    with turnwise.open(path) as run:
        assert (run.status, len(run.rounds)) == ("open", 1)
    with turnwise.resume(path).result() as run:
        assert (run.status, run.result) == ("finished", 6_000_000)
