"""The table of traps is closed, and its texts are those of the pinned engine."""

from __future__ import annotations

import pytest
import wasmtime
from wasmtime import TrapCode
from wasmtime import _ffi as ffi

from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.traps import CLASS_OF_CODE, CLASS_OF_TEXT, MESSAGE_CHARS_MAX, outcome_of_error


def text_of(code: TrapCode) -> str:
    return wasmtime.Trap._from_ptr(ffi.wasmtime_trap_new_code(code.value)).message


def test_every_code_has_a_class() -> None:
    assert set(CLASS_OF_CODE) == set(TrapCode)
    special = {code for code, failure in CLASS_OF_CODE.items() if failure is not FailureClass.TRAP}
    assert special == {TrapCode.STACK_OVERFLOW, TrapCode.OUT_OF_FUEL, TrapCode.ALLOCATION_TOO_LARGE}


def test_codes_and_texts_agree() -> None:
    for code, failure in CLASS_OF_CODE.items():
        assert CLASS_OF_TEXT.get(text_of(code), FailureClass.TRAP) is failure, code


@pytest.mark.parametrize("code", TrapCode)
def test_the_last_line_decides(code: TrapCode) -> None:
    text = f"wasm trap: call stack exhausted\n\nCaused by:\n    {text_of(code)}\n"
    assert outcome_of_error(wasmtime.WasmtimeError(text), 1).failure is CLASS_OF_CODE[code]


def test_long_messages_keep_both_ends() -> None:
    outcome = outcome_of_error(wasmtime.WasmtimeError("begin" + "x" * 100_000 + "end"), 1)
    text = outcome.body.decode()
    assert text.startswith("begin")
    assert text.endswith("end")
    assert len(text) <= MESSAGE_CHARS_MAX + 3
