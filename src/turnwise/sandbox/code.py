"""From sources to code that workers can execute: compiled, checked against the contract, cached, and named by a hash.

Sources are not trusted, and a compiler is large: bytes are parsed and compiled in a process of its own that has given
up everything else, with limits of memory and time (`build`). What it returns is machine code for workers, which are
confined too; this process only stores it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from turnwise.core.canonical import digest
from turnwise.errors import InvariantError, UsageError
from turnwise.sandbox.build import BuildFailed, build
from turnwise.sandbox.build_messages import CompileReply, CompileRequest, PrepareReply, PrepareRequest
from turnwise.sandbox.cache import Artefact, Cache
from turnwise.sandbox.engine import engine_key
from turnwise.sandbox.executor import CarrierName

Language = Literal["python", "wasm", "wat"]

SOURCE_BYTES_MAX = 64 * 1024 * 1024
BUILDS_MAX = 4
"""Compilers that run at the same time; each uses all processors already."""


class CodeError(UsageError):
    """Source that cannot be executed: it does not parse or compile, or does not keep to the contract."""


@dataclass(frozen=True, slots=True)
class Source:
    """What somebody wrote. `label` names it in errors (``agents.editor.source``).

    `files` maps relative names (with `/`) to content; `entry` is one of them, and for `wasm` and `wat` the only one.
    """

    label: str
    language: Language
    files: Mapping[str, bytes]
    entry: str


@dataclass(frozen=True, slots=True)
class Code:
    """Something that can be executed. `hash` (SHA-256, hex) names all that its results depend on.

    `path` is the compiled artefact, in the cache; `program` the compiled program of a Python agent, which the
    interpreter that the artefact is reads from each input envelope.
    """

    hash: str
    carrier: CarrierName
    path: Path
    program: str | None = None


async def prepare(
    sources: Sequence[Source], *, cache: Cache | None = None, announce: Callable[[str], None] | None = None
) -> list[Code]:
    """Codes of `sources`, in their order; raises the first `CodeError`. See `prepare_each`."""
    codes = []
    for code in await prepare_each(sources, cache=cache, announce=announce):
        if isinstance(code, CodeError):
            raise code
        codes.append(code)
    return codes


async def prepare_each(
    sources: Sequence[Source], *, cache: Cache | None = None, announce: Callable[[str], None] | None = None
) -> list[Code | CodeError]:
    """Code or what is wrong with it, for each of `sources`, in their order.

    `announce` is told what takes long, for people. Raises `EnvironmentFailure` if the cache or the compiler's process
    cannot be used.
    """
    preparation = _Preparation(cache or Cache(engine_key()), announce or _silent)
    prepared: list[Code | CodeError] = []
    for result in await asyncio.gather(*map(preparation.prepare, sources), return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, CodeError):
            raise result
        prepared.append(result)
    return prepared


def _silent(_: str) -> None:
    """Tells nobody."""


class _Preparation:
    """One call of `prepare`: equal sources are built once."""

    def __init__(self, cache: Cache, announce: Callable[[str], None]) -> None:
        self._cache = cache
        self._announce = announce
        self._builds = asyncio.Semaphore(BUILDS_MAX)
        self._artefacts: dict[str, asyncio.Task[Artefact]] = {}

    async def prepare(self, source: Source) -> Code | CodeError:
        try:
            size = sum(len(content) for content in source.files.values())
            if size > SOURCE_BYTES_MAX:
                raise _error(source, None, f"the source has {size} bytes; at most {SOURCE_BYTES_MAX} are allowed")
            if source.language == "python":
                return await self._python(source)
            return await self._compiled(source, source.language)
        except CodeError as error:
            return error

    async def _compiled(self, source: Source, language: Literal["wasm", "wat"]) -> Code:
        content = source.files[source.entry]
        try:
            artefact = await self._compile(source.entry, language, content)
        except BuildFailed as error:
            raise _error(source, error.line, error.message) from None
        return Code(
            hash=digest(b"turnwise code 1", language.encode(), content).hex(),
            carrier=_carrier(artefact),
            path=artefact.path,
        )

    async def _python(self, source: Source) -> Code:
        from turnwise.sandbox.python import component_path

        interpreter = await asyncio.to_thread(component_path().read_bytes)
        texts = {name: _text(source, name) for name in source.files}
        try:
            artefact = await self._compile("the Python interpreter", "wasm", interpreter)
        except BuildFailed as error:
            raise InvariantError(f"the interpreter of Python agents cannot be compiled: {error.message}") from None
        parts = [part.encode() for name in sorted(texts) for part in (name, texts[name])]
        interpreter_hash = hashlib.sha256(interpreter).digest()
        code_hash = digest(b"turnwise code 1", b"python", interpreter_hash, source.entry.encode(), *parts).hex()
        program = await self._program(source, code_hash, artefact, texts)
        return Code(code_hash, _carrier(artefact), artefact.path, program)

    async def _compile(self, title: str, language: Literal["wasm", "wat"], content: bytes) -> Artefact:
        name = f"{language}-{hashlib.sha256(content).hexdigest()}"
        return await self._once(name, lambda: self._build_artefact(name, title, language, content))

    async def _build_artefact(
        self, name: str, title: str, language: Literal["wasm", "wat"], content: bytes
    ) -> Artefact:
        found = await asyncio.to_thread(self._cache.find, name)
        if found is not None:
            return found
        if len(content) > 1024 * 1024:
            self._announce(f"Compiling {title}; this takes some seconds, once.")
        async with self._builds:
            reply = await build(CompileRequest(language, content), CompileReply)
        return await asyncio.to_thread(self._cache.store, name, reply.artefact, {"carrier": reply.carrier})

    async def _program(self, source: Source, code_hash: str, artefact: Artefact, texts: dict[str, str]) -> str:
        name = f"program-{code_hash}"
        try:
            found = await self._once(name, lambda: self._build_program(name, source.entry, artefact, texts))
        except BuildFailed as error:
            raise _error(source, error.line, error.message, file=error.file) from None
        return found.path.read_text("ascii")

    async def _build_program(self, name: str, entry: str, artefact: Artefact, texts: dict[str, str]) -> Artefact:
        found = await asyncio.to_thread(self._cache.find, name)
        if found is not None:
            return found
        envelope = json.dumps({"abi": 1, "prepare": {"entry": entry, "files": texts}}).encode()
        async with self._builds:
            reply = await build(PrepareRequest(os.fspath(artefact.path), envelope), PrepareReply)
        return await asyncio.to_thread(self._cache.store, name, reply.program.encode("ascii"), {})

    async def _once(self, name: str, make: Callable[[], Coroutine[None, None, Artefact]]) -> Artefact:
        task = self._artefacts.get(name)
        if task is None:
            task = self._artefacts[name] = asyncio.create_task(make())
        return await asyncio.shield(task)


def _carrier(artefact: Artefact) -> CarrierName:
    return "component" if artefact.facts["carrier"] == "component" else "module"


def _text(source: Source, name: str) -> str:
    try:
        return source.files[name].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(source, None, f"it is not UTF-8: {error}", file=name) from None


def _error(source: Source, line: int | None, message: str, *, file: str | None = None) -> CodeError:
    place = file or source.entry
    where = f"{source.label}: {place}" if line is None else f"{source.label}: {place}:{line}"
    return CodeError(message, where=where, hint=_HINTS[source.language])


_HINTS: dict[Language, str] = {
    "python": "An agent is a file with `def turn(t: Turn) -> None:`; see `turnwise new` for one that runs.",
    "wasm": "See docs/abi.md for what a component or core module imports and exports.",
    "wat": "See docs/abi.md for what a component or core module imports and exports.",
}
