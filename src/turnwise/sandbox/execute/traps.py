"""Classes of failure, which the head holds, of traps and errors: a closed table.

Core modules report a trap by its code. Components report an error text only; its last line is the engine's own (what a
guest can put into the text, names of functions, comes before), so the few texts that matter are compared with that.
Any other error of a guest is a trap. An error of the system is none of the guest: it raises `LackOfMemory`.
"""

from __future__ import annotations

import re

import wasmtime
from wasmtime import TrapCode

from turnwise.core.turn import FailureClass
from turnwise.errors import InvariantError
from turnwise.sandbox.execute.execution import ExecutionOutcome, failed, out_of_fuel
from turnwise.sandbox.execute.headroom import LackOfMemory

MESSAGE_CHARS_MAX = 4_000
"""Longest message of a trap that is kept: a backtrace of a deep recursion is longer than anybody reads."""

CLASS_OF_CODE: dict[TrapCode, FailureClass] = dict.fromkeys(TrapCode, FailureClass.TRAP) | {
    TrapCode.STACK_OVERFLOW: FailureClass.STACK,
    TrapCode.OUT_OF_FUEL: FailureClass.FUEL,
    TrapCode.ALLOCATION_TOO_LARGE: FailureClass.MEMORY,
}

CLASS_OF_TEXT: dict[str, FailureClass] = {
    "wasm trap: call stack exhausted": FailureClass.STACK,
    "wasm trap: all fuel consumed by WebAssembly": FailureClass.FUEL,
    "wasm trap: allocation size too large": FailureClass.MEMORY,
}
"""Texts of the codes of `CLASS_OF_CODE` that are not plain traps, as the pinned engine writes them."""

SYSTEM_ERROR = re.compile(r".*\(os error \d+\)|out of memory.*")
"""Last line of an error that the system gave: mapping, growing or protecting memory failed."""

SLOT_TEXT = "maximum concurrent limit of "
"""Beginning of an error of the pooling allocator: a turn before was not given up."""

_SIZE_TEXT = "too much data is being copied between the host and the guest"
_LIMIT_TEXTS = ("exceeds memory limits", "exceeds table limits", "resource limit exceeded")


def outcome_of_trap(trap: wasmtime.Trap, fuel: int) -> ExecutionOutcome:
    """Return the outcome of a core module's trap. `fuel` is what the execution had."""
    code = trap.trap_code
    failure = FailureClass.TRAP if code is None else CLASS_OF_CODE[code]
    return _outcome(failure, trap.message, fuel)


def outcome_of_error(error: wasmtime.WasmtimeError, fuel: int) -> ExecutionOutcome:
    """Return the outcome of an error that is text: of a component, or of an instance that could not be made.

    Raises `LackOfMemory`, and `InvariantError` if there is no room for it by a fault of ours.
    """
    text = str(error)
    cause = text.strip().rpartition("\n")[2].strip()
    if SYSTEM_ERROR.fullmatch(cause):
        raise LackOfMemory(" ".join(text.split())[:MESSAGE_CHARS_MAX])
    if cause.startswith(SLOT_TEXT):
        raise InvariantError("a turn began while the instance of another was there", actual=cause)
    failure = CLASS_OF_TEXT.get(cause, FailureClass.TRAP)
    if any(limit in cause for limit in _LIMIT_TEXTS):
        failure = FailureClass.MEMORY
    elif cause.startswith(_SIZE_TEXT):
        failure = FailureClass.OUTPUT_SIZE
    return _outcome(failure, text, fuel)


def _outcome(failure: FailureClass, text: str, fuel: int) -> ExecutionOutcome:
    if failure is FailureClass.FUEL:
        return failed(failure, out_of_fuel(fuel))
    text = text.strip()
    if len(text) > MESSAGE_CHARS_MAX:
        half = MESSAGE_CHARS_MAX // 2
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return failed(failure, text)
