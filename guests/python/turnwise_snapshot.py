"""Preparing the memory that the interpreter module stores when it is built, and every turn begins with.

A turn touches some pages of that memory, and each page that it writes to has to be copied first: that, not computing,
is what a small turn costs. So what Python does once is done beforehand, and reference counts, which are written to
by mere reading, are switched off for the objects that are there: see `list_objects`.
"""

from __future__ import annotations

import gc
import io
import json
import linecache
import sys
from array import array
from types import CodeType, FrameType, GeneratorType

from turnwise_guest.runtime import execute, loader

WARM_UP_TURNS = 30
"""Enough for CPython to specialise the code that it executes."""

SMALL_BYTES_MAX = 512
ADDRESSES_MAX = 1 << 25
OBJECTS_MAX = 100_000
ALIGNMENT = 8
"""Bounds of addresses and of objects, and what every address is a multiple of.

Listing takes little memory so: all that is once taken is scanned after every turn."""

FILLINGS_BEHIND = 4
"""So many blocks in a row behind all objects mean that there is no free place between them."""

_AGENT = """
from turnwise_guest import EffectError, Turn

def turn(t: Turn) -> None:
    for message in t.inbox:
        answer = t.generate("m", message.body)
        t.send(message.sender, answer.text)
        t.log("x")
        t.record("x", t.random.random())
    if t.args:
        raise ValueError("x")
"""


def warm_up() -> None:
    """Play some turns, so that what Python does at first (specialise code, fill caches) is done."""
    request = {"abi": 1, "prepare": {"entry": "warm_up.py", "files": {"warm_up.py": _AGENT}}}
    program = json.loads(execute.execute(json.dumps(request), str, _no_bytes))["program"]
    envelope = {
        "abi": 1,
        "self": "a-1",
        "kind": "a",
        "round": 1,
        "turn": 1,
        "now_us": 0,
        "seed": "00",
        "state": "{}",
        "inbox": [{"from": "b", "round": 1, "body": "x"}],
    }
    reply = json.dumps({"ok": {"text": "x", "finish": "end", "tokens": 1, "prompt_tokens": 1}})
    for args in ({}, {"fail": True}):
        text = json.dumps(envelope | {"args": args, "program": program}, separators=(",", ":"))
        for _ in range(WARM_UP_TURNS):
            finders = sys.meta_path[:]
            execute.execute(text, lambda _: reply, _no_bytes)
            sys.meta_path[:] = finders
            del sys.modules["warm_up"]
    linecache.clearcache()


def _no_bytes(request: str, _: bytes) -> bytes:
    raise ValueError(f"nobody answers {request} while the interpreter is built")


def buffer_output() -> None:
    """Let what agents print leave by lines, so that it is there when a turn is cut short.

    componentize-py starts Python with unbuffered streams, for which every piece of a line is a call to the host.
    """
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        binary = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
        text = io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True)
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def forget_files() -> None:
    """Leave nothing of the file system of the build: there is none in a turn."""
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    # Modules that are part of the interpreter itself stay importable; there are no files to look for others in.
    sys.meta_path[2:] = [loader.NothingElse()]


def list_objects() -> memoryview:
    """Return the address of every object and that of its type, in pairs of 32-bit numbers, in little memory.

    With them the build makes all these objects immortal: it sets their reference counts in the stored memory to the
    value at which CPython no longer counts. Nothing of them is ever freed in a turn's short life anyway.
    """
    gc.collect()
    seen = bytearray(ADDRESSES_MAX // ALIGNMENT // 8)
    pairs = array("I", bytes(8 * OBJECTS_MAX))
    count = 0
    pending: list[object] = gc.get_objects()

    def is_seen(item: object) -> int:
        place, bit = divmod(id(item) // ALIGNMENT, 8)
        return seen[place] >> bit & 1

    while pending:
        item = pending.pop()
        if is_seen(item) or item is seen or item is pairs or isinstance(item, FrameType | GeneratorType):
            continue
        place, bit = divmod(id(item) // ALIGNMENT, 8)
        seen[place] |= 1 << bit
        pairs[count], pairs[count + 1] = id(item), id(type(item))
        count += 2
        pending += [found for found in gc.get_referents(item) if not is_seen(found)]
        if isinstance(item, CodeType):  # not known to the garbage collector, nor what it refers to
            pending += [item.co_filename, item.co_name, item.co_qualname, item.co_linetable, item.co_exceptiontable]
            pending += [item.co_consts, *item.co_consts, item.co_names, *item.co_names]
            pending += [*item.co_varnames, *item.co_cellvars, *item.co_freevars]
        elif isinstance(item, type):  # the same is true of types that are part of the interpreter
            pending += [*vars(item).values(), item.__mro__, item.__bases__]
    return memoryview(pairs)[:count].cast("B")


def settle() -> None:
    """Do the last things: what follows is what a turn finds."""
    gc.collect()
    # Overwrite what listing the objects left in free memory, or it would be stored: zeros are not.
    for size in (1 << 20, 1 << 19, 1 << 18, 1 << 17):
        bytearray(size)
    _fill_holes()
    gc.freeze()


_fillings: list[bytes] = []


def _fill_holes() -> None:
    """Take the free places between small objects, so that those of a turn come to lie together, behind them all.

    CPython keeps small objects in blocks by size, in steps of 16 bytes up to 512, and fills partly used blocks first:
    a turn's few objects would be strewn over as many pages. The largest go first: they take whole blocks that are free.
    """
    end = max(map(id, gc.get_objects()))
    header = sys.getsizeof(b"")
    for size in range(SMALL_BYTES_MAX, header, -16):
        behind = 0
        while behind < FILLINGS_BEHIND:
            _fillings.append(bytes(size - header))
            behind = behind + 1 if id(_fillings[-1]) > end else 0
