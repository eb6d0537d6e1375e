"""Programs of Python and JavaScript agents: sources, compiled by their interpreter itself, in a builder.

A program is text that only the interpreter that made it can read, so it is kept under a hash that covers both.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from turnwise.errors import InvariantError, UsageError
from turnwise.sandbox.build.artefacts import Artefacts, carrier_of
from turnwise.sandbox.build.builder_process import BuildFailed, build
from turnwise.sandbox.build.cache import Artefact, Cache
from turnwise.sandbox.build.installed import interpreter_path
from turnwise.sandbox.build.messages import PrepareReply, PrepareRequest
from turnwise.sandbox.languages import TITLES, InterpretedLanguage

BUILDERS_MAX = 4
PROGRAMS_PER_BUILDER = 8
"""Number of programs that share a builder: it starts slower than it compiles, so a second one pays late."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The interpreter of a language, compiled."""

    sha256: bytes
    """SHA-256 of the component or module."""
    artefact: Artefact
    """Compiled, in the cache."""


@dataclass(frozen=True, slots=True)
class ProgramSource:
    """Files of an agent."""

    entry: str
    """Name of the file that defines `turn`."""
    texts: Mapping[str, str]
    """Texts by relative name."""


async def load_interpreter(
    artefacts: Artefacts, language: InterpretedLanguage = "python", path: Path | None = None
) -> Interpreter:
    """Return the compiled interpreter of a language: this installation's, or one that somebody gave.

    Raises `EnvironmentFailure` where this installation's has not been built, `UsageError` for what is no interpreter.
    """
    content = await asyncio.to_thread((path or interpreter_path(language)).read_bytes)
    try:
        artefact = await artefacts.compile(f"the {TITLES[language]} interpreter", "wasm", content)
    except BuildFailed as error:
        if path is not None:
            raise UsageError(
                f"it cannot be compiled: {error.message}", where=str(path), hint="It is no interpreter."
            ) from None
        raise InvariantError(
            f"the interpreter of {TITLES[language]} agents cannot be compiled: {error.message}"
        ) from None
    return Interpreter(hashlib.sha256(content).digest(), artefact)


async def prepare_programs(
    cache: Cache, interpreter: Interpreter, sources: Mapping[str, ProgramSource]
) -> dict[str, str | BuildFailed]:
    """Return the program of each of `sources`, by the same hashes, or the error that keeps it from being built."""
    programs: dict[str, str | BuildFailed] = {}
    for code_hash in sources:
        found = await asyncio.to_thread(cache.find, _name(code_hash))
        if found is not None:
            programs[code_hash] = found.path.read_text("ascii")
    missing = [code_hash for code_hash in sources if code_hash not in programs]
    builders = min(BUILDERS_MAX, -(-len(missing) // PROGRAMS_PER_BUILDER))
    parts = [_build(interpreter, sources, missing[first::builders]) for first in range(builders)]
    for part in await asyncio.gather(*parts):
        for code_hash, program in part.items():
            programs[code_hash] = program
            if isinstance(program, str):
                await asyncio.to_thread(cache.store, _name(code_hash), program.encode("ascii"), {})
    return programs


async def _build(
    interpreter: Interpreter, sources: Mapping[str, ProgramSource], hashes: Sequence[str]
) -> dict[str, str | BuildFailed]:
    """Build programs in one process; if it dies of one of them, build each alone, to find which."""
    request = PrepareRequest(
        os.fspath(interpreter.artefact.path),
        carrier_of(interpreter.artefact),
        [_envelope(sources[name]) for name in hashes],
    )
    try:
        reply = await build(request, PrepareReply)
    except BuildFailed as error:
        if len(hashes) == 1:
            return {hashes[0]: error}
        parts = [await _build(interpreter, sources, [code_hash]) for code_hash in hashes]
        return {code_hash: program for part in parts for code_hash, program in part.items()}
    return {
        code_hash: answer if isinstance(answer, str) else BuildFailed(answer.message, answer.file, answer.line)
        for code_hash, answer in zip(hashes, reply.programs, strict=True)
    }


def _envelope(source: ProgramSource) -> bytes:
    return json.dumps({"abi": 1, "prepare": {"entry": source.entry, "files": dict(source.texts)}}).encode()


def _name(code_hash: str) -> str:
    return f"program-{code_hash}"
