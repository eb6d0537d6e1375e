"""How a worker cuts its results into messages, with a real executor and an endpoint that keeps what it is sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import wasmtime

from turnwise.errors import InvariantError
from turnwise.sandbox.execute.engine import make_engine
from turnwise.sandbox.execute.executor import Executor, with_program
from turnwise.sandbox.pool import messages, worker

ECHO = """(module (memory (export "memory") 64)
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 8))
  (func (export "turnwise_turn") (param $p i32) (param $n i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get $p)) (i64.const 32)) (i64.extend_i32_u (local.get $n)))))"""


class Kept:
    """Takes messages, and nothing else."""

    def __init__(self) -> None:
        self.messages: list[list[messages.ResultItem]] = []

    def send(self, kind: int, *parts: bytes) -> None:
        assert kind == messages.RESULTS
        self.messages.append(messages.decode_results(b"".join(parts)))


@pytest.fixture
def executor(tmp_path: Path) -> Executor:
    path = tmp_path / "echo"
    path.write_bytes(bytes(wasmtime.Module(make_engine(), ECHO).serialize()))
    executor = Executor()
    assert executor.load(str(path), "module", None) == 0
    assert executor.load(str(path), "module", "cHJvZ3JhbQ==") == 1
    return executor


def run(executor: Executor, jobs: list[messages.JobItem]) -> list[list[messages.ResultItem]]:
    kept = Kept()
    worker._run(kept, executor, jobs)  # type: ignore[arg-type]
    return kept.messages


def job(number: int, text: bytes = b"{}", index: int = 0) -> messages.JobItem:
    return (number, index, text, (), 1_000_000, 8 * 1024 * 1024, 4 * 1024 * 1024)


def test_results_come_in_order_and_in_bounded_numbers(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RESULTS_AGE_S_MAX", 1e9)
    sent = run(executor, [job(number) for number in range(300)])
    assert [len(message) for message in sent] == [128, 128, 44]
    assert [item[0] for message in sent for item in message] == list(range(300))


def test_results_come_in_bounded_sizes(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RESULTS_AGE_S_MAX", 1e9)
    sent = run(executor, [job(number, b"x" * 400_000) for number in range(7)])
    assert [len(message) for message in sent] == [3, 3, 1]


def test_a_result_that_waits_is_sent(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline counts from result to result, so a long batch must show the first ones early."""
    monkeypatch.setattr(worker, "RESULTS_AGE_S_MAX", 0)
    assert [len(message) for message in run(executor, [job(number) for number in range(5)])] == [1] * 5


def test_no_jobs_no_message(executor: Executor) -> None:
    assert run(executor, []) == []


def test_python_agents_get_their_program_with_the_envelope(executor: Executor) -> None:
    ((item,),) = run(executor, [job(1, b'{"abi":1,"state":"}"} \n', 1)])
    assert item[2] == b'{"abi":1,"state":"}","program":"cHJvZ3JhbQ=="}'


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b'{"a":1'])
def test_an_envelope_that_is_no_object_is_our_mistake(text: bytes) -> None:
    with pytest.raises(InvariantError):
        with_program(text, b',"program":""}')


LOSES = """
import sys
from turnwise.sandbox.execute.c_library import EffectCallback
from turnwise.sandbox.pool.worker import _end_at_lost_exception
if sys.argv[1] == "ends":
    sys.unraisablehook = _end_at_lost_exception
EffectCallback(lambda *_: 1 // 0)(None, 1, 1, 2)
print("went on")
"""


@pytest.mark.parametrize(("hook", "went_on", "status"), [("ends", "", 1), ("none", "went on\n", 0)])
def test_an_exception_that_is_lost_in_a_host_function_ends_the_worker(hook: str, went_on: str, status: int) -> None:
    """Without the hook, as the control, the library is given a result that nobody made."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{LOSES}", hook]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (went_on, status)
    assert "ZeroDivisionError" in done.stderr
