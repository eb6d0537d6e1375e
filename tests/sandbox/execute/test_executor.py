"""What a worker does with one job: code is found by its index, programs travel in the envelope, results are whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wasmtime
from wasmtime import component as wc

from tests.sandbox.conftest import ALLOC, COMPONENT, MIB, PARTS
from turnwise.core.turn import FailureClass
from turnwise.errors import InvariantError
from turnwise.sandbox.execute.engine import on_guest_stack
from turnwise.sandbox.execute.executor import Executor, with_program
from turnwise.sandbox.execute.jobs import TurnResult
from turnwise.sandbox.execute.switches import ALL_ON

ECHO = "(call $pack (local.get $p) (local.get $n))"


@pytest.fixture
def codes(engine: wasmtime.Engine, tmp_path: Path) -> tuple[str, str]:
    """Paths of a compiled module and a compiled component, which give back their input."""
    module, component = tmp_path / "module", tmp_path / "component"
    wat = f"""(module {PARTS} {ALLOC}
      (func (export "turnwise_turn") (param $p i32) (param $n i32) (result i64) {ECHO}))"""
    module.write_bytes(wasmtime.Module(engine, wat).serialize())
    empty = {"imports": "", "pages": "1", "lowered": "", "host": "", "parts": "", "given": ""}
    turn = "(call $answer (local.get $p) (local.get $n))"
    component.write_bytes(wc.Component(engine, COMPONENT.format(turn=turn, **empty)).serialize())
    return str(module), str(component)


def execute(executor: Executor, index: int, input_: bytes, fuel: int = 1_000_000) -> TurnResult:
    return on_guest_stack(lambda: executor.execute(7, index, input_, [], fuel, MIB, 1_000))


def test_code_is_executed_by_its_index_whatever_carries_it(codes: tuple[str, str]) -> None:
    executor = Executor(ALL_ON)
    module, component = codes
    assert executor.load(module, "module", None) == 0
    assert executor.load(component, "component", None) == 1
    assert executor.load(module, "module", "the program") == 2
    envelope = b'{"abi":1}'
    for index in (0, 1):
        result = execute(executor, index, envelope)
        assert (result.id, result.status, result.body, result.failure) == (7, "completed", envelope, None)
        assert 0 < result.fuel < 1_000_000
    assert json.loads(execute(executor, 2, envelope).body) == {"abi": 1, "program": "the program"}


def test_what_an_execution_used_and_why_it_failed_is_in_the_result(codes: tuple[str, str]) -> None:
    executor = Executor(ALL_ON)
    executor.load(codes[0], "module", None)
    result = execute(executor, 0, b"x" * 1_001)
    assert (result.status, result.failure) == ("failed", FailureClass.OUTPUT_SIZE)
    result = execute(executor, 0, b"x", fuel=3)
    assert (result.status, result.failure, result.fuel) == ("failed", FailureClass.FUEL, 3)


def test_a_program_is_the_last_member_of_the_envelope() -> None:
    assert with_program(b'{"a":1}', b',"program":"x"}') == b'{"a":1,"program":"x"}'
    assert with_program(b'{"a":{}} \n', b',"program":"x"}') == b'{"a":{},"program":"x"}'


@pytest.mark.parametrize("envelope", [b"", b"{}", b"[1]", b'{"a":1'])
def test_what_is_no_envelope_takes_no_program(envelope: bytes) -> None:
    with pytest.raises(InvariantError, match="JSON object with members"):
        with_program(envelope, b',"program":"x"}')
