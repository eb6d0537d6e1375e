"""Preparation of sources: compiled, checked against the contract, cached, and named by a hash.

Sources are not trusted, and a compiler is large: bytes are parsed and compiled in a process of its own that has given
up everything else, with limits of memory and time (`build`). What it returns is machine code for workers, which are
confined too; this process only stores it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from turnwise.core.canonical import digest
from turnwise.errors import UsageError
from turnwise.sandbox.build.artefacts import Artefacts, WasmLanguage, carrier_of
from turnwise.sandbox.build.builder_process import BuildFailed
from turnwise.sandbox.build.cache import Cache
from turnwise.sandbox.build.programs import ProgramSource, load_interpreter, prepare_programs
from turnwise.sandbox.execute.engine import engine_key
from turnwise.sandbox.execute.executor import CarrierName
from turnwise.sandbox.languages import InterpretedLanguage

Language = Literal["python", "javascript", "wasm", "wat"]

SOURCE_BYTES_MAX = 64 * 1024 * 1024


class CodeError(UsageError):
    """Source that cannot be executed: it does not parse or compile, or does not keep to the contract."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source as its author wrote it."""

    label: str
    """Name of the source in errors (``agents.editor.source``)."""
    language: Language
    """Language in which it is written."""
    files: Mapping[str, bytes]
    """Contents by relative name (with `/`)."""
    entry: str
    """Name of the file that is executed; for `wasm` and `wat` the only one."""


@dataclass(frozen=True, slots=True)
class Code:
    """Compiled code that workers can execute."""

    hash: str
    """SHA-256 (hex) of all that its results depend on."""
    carrier: CarrierName
    """Kind of carrier that executes it."""
    path: Path
    """Compiled artefact, in the cache."""
    program: str | None = None
    """Compiled program of a Python or JavaScript agent, which its interpreter reads from each input envelope."""


async def prepare(
    sources: Sequence[Source],
    *,
    cache: Cache | None = None,
    announce: Callable[[str], None] | None = None,
    interpreters: Mapping[InterpretedLanguage, Path] | None = None,
) -> list[Code]:
    """Return the codes of `sources`, in their order; raise the first `CodeError`. See `prepare_each`."""
    codes = []
    for code in await prepare_each(sources, cache=cache, announce=announce, interpreters=interpreters):
        if isinstance(code, CodeError):
            raise code
        codes.append(code)
    return codes


async def prepare_each(
    sources: Sequence[Source],
    *,
    cache: Cache | None = None,
    announce: Callable[[str], None] | None = None,
    interpreters: Mapping[InterpretedLanguage, Path] | None = None,
) -> list[Code | CodeError]:
    """Return the code of each of `sources`, in their order, or the error that keeps it from being prepared.

    `announce` is told what takes long, for people. `interpreters` execute the agents of a language instead of this
    installation's; they are not trusted more than agents are. Raises `EnvironmentFailure` if the cache or the
    compiler's process cannot be used.
    """
    announce = announce or _silent
    artefacts = Artefacts(cache or Cache(engine_key()), announce)
    codes: list[Code | CodeError | None] = [_oversized(source) for source in sources]
    groups: list[list[int]] = []
    waiting: list[Coroutine[None, None, Sequence[Code | CodeError]]] = []
    rest = [index for index, code in enumerate(codes) if code is None]
    for language in get_args(InterpretedLanguage):
        found = [index for index in rest if sources[index].language == language]
        groups.append(found)
        waiting.append(
            _interpreted(artefacts, language, [sources[index] for index in found], (interpreters or {}).get(language))
        )
    others = [index for index in rest if sources[index].language not in get_args(InterpretedLanguage)]
    groups += [[index] for index in others]
    waiting += [_compiled(artefacts, sources[index]) for index in others]
    try:
        results = await _all(*waiting)
    finally:
        await artefacts.close()
    for indices, result in zip(groups, results, strict=True):
        for index, code in zip(indices, result, strict=True):
            codes[index] = code
    return [code for code in codes if code is not None]


def _silent(_: str) -> None:
    """Drop an announcement, for callers that want none."""


async def _all(*parts: Coroutine[None, None, Sequence[Code | CodeError]]) -> list[Sequence[Code | CodeError]]:
    """Run all parts to their end, and then raise the first error that is not about a source."""
    results = []
    for result in await asyncio.gather(*parts, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


def _oversized(source: Source) -> CodeError | None:
    size = sum(len(content) for content in source.files.values())
    if size <= SOURCE_BYTES_MAX:
        return None
    return _error(source, None, f"the source has {size} bytes; at most {SOURCE_BYTES_MAX} are allowed")


async def _compiled(artefacts: Artefacts, source: Source) -> list[Code | CodeError]:
    content = source.files[source.entry]
    language: WasmLanguage = "wat" if source.language == "wat" else "wasm"
    try:
        artefact = await artefacts.compile(source.entry, language, content)
    except BuildFailed as error:
        return [_error(source, error.line, error.message)]
    code_hash = digest(b"turnwise code 1", language.encode(), content).hex()
    return [Code(code_hash, carrier_of(artefact), artefact.path)]


async def _interpreted(
    artefacts: Artefacts, language: InterpretedLanguage, sources: Sequence[Source], given: Path | None
) -> list[Code | CodeError]:
    if not sources:
        return []
    interpreter = await load_interpreter(artefacts, language, given)
    carrier = carrier_of(interpreter.artefact)
    prepared: list[str | CodeError] = []
    wanted: dict[str, ProgramSource] = {}
    for source in sources:
        try:
            texts = {name: _text(source, name) for name in source.files}
        except CodeError as error:
            prepared.append(error)
            continue
        parts = [part.encode() for name in sorted(texts) for part in (name, texts[name])]
        code_hash = digest(
            b"turnwise code 1", language.encode(), interpreter.sha256, source.entry.encode(), *parts
        ).hex()
        wanted[code_hash] = ProgramSource(source.entry, texts)
        prepared.append(code_hash)
    programs = await prepare_programs(artefacts.cache, interpreter, wanted)
    codes: list[Code | CodeError] = []
    for source, found in zip(sources, prepared, strict=True):
        if isinstance(found, CodeError):
            codes.append(found)
            continue
        program = programs[found]
        if isinstance(program, BuildFailed):
            codes.append(_error(source, program.line, program.message, file=program.file))
        else:
            codes.append(Code(found, carrier, interpreter.artefact.path, program))
    return codes


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
    "javascript": "An agent is a module with `export function turn(t) { … }`; see docs/agents-javascript.md.",
    "wasm": "See docs/abi.md for what a component or core module imports and exports.",
    "wat": "See docs/abi.md for what a component or core module imports and exports.",
}
