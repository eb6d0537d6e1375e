"""WASI, as far as language runtimes need it, with deterministic answers.

Time is virtual: it starts at the envelope's `now_us`, every read advances it by 1 µs, and waiting advances it to the
moment that was waited for, at once. Randomness is a keyed stream of the turn's seed. There is no environment, no
argument, no file and no input; what is written to stdout and stderr is kept for the agent's log. Nothing else is
answered: calling it ends the turn with the name of the import.

`HOST_FUNCTIONS` is the whole list. A component gets exactly those that it imports, with their types compared first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from wasmtime import component as wc

from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.execution import HOST_BYTE_FUEL, Execution

WASI_NAME = re.compile(r"(wasi:[a-z0-9-]+/[a-z0-9-]+)@0\.2\.\d+")
"""Name of an interface of WASI 0.2, and before it what it is without the version."""

RESOURCES_MAX = 10_000
RANDOM_BYTES_MAX = 1024 * 1024
READ_NS = 1_000
NS_PER_S = 1_000_000_000
U64_MAX = 2**64 - 1

RESOURCE_TYPES: dict[str, int] = {"pollable": 1, "input-stream": 2, "output-stream": 3}
"""Numbers of the resource types that the host itself makes; the other types get numbers above, by their names."""

STREAM_STDOUT, STREAM_STDERR, STREAM_STDIN = 1, 2, 3
READY_NS = 0
"""A pollable that is always ready waits for the beginning of time."""

_ERR_STREAM = "variant<last-operation-failed(own), closed>"


class Envelope(msgspec.Struct):
    """Members of the input envelope that the host itself reads."""

    now_us: int = 0
    seed: str = ""


_decode_envelope = msgspec.json.Decoder(Envelope).decode


class Wasi:
    """Clock, randomness and resources of one execution."""

    __slots__ = ("_block", "_counter", "_due_ns", "_next_rep", "_now_ns", "_seed", "execution")

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self._now_ns: int | None = None
        self._seed = b""
        self._block = b""
        self._counter = 0
        self._due_ns: dict[int, int] = {}
        self._next_rep = 1

    def _read_envelope(self) -> int:
        try:
            envelope = _decode_envelope(self.execution.input)
        except msgspec.DecodeError:
            envelope = Envelope()
        self._seed = hashlib.blake2b(envelope.seed.encode(), digest_size=64, person=b"turnwise wasi").digest()
        self._now_ns = max(0, envelope.now_us) * 1_000
        return self._now_ns

    def read_clock(self) -> int:
        """Return virtual time, in nanoseconds since 1970, and advance it by 1 µs."""
        now = self._read_envelope() if self._now_ns is None else self._now_ns
        self._now_ns = min(now + READ_NS, U64_MAX)
        return now

    def read_wall(self) -> tuple[int, int]:
        """Return virtual time as seconds since 1970 and nanoseconds, and advance it by 1 µs."""
        return divmod(self.read_clock(), NS_PER_S)

    def random(self, length: int) -> bytes:
        """Return the next `length` bytes of the turn's random stream."""
        if length > RANDOM_BYTES_MAX:
            message = f"{length} random bytes asked for at once; at most {RANDOM_BYTES_MAX} are given"
            raise self.execution.fail(FailureClass.MEMORY, message)
        if self._now_ns is None:
            self._read_envelope()
        parts = [self._block]
        missing = length - len(self._block)
        while missing > 0:
            counter = self._counter.to_bytes(8, "little")
            self._counter += 1
            parts.append(hashlib.blake2b(counter, key=self._seed, digest_size=64).digest())
            missing -= 64
        stream = b"".join(parts)
        self._block = stream[length:]
        return stream[:length]

    def pollable(self, due_ns: int) -> wc.ResourceHost:
        """Return a new pollable that is ready at `due_ns`, as components have it."""
        return wc.ResourceHost.own(self.add_pollable(due_ns), RESOURCE_TYPES["pollable"])

    def add_pollable(self, due_ns: int) -> int:
        """Return the number of a new pollable that is ready at `due_ns`."""
        if len(self._due_ns) >= RESOURCES_MAX:
            raise self.execution.fail(FailureClass.MEMORY, f"the turn holds {RESOURCES_MAX} pollables at once")
        rep = self._next_rep
        self._next_rep += 1
        self._due_ns[rep] = due_ns
        return rep

    def drop(self, name: str, rep: int) -> None:
        """Forget a resource that the guest gave back."""
        if name == "pollable":
            self._due_ns.pop(rep, None)

    def wait(self, reps: list[int]) -> list[int]:
        """Advance time to the first pollable of `reps` that is due; return the indices of those that are ready."""
        due = [self._due(rep) for rep in reps]
        now = self._read_envelope() if self._now_ns is None else self._now_ns
        if due and min(due) > now:
            self._now_ns = now = min(due)
        return [index for index, moment in enumerate(due) if moment <= now]

    def ready(self, rep: int) -> bool:
        """Return whether a pollable is ready. Asking reads the clock, or a loop that asks would never end."""
        return self._due(rep) <= self.read_clock()

    def _due(self, rep: int) -> int:
        """Return when a pollable is ready. Signatures do not name resources, so a guest may pass what is none."""
        due = self._due_ns.get(rep)
        if due is None:
            raise self.execution.fail(FailureClass.TRAP, "the agent waits for what is no pollable")
        return due

    def write(self, rep: int, text: bytes) -> None:
        """Print text to a stream. Both streams go to one log, in order."""
        if rep not in (STREAM_STDOUT, STREAM_STDERR):
            raise self.execution.fail(FailureClass.FORBIDDEN, "a stream that is no output was written to")
        self.execution.charge(HOST_BYTE_FUEL * len(text))
        self.execution.print(text)


@dataclass(frozen=True, slots=True)
class Datetime:
    """`wasi:clocks/wall-clock.datetime`."""

    seconds: int
    nanoseconds: int


class HostFunction(NamedTuple):
    """A host function: its signature, and its implementation `answer(wasi, *arguments)`, resources as numbers."""

    signature: str
    answer: Callable[..., Any]


def _wall(wasi: Wasi) -> Datetime:
    return Datetime(*wasi.read_wall())


def _resolution(_: Wasi) -> Datetime:
    return Datetime(0, READ_NS)


def _subscribe_duration(wasi: Wasi, duration_ns: int) -> wc.ResourceHost:
    return wasi.pollable(min(wasi.read_clock() + duration_ns, U64_MAX))


def _exit(wasi: Wasi, status: object) -> None:
    raise wasi.execution.fail(FailureClass.TRAP, f"the agent exited (status {status}); return from `turn` instead")


def _random_bytes(wasi: Wasi, length: int) -> bytes:
    wasi.execution.charge(HOST_BYTE_FUEL * length)
    return wasi.random(length)


def _random_u64(wasi: Wasi) -> int:
    return int.from_bytes(wasi.random(8), "little")


def _insecure_seed(wasi: Wasi) -> tuple[int, int]:
    return _random_u64(wasi), _random_u64(wasi)


def _done(_: Wasi, *__: object) -> wc.Variant:
    return wc.Variant("ok")


def _write(wasi: Wasi, stream: int, text: bytes) -> wc.Variant:
    wasi.write(stream, text)
    return wc.Variant("ok")


def _stream(number: int, kind: str) -> Callable[[Wasi], wc.ResourceHost]:
    return lambda _: wc.ResourceHost.own(number, RESOURCE_TYPES[kind])


_DATETIME = "record<seconds: u64, nanoseconds: u32>"
_READ = HostFunction(f"func(borrow, u64) -> result<list<u8>, {_ERR_STREAM}>", lambda *_: None)
_SKIP = HostFunction(f"func(borrow, u64) -> result<u64, {_ERR_STREAM}>", lambda *_: None)
_WRITE = HostFunction(f"func(borrow, list<u8>) -> result<_, {_ERR_STREAM}>", _write)
_FLUSH = HostFunction(f"func(borrow) -> result<_, {_ERR_STREAM}>", _done)
_READY = HostFunction("func(borrow) -> own", lambda wasi, _: wasi.pollable(READY_NS))
_BYTES = HostFunction("func(u64) -> list<u8>", _random_bytes)
_U64 = HostFunction("func() -> u64", _random_u64)
_NO_TERMINAL = HostFunction("func() -> option<own>", lambda _: None)

WRITE_BYTES_MAX = 4096
"""Bytes that `check-write` allows at once, as other hosts do."""

HOST_FUNCTIONS: dict[str, HostFunction] = {
    "wasi:cli/environment.get-arguments": HostFunction("func() -> list<string>", lambda _: []),
    "wasi:cli/environment.get-environment": HostFunction("func() -> list<tuple<string, string>>", lambda _: []),
    "wasi:cli/environment.initial-cwd": HostFunction("func() -> option<string>", lambda _: None),
    "wasi:cli/exit.exit": HostFunction("func(result<_, _>)", lambda wasi, status: _exit(wasi, status.tag)),
    "wasi:cli/exit.exit-with-code": HostFunction("func(u8)", _exit),
    "wasi:cli/stderr.get-stderr": HostFunction("func() -> own", _stream(STREAM_STDERR, "output-stream")),
    "wasi:cli/stdin.get-stdin": HostFunction("func() -> own", _stream(STREAM_STDIN, "input-stream")),
    "wasi:cli/stdout.get-stdout": HostFunction("func() -> own", _stream(STREAM_STDOUT, "output-stream")),
    "wasi:cli/terminal-stderr.get-terminal-stderr": _NO_TERMINAL,
    "wasi:cli/terminal-stdin.get-terminal-stdin": _NO_TERMINAL,
    "wasi:cli/terminal-stdout.get-terminal-stdout": _NO_TERMINAL,
    "wasi:clocks/monotonic-clock.now": HostFunction("func() -> u64", Wasi.read_clock),
    "wasi:clocks/monotonic-clock.resolution": HostFunction("func() -> u64", lambda _: READ_NS),
    "wasi:clocks/monotonic-clock.subscribe-duration": HostFunction("func(u64) -> own", _subscribe_duration),
    "wasi:clocks/monotonic-clock.subscribe-instant": HostFunction("func(u64) -> own", Wasi.pollable),
    "wasi:clocks/wall-clock.now": HostFunction(f"func() -> {_DATETIME}", _wall),
    "wasi:clocks/wall-clock.resolution": HostFunction(f"func() -> {_DATETIME}", _resolution),
    "wasi:filesystem/preopens.get-directories": HostFunction("func() -> list<tuple<own, string>>", lambda _: []),
    "wasi:io/poll.[method]pollable.block": HostFunction("func(borrow)", lambda wasi, rep: wasi.wait([rep]) and None),
    "wasi:io/poll.[method]pollable.ready": HostFunction("func(borrow) -> bool", Wasi.ready),
    "wasi:io/poll.poll": HostFunction("func(list<borrow>) -> list<u32>", Wasi.wait),
    "wasi:io/streams.[method]input-stream.blocking-read": _READ,
    "wasi:io/streams.[method]input-stream.blocking-skip": _SKIP,
    "wasi:io/streams.[method]input-stream.read": _READ,
    "wasi:io/streams.[method]input-stream.skip": _SKIP,
    "wasi:io/streams.[method]input-stream.subscribe": _READY,
    "wasi:io/streams.[method]output-stream.blocking-flush": _FLUSH,
    "wasi:io/streams.[method]output-stream.blocking-write-and-flush": _WRITE,
    "wasi:io/streams.[method]output-stream.check-write": HostFunction(
        f"func(borrow) -> result<u64, {_ERR_STREAM}>", lambda *_: WRITE_BYTES_MAX
    ),
    "wasi:io/streams.[method]output-stream.flush": _FLUSH,
    "wasi:io/streams.[method]output-stream.subscribe": _READY,
    "wasi:io/streams.[method]output-stream.write": _WRITE,
    "wasi:random/insecure-seed.insecure-seed": HostFunction("func() -> tuple<u64, u64>", _insecure_seed),
    "wasi:random/insecure.get-insecure-random-bytes": _BYTES,
    "wasi:random/insecure.get-insecure-random-u64": _U64,
    "wasi:random/random.get-random-bytes": _BYTES,
    "wasi:random/random.get-random-u64": _U64,
}
"""Every function that is answered, by interface and name, without the version of WASI 0.2."""
