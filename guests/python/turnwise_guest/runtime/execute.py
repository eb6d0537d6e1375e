"""One call of the interpreter: an envelope in, an envelope out."""

from __future__ import annotations

import importlib
import json
import random
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

from turnwise_guest.runtime.failure import TurnError, describe
from turnwise_guest.runtime.loader import ProgramImporter
from turnwise_guest.runtime.program import Program, prepare_reply
from turnwise_guest.turn import Turn, output

ABI = 1


def execute(text: str, effect: Callable[[str], str]) -> str:
    """Answer an input envelope (JSON text): compile, or play a turn. Never raises for what an agent does.

    To be called once in an interpreter's life: what it imports and seeds stays.
    """
    envelope: dict[str, Any] = json.loads(text)
    if envelope["abi"] != ABI:
        return _error(f"this interpreter speaks version {ABI} of the ABI, not {envelope['abi']}")
    if "prepare" in envelope:
        return json.dumps(prepare_reply(envelope["prepare"]), ensure_ascii=False)
    program = Program.from_text(envelope["program"])
    try:
        sys.meta_path.insert(0, ProgramImporter(program))
        return play(program.entry, program.modules[program.entry][0], envelope, effect)
    except BaseException as error:
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)
        files = {file for file, _, _ in program.modules.values()}
        return _error(describe(error, program.source, files.__contains__))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def play(entry: str, file: str, envelope: dict[str, Any], effect: Callable[[str], str]) -> str:
    """Import the module `entry`, call its ``turn(t)`` and return the output envelope. Lets all errors through."""
    # The module's own generator was seeded when the interpreter was built: the same numbers in all turns of all agents.
    random.seed(int(envelope["seed"], 16) * 2 + 1)
    turn = Turn(envelope, effect)
    returned = _function(importlib.import_module(entry), file)(turn)
    if returned is not None:
        _check_returned(returned, file)
    return output(turn)


def _function(module: ModuleType, file: str) -> Callable[[Turn], object]:
    function = getattr(module, "turn", None)
    if function is None:
        raise TurnError(f"{file} has no function turn: define `def turn(t: Turn) -> None:`")
    if not callable(function):
        raise TurnError(f"turn in {file} is not a function but {function!r}")
    return function  # type: ignore[no-any-return]


def _check_returned(returned: object, file: str) -> None:
    """Refuse what would silently have done nothing."""
    if hasattr(returned, "__await__"):
        raise TurnError(f"turn in {file} is an async function: define it with `def`, effects wait by themselves")
    if hasattr(returned, "__next__"):
        raise TurnError(f"turn in {file} is a generator, since it has a `yield`: nothing would run it")


def _error(text: str) -> str:
    return json.dumps({"error": text}, ensure_ascii=False)
