"""One call of the interpreter: an envelope in, an envelope out."""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable
from json.decoder import JSONDecoder
from types import ModuleType
from typing import Any

from turnwise_guest.content import EffectBytes
from turnwise_guest.jsontext import encode
from turnwise_guest.runtime.failure import TurnError, describe
from turnwise_guest.runtime.loader import ProgramImporter, load
from turnwise_guest.runtime.program import Program, prepare_reply
from turnwise_guest.turn import Turn, output

ABI = 1

RESERVE_BYTES = 1024 * 1024
"""Kept for telling that memory ran out. It is free to keep: stored memory that nobody touches is not even loaded."""

_PROGRAM = '"program":"'
_scan = JSONDecoder().scan_once  # type: ignore[attr-defined]  # reads a value without looking for white space
_reserve = bytearray(RESERVE_BYTES)

_MEMORY_KNOB = "`memory_mib` of its kind"
"""Key of the world file that bounds the memory of a turn."""


def execute(text: str, effect: Callable[[str], str], effect_bytes: EffectBytes) -> str:
    """Answer an input envelope (JSON text): compile, or play a turn. Never raises for what an agent does.

    To be called once in an interpreter's life: what it imports and seeds stays.
    """
    envelope, program_text = _read(text)
    if envelope["abi"] != ABI:
        return _error(f"this interpreter speaks version {ABI} of the ABI, not {envelope['abi']}")
    if "prepare" in envelope:
        return encode(prepare_reply(envelope["prepare"]))
    program = Program.from_text(program_text)
    try:
        return play(program, envelope, effect, effect_bytes)
    except BaseException as error:
        return _error(_describe(error, program))
    finally:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None and not stream.closed:
                stream.flush()


def play(program: Program, envelope: dict[str, Any], effect: Callable[[str], str], effect_bytes: EffectBytes) -> str:
    """Execute the program's entry, call its ``turn(t)`` and return the output envelope. Lets all errors through."""
    # The module's own generator was seeded when the interpreter was built: the same numbers in all turns of all agents.
    random.seed(int(envelope["seed"], 16) * 2 + 1)
    importer = ProgramImporter(program)
    sys.meta_path.insert(0, importer)
    turn = Turn(envelope, effect, effect_bytes)
    call(load(importer, program.entry), turn, program.modules[program.entry][0])
    return output(turn)


def call(module: ModuleType, turn: Turn, file: str) -> None:
    """Call the agent's function. Refuses what would do nothing without a word; `file` is named in what it says."""
    function = getattr(module, "turn", None)
    if function is None:
        raise TurnError(f"{file} has no function turn: define `def turn(t: Turn) -> None:`")
    if not callable(function):
        raise TurnError(f"turn in {file} is no function but {function!r}")
    returned = function(turn)
    if returned is None:
        return
    if hasattr(returned, "__await__"):
        returned.close()
        raise TurnError(f"turn in {file} is an async function: define it with `def`, effects wait by themselves")
    if hasattr(returned, "__next__") or hasattr(returned, "__anext__"):
        raise TurnError(f"turn in {file} is a generator, since it has a `yield`: nothing would run it")


def _read(text: str) -> tuple[dict[str, Any], str]:
    """Return the envelope and its `program`, which is not read as JSON where it comes last: it is long and plain.

    A quote within a JSON string is preceded by a backslash, and two braces would end an object within the outermost:
    so the mark, text without a quote, and ``"}`` can be nothing but the last member of the outermost object.
    """
    mark = text.rfind(_PROGRAM)
    if text[mark - 1] == "," and text.endswith('"}') and text.find('"', mark + len(_PROGRAM)) == len(text) - 2:
        envelope = _scan(text[: mark - 1] + "}", 0)[0]
        return envelope, text[mark + len(_PROGRAM) : -2]
    envelope = _scan(text.strip(), 0)[0]
    return envelope, envelope.get("program", "")


def _describe(error: BaseException, program: Program) -> str:
    files = {file for file, _, _ in program.modules.values()}
    if not isinstance(error, MemoryError):
        return describe(error, program.source, files.__contains__)
    _reserve.clear()
    traceback.clear_frames(error.__traceback__)
    if not error.args:
        error.args = (f"the turn asked for more memory than it may have ({_MEMORY_KNOB})",)
    try:
        return describe(error, program.source, files.__contains__)
    except MemoryError:
        return (
            f"MemoryError: the turn used up its memory ({_MEMORY_KNOB}); what its modules hold left none to say where"
        )


def _error(text: str) -> str:
    return encode({"error": text})
