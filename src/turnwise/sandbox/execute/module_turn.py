"""One execution of a core module: the texts that pass between the guest and the host, whoever makes the calls.

Nothing that a guest says about its memory is believed: every pointer is taken as unsigned and checked against the
memory's size at that moment, and what it gives away is copied out before anything else happens. The carriers differ
only in how they call the engine, so what is checked, and what a failure says, stands here once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import wasmtime

from turnwise.core.contents import Content
from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.execution import HOST_CALL_FUEL, Execution, ExecutionOutcome, failed
from turnwise.sandbox.execute.replies import as_bytes
from turnwise.sandbox.execute.traps import outcome_of_trap
from turnwise.sandbox.execute.wasi import Wasi
from turnwise.sandbox.execute.wasi_core import Answer

TABLE_ELEMENTS_MAX = 65_536
TABLES_MAX = 8
PAGE_BYTES = 65_536
U32_MASK = 0xFFFF_FFFF


class ModuleTurn:
    """Base of an instance at work. `execution` is what it executes.

    `_open` is true while the guest may call the host: in `turnwise_turn`, not in a start function or the allocator,
    where a call would nest without end.
    """

    __slots__ = ("_open", "_wasi", "execution")

    execution: Execution
    _wasi: Wasi | None

    @property
    def wasi(self) -> Wasi:
        """Clock, randomness and resources of the execution, made when they are first asked for."""
        wasi = self._wasi
        if wasi is None:
            wasi = self._wasi = Wasi(self.execution)
        return wasi

    def alloc(self, size: int) -> int:
        """Call `turnwise_alloc`; return the pointer, unsigned."""
        raise NotImplementedError

    def memory_bytes(self) -> int:
        """Return the size of the guest's memory now."""
        raise NotImplementedError

    def memory_address(self) -> int:
        """Return the address of the guest's memory in this process now."""
        raise NotImplementedError

    def effect(self, pointer: int, length: int) -> int:
        """Answer the guest's call of `effect`: a result as a signed number of 64 bits. Raises `Ended`."""
        self._check_open("effect")
        request = self.take(pointer & U32_MASK, length & U32_MASK, "effect request")
        reply = self.execution.effect(request)
        return _packed(self.place(reply), len(reply))

    def effect_bytes(self, pointer: int, length: int, content_pointer: int, content_length: int) -> int:
        """Answer the guest's call of `effect_bytes`, as `effect`; contents pass beside the texts. Raises `Ended`."""
        self._check_open("effect_bytes")
        execution = self.execution
        length, content_length = length & U32_MASK, content_length & U32_MASK
        together = length + content_length
        if together > execution.output_bytes_max:
            what = "effect request, with what comes beside it,"
            raise execution.fail(FailureClass.OUTPUT_SIZE, too_large(what, together, execution))
        request = self.take(pointer & U32_MASK, length, "effect request")
        place = self._place_of(content_pointer & U32_MASK, content_length)
        reply = execution.next_reply()
        if reply is None:
            content = ctypes.string_at(place, content_length) if content_length else b""
            raise execution.end(ExecutionOutcome("needs", request, content=content))
        parts = as_bytes(reply)
        return _packed(self.place_all(parts), sum(map(len, parts)))

    def _check_open(self, name: str) -> None:
        if not self._open:
            message = f"`{name}` can be called from `turnwise_turn` only, not from a start function or `turnwise_alloc`"
            raise self.execution.fail(FailureClass.FORBIDDEN, message)

    def answer(self, function: Answer, arguments: Sequence[int]) -> int | None:
        """Answer the guest's call of a function of WASI, whose arguments and result are unsigned. Raises `Ended`."""
        if not self._open:
            message = "WASI can be called from `turnwise_turn` only, not from a start function or `turnwise_alloc`"
            raise self.execution.fail(FailureClass.FORBIDDEN, message)
        self.execution.charge(HOST_CALL_FUEL)
        return function(self, *arguments)

    def read(self, pointer: int, length: int) -> bytes:
        """Return a copy of a part of the guest's memory."""
        return ctypes.string_at(self._place_of(pointer, length), length)

    def write(self, pointer: int, content: bytes) -> None:
        """Write to the guest's memory."""
        ctypes.memmove(self._place_of(pointer, len(content)), content, len(content))

    def _place_of(self, pointer: int, length: int) -> int:
        memory_bytes = self.memory_bytes()
        if pointer + length > memory_bytes:
            message = (
                f"{length} bytes at {pointer}, named in a call of the host, lie beyond the memory of {memory_bytes}"
            )
            raise self.execution.fail(FailureClass.TRAP, message)
        return self.memory_address() + pointer

    def place(self, text: bytes) -> int:
        """Ask the guest for room, copy `text` there and return its address."""
        pointer = self._room(len(text))
        ctypes.memmove(self.memory_address() + pointer, text, len(text))
        return pointer

    def place_all(self, parts: Sequence[Content]) -> int:
        """Ask the guest for room, copy `parts` there, one behind the other, and return the address of the first."""
        size = sum(map(len, parts))
        pointer = self._room(size)
        target = memoryview((ctypes.c_ubyte * size).from_address(self.memory_address() + pointer)).cast("B")
        with target:
            at = 0
            for part in parts:
                target[at : at + len(part)] = part
                at += len(part)
        return pointer

    def _room(self, size: int) -> int:
        """Ask the guest for room; return its address, of which nothing is believed."""
        if size > U32_MASK >> 1:
            raise self.execution.fail(FailureClass.MEMORY, f"{size} bytes do not fit into the memory of a module")
        self._open = False
        pointer = self.alloc(size)
        self._open = True
        memory_bytes = self.memory_bytes()
        if pointer == 0:
            message = f"`turnwise_alloc({size})` returned 0: no memory left ({self._limit_text(memory_bytes)})"
            raise self.execution.fail(FailureClass.MEMORY, message)
        if pointer + size > memory_bytes:
            message = f"`turnwise_alloc({size})` returned {pointer}, beyond the memory of {memory_bytes} bytes"
            raise self.execution.fail(FailureClass.TRAP, message)
        return pointer

    def take(self, pointer: int, length: int, what: str) -> bytes:
        """Copy out the text that the guest gives away: bounded, inside its memory, and UTF-8."""
        if length > self.execution.output_bytes_max:
            raise self.execution.fail(FailureClass.OUTPUT_SIZE, too_large(what, length, self.execution))
        memory_bytes = self.memory_bytes()
        if pointer + length > memory_bytes:
            message = f"the {what} ({length} bytes at {pointer}) lies beyond the memory of {memory_bytes} bytes"
            raise self.execution.fail(FailureClass.TRAP, message)
        if length == 0:
            return b""
        text = ctypes.string_at(self.memory_address() + pointer, length)
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.execution.fail(FailureClass.OUTPUT, f"the {what} is not UTF-8: {error}") from None
        return text

    def output(self, packed: int) -> ExecutionOutcome:
        """Return the outcome of a turn that returned `packed`."""
        return ExecutionOutcome("completed", self.take(packed >> 32 & U32_MASK, packed & U32_MASK, "output"))

    def trapped(self, trap: wasmtime.Trap, memory_bytes: int | None) -> ExecutionOutcome:
        """Return the outcome of a trap. `memory_bytes`: the size of the memory; None if there is no instance yet."""
        outcome = outcome_of_trap(trap, self.execution.fuel)
        if memory_bytes is None or outcome.failure is not FailureClass.TRAP:
            return outcome
        return memory_full(outcome, memory_bytes, self.execution.memory_bytes)

    def _limit_text(self, memory_bytes: int) -> str:
        return f"{memory_bytes} of at most {self.execution.memory_bytes} bytes are in use; see `memory_mib`"


def _packed(pointer: int, length: int) -> int:
    """Return a place in the guest's memory as the signed number that a call of the host returns."""
    packed = pointer << 32 | length
    return packed - (1 << 64) if packed >> 63 else packed


def too_large(what: str, length: int, execution: Execution) -> str:
    """Return the message for an output or request over its limit."""
    return f"the {what} has {length} bytes; at most {execution.output_bytes_max} are allowed"


def memory_full(trap: ExecutionOutcome, memory_bytes: int, limit_bytes: int) -> ExecutionOutcome:
    """Turn a trap into a lack of memory if the guest's memory is full: it asked for more in vain and gave up."""
    if memory_bytes + PAGE_BYTES <= limit_bytes:
        return trap
    message = trap.body.decode() + f"\nlinear memory is full ({memory_bytes} of at most {limit_bytes} bytes)"
    return failed(FailureClass.MEMORY, message)
