"""WASI for core modules: the functions of `wasi` in the form in which the core modules of components import them.

Values are numbers, by the canonical ABI: a handle is the number that `wasi` gave, a text or list is pointer and length,
and what does not fit into one number is written to a place that the guest names last. Room for lists is asked of
`turnwise_alloc`. The interpreter of Python agents is a module of this kind.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol

from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.execution import HOST_BYTE_FUEL, HOST_HANDLE_FUEL
from turnwise.sandbox.execute.wasi import (
    READ_NS,
    READY_NS,
    STREAM_STDERR,
    STREAM_STDIN,
    STREAM_STDOUT,
    U64_MAX,
    WASI_NAME,
    WRITE_BYTES_MAX,
    Wasi,
)

NO_ITEMS = struct.pack("<II", 8, 0)
"""An empty list: an aligned address, as guests expect, and no elements."""
NONE = OK = b"\0"
CLOSED = struct.pack("<II", 1, 1)
"""An error that says that the stream is closed, where the largest alignment is 4."""
CLOSED_U64 = struct.pack("<QQ", 1, 1)
"""The same where it is 8."""

DROP = "[resource-drop]"
DROP_SIGNATURE = "(i32) -> ()"


class Guest(Protocol):
    """Interface of an instance at work, as its host functions see it."""

    @property
    def wasi(self) -> Wasi:
        """Clock, randomness and resources of the execution."""

    def read(self, pointer: int, length: int) -> bytes:
        """Return a copy of a part of the guest's memory."""

    def write(self, pointer: int, content: bytes) -> None:
        """Write to the guest's memory."""

    def place(self, text: bytes) -> int:
        """Write to memory that the guest gives for it, and return where that is."""


Answer = Callable[..., "int | None"]
"""`answer(guest, *arguments)`: arguments and result unsigned."""


class CoreFunction(NamedTuple):
    """A host function: its signature and its implementation."""

    signature: str
    answer: Answer


def core_function(module: str, name: str) -> CoreFunction | None:
    """Return the function that an import of WASI 0.2 means; `signature` is empty where any is allowed.

    None if the import is none of WASI 0.2. What is not answered ends the turn with its name.
    """
    match = WASI_NAME.fullmatch(module)
    if match is None:
        return None
    path = f"{match[1]}.{name}"
    if name.startswith(DROP):
        return CoreFunction(DROP_SIGNATURE, _dropper(name.removeprefix(DROP)))
    return CORE_FUNCTIONS.get(path) or CoreFunction("", _forbidden(path))


def _dropper(resource: str) -> Answer:
    return lambda guest, rep: guest.wasi.drop(resource, rep)


def _forbidden(path: str) -> Answer:
    def answer(guest: Guest, *_: int) -> None:
        message = f"the agent called {path}, which the sandbox does not answer"
        raise guest.wasi.execution.fail(FailureClass.FORBIDDEN, message)

    return answer


def _writes(content: bytes) -> Answer:
    """Return an answer that is always the same, and written to the last argument."""
    return lambda guest, *arguments: guest.write(arguments[-1], content)


def _list(guest: Guest, content: bytes, length: int, place: int) -> None:
    """Hand over a list and write where it is."""
    guest.write(place, struct.pack("<II", guest.place(content), length) if length else NO_ITEMS)


def _exit(guest: Guest, status: object) -> None:
    message = f"the agent exited (status {status}); return from `turn` instead"
    raise guest.wasi.execution.fail(FailureClass.TRAP, message)


def _wall_now(guest: Guest, place: int) -> None:
    guest.write(place, struct.pack("<QI", *guest.wasi.read_wall()))


def _random_bytes(guest: Guest, length: int, place: int) -> None:
    guest.wasi.execution.charge(HOST_BYTE_FUEL * length)
    _list(guest, guest.wasi.random(length), length, place)


def _insecure_seed(guest: Guest, place: int) -> None:
    guest.write(place, guest.wasi.random(16))


def _poll(guest: Guest, pointer: int, length: int, place: int) -> None:
    guest.wasi.execution.charge(HOST_HANDLE_FUEL * max(0, length - 1))
    reps = struct.unpack(f"<{length}I", guest.read(pointer, 4 * length))
    ready = guest.wasi.wait(list(reps))
    _list(guest, struct.pack(f"<{len(ready)}I", *ready), len(ready), place)


def _write(guest: Guest, stream: int, pointer: int, length: int, place: int) -> None:
    guest.wasi.write(stream, guest.read(pointer, length))
    guest.write(place, OK)


def _random_u64(guest: Guest) -> int:
    return int.from_bytes(guest.wasi.random(8), "little")


def _subscribe_duration(guest: Guest, duration_ns: int) -> int:
    wasi = guest.wasi
    return wasi.add_pollable(min(wasi.read_clock() + duration_ns, U64_MAX))


_ALWAYS_READY = CoreFunction("(i32) -> i32", lambda guest, _: guest.wasi.add_pollable(READY_NS))
_READ = CoreFunction("(i32, i64, i32) -> ()", _writes(CLOSED))
_SKIP = CoreFunction("(i32, i64, i32) -> ()", _writes(CLOSED_U64))
_FLUSH = CoreFunction("(i32, i32) -> ()", _writes(OK))
_OUTPUT = CoreFunction("(i32, i32, i32, i32) -> ()", _write)
_NOTHING = CoreFunction("(i32) -> ()", _writes(NONE))
_NO_LIST = CoreFunction("(i32) -> ()", _writes(NO_ITEMS))
_BYTES = CoreFunction("(i64, i32) -> ()", _random_bytes)
_U64 = CoreFunction("() -> i64", _random_u64)
_RESOLUTION = struct.pack("<QI", 0, READ_NS)

CORE_FUNCTIONS: dict[str, CoreFunction] = {
    "wasi:cli/environment.get-arguments": _NO_LIST,
    "wasi:cli/environment.get-environment": _NO_LIST,
    "wasi:cli/environment.initial-cwd": _NOTHING,
    "wasi:cli/exit.exit": CoreFunction("(i32) -> ()", lambda guest, bad: _exit(guest, "err" if bad else "ok")),
    "wasi:cli/exit.exit-with-code": CoreFunction("(i32) -> ()", lambda guest, code: _exit(guest, code & 0xFF)),
    "wasi:cli/stderr.get-stderr": CoreFunction("() -> i32", lambda _: STREAM_STDERR),
    "wasi:cli/stdin.get-stdin": CoreFunction("() -> i32", lambda _: STREAM_STDIN),
    "wasi:cli/stdout.get-stdout": CoreFunction("() -> i32", lambda _: STREAM_STDOUT),
    "wasi:cli/terminal-stderr.get-terminal-stderr": _NOTHING,
    "wasi:cli/terminal-stdin.get-terminal-stdin": _NOTHING,
    "wasi:cli/terminal-stdout.get-terminal-stdout": _NOTHING,
    "wasi:clocks/monotonic-clock.now": CoreFunction("() -> i64", lambda guest: guest.wasi.read_clock()),
    "wasi:clocks/monotonic-clock.resolution": CoreFunction("() -> i64", lambda _: READ_NS),
    "wasi:clocks/monotonic-clock.subscribe-duration": CoreFunction("(i64) -> i32", _subscribe_duration),
    "wasi:clocks/monotonic-clock.subscribe-instant": CoreFunction(
        "(i64) -> i32", lambda guest, due_ns: guest.wasi.add_pollable(due_ns)
    ),
    "wasi:clocks/wall-clock.now": CoreFunction("(i32) -> ()", _wall_now),
    "wasi:clocks/wall-clock.resolution": CoreFunction("(i32) -> ()", _writes(_RESOLUTION)),
    "wasi:filesystem/preopens.get-directories": _NO_LIST,
    "wasi:io/poll.[method]pollable.block": CoreFunction(
        "(i32) -> ()", lambda guest, rep: guest.wasi.wait([rep]) and None
    ),
    "wasi:io/poll.[method]pollable.ready": CoreFunction("(i32) -> i32", lambda guest, rep: int(guest.wasi.ready(rep))),
    "wasi:io/poll.poll": CoreFunction("(i32, i32, i32) -> ()", _poll),
    "wasi:io/streams.[method]input-stream.blocking-read": _READ,
    "wasi:io/streams.[method]input-stream.blocking-skip": _SKIP,
    "wasi:io/streams.[method]input-stream.read": _READ,
    "wasi:io/streams.[method]input-stream.skip": _SKIP,
    "wasi:io/streams.[method]input-stream.subscribe": _ALWAYS_READY,
    "wasi:io/streams.[method]output-stream.blocking-flush": _FLUSH,
    "wasi:io/streams.[method]output-stream.blocking-write-and-flush": _OUTPUT,
    "wasi:io/streams.[method]output-stream.check-write": CoreFunction(
        "(i32, i32) -> ()", _writes(struct.pack("<QQ", 0, WRITE_BYTES_MAX))
    ),
    "wasi:io/streams.[method]output-stream.flush": _FLUSH,
    "wasi:io/streams.[method]output-stream.subscribe": _ALWAYS_READY,
    "wasi:io/streams.[method]output-stream.write": _OUTPUT,
    "wasi:random/insecure-seed.insecure-seed": CoreFunction("(i32) -> ()", _insecure_seed),
    "wasi:random/insecure.get-insecure-random-bytes": _BYTES,
    "wasi:random/insecure.get-insecure-random-u64": _U64,
    "wasi:random/random.get-random-bytes": _BYTES,
    "wasi:random/random.get-random-u64": _U64,
}
"""Every function that is answered, by interface and name, without the version of WASI 0.2: those of `wasi`."""
