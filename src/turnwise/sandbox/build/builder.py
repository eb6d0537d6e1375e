"""The builder: a process that compiles one source, or lets the interpreter compile one program, and ends.

It reads a request from standard input, gives up all that it does not need, works within limits of memory and time, and
writes its reply to standard output.
"""

from __future__ import annotations

import json
import os
import re
import sys

import msgspec
import wasmtime
from wasmtime import component as wc

from turnwise.confine import ProcessNeeds, give_up_calls, give_up_files
from turnwise.sandbox.build.contract import ContractError, check_component, check_module
from turnwise.sandbox.build.messages import (
    CompileReply,
    CompileRequest,
    PrepareReply,
    PrepareRequest,
    Reply,
    SourceProblem,
)
from turnwise.sandbox.execute.engine import make_engine, on_guest_stack
from turnwise.sandbox.execute.executor import Executor
from turnwise.sandbox.execute.headroom import LackOfMemory, memory_is_bounded_from_outside
from turnwise.sandbox.execute.switches import ALL_OFF
from turnwise.sandbox.execute.traps import SYSTEM_ERROR
from turnwise.sharedmem.connect import die_with_parent

ADDRESS_BYTES_MAX = 32 * 1024**3
"""Address space of a builder. An instance reserves 4 GiB and more without using them."""

CPU_S_MAX = 600
PREPARE_FUEL = 200_000_000_000
PREPARE_MEMORY_BYTES = 512 * 1024 * 1024
PROGRAM_BYTES_MAX = 64 * 1024 * 1024

_WAT_PLACE = re.compile(r"-->[^\n]*?:(\d+):\d+")


def main() -> None:
    """Run a builder's process. Its argument is the process id of its owner, which it does not outlive."""
    die_with_parent(int(sys.argv[1]))
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=CompileRequest | PrepareRequest)
    executor = Executor(ALL_OFF)
    if isinstance(request, PrepareRequest):
        executor.load(request.path, request.carrier, None)
    give_up_files()
    give_up_calls(ProcessNeeds(threads=True, new_code=True, address_bytes_max=ADDRESS_BYTES_MAX, cpu_s_max=CPU_S_MAX))
    try:
        reply = on_guest_stack(lambda: _answer(executor, request))
    except (LackOfMemory, MemoryError) as error:
        if memory_is_bounded_from_outside(ADDRESS_BYTES_MAX):
            sys.exit(f"the machine lacks memory, or a limit (`ulimit -v`, `ulimit -d`) refuses it: {error}")
        reply = SourceProblem(f"it takes more than {ADDRESS_BYTES_MAX} bytes of memory to compile")
    sys.stdout.buffer.write(msgspec.msgpack.encode(reply))
    sys.stdout.buffer.flush()
    os._exit(0)


def _answer(executor: Executor, request: CompileRequest | PrepareRequest) -> Reply:
    if isinstance(request, PrepareRequest):
        return PrepareReply([_prepare(executor, envelope) for envelope in request.envelopes])
    return _compile(request)


def _compile(request: CompileRequest) -> Reply:
    content = request.content
    try:
        if request.language == "wat":
            content = bytes(wasmtime.wat2wasm(content))
        engine = make_engine()
        # The fifth byte on is the version, whose upper half tells a component from a module.
        if content[:4] != b"\0asm":
            return SourceProblem("it is no WebAssembly binary: it does not begin with \\0asm")
        if content[6:8] == b"\x01\x00":
            component = wc.Component(engine, content)
            check_component(component, engine)
            return CompileReply("component", bytes(component.serialize()))
        module = wasmtime.Module(engine, content)
        check_module(module)
        return CompileReply("module", bytes(module.serialize()))
    except ContractError as error:
        return SourceProblem(str(error))
    except wasmtime.WasmtimeError as error:
        message = str(error).strip()
        if SYSTEM_ERROR.fullmatch(message.rpartition("\n")[2].strip()):
            raise LackOfMemory(message) from None
        place = _WAT_PLACE.search(message) if request.language == "wat" else None
        return SourceProblem(message, line=int(place[1]) if place else None)


def _prepare(executor: Executor, envelope: bytes) -> str | SourceProblem:
    result = executor.execute(0, 0, envelope, (), PREPARE_FUEL, PREPARE_MEMORY_BYTES, PROGRAM_BYTES_MAX)
    if result.status != "completed":
        return SourceProblem(f"the interpreter failed ({result.failure}): {result.body.decode('utf-8', 'replace')}")
    answer = json.loads(result.body)
    if "program" in answer:
        return str(answer["program"])
    error = answer["error"]
    if isinstance(error, str):
        return SourceProblem(error)
    return SourceProblem(error["message"], error.get("file"), error.get("line"))


if __name__ == "__main__":
    main()
