"""Compiled WebAssembly, taken from the cache or made by a builder and put into the cache."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Literal

from turnwise.sandbox.build.builder_process import build
from turnwise.sandbox.build.cache import Artefact, Cache
from turnwise.sandbox.build.messages import CompileReply, CompileRequest
from turnwise.sandbox.execute.executor import CarrierName

WasmLanguage = Literal["wasm", "wat"]

COMPILERS_MAX = 4
"""Compilers that run at the same time; each uses all processors already."""

LONG_BYTES_MIN = 1024 * 1024
"""Size from which compiling takes seconds, so that people are told."""


class Artefacts:
    """Compiler of the sources of one call of `prepare`; equal sources are compiled once."""

    def __init__(self, cache: Cache, announce: Callable[[str], None]) -> None:
        self.cache = cache
        self._announce = announce
        self._compilers = asyncio.Semaphore(COMPILERS_MAX)
        self._tasks: dict[str, asyncio.Task[Artefact]] = {}

    async def compile(self, title: str, language: WasmLanguage, content: bytes) -> Artefact:
        """Return the compiled artefact of `content`. Raises `BuildFailed` and `EnvironmentFailure`."""
        name = f"{language}-{hashlib.sha256(content).hexdigest()}"
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._find_or_build(name, title, language, content))
        return await asyncio.shield(self._tasks[name])

    async def close(self) -> None:
        """End the compilers of callers that have gone, since a compilation that is shared outlives its callers."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _find_or_build(self, name: str, title: str, language: WasmLanguage, content: bytes) -> Artefact:
        found = await asyncio.to_thread(self.cache.find, name)
        if found is not None:
            return found
        if len(content) >= LONG_BYTES_MIN:
            self._announce(f"Compiling {title}; this takes some seconds, once.")
        async with self._compilers:
            reply = await build(CompileRequest(language, content), CompileReply)
        return await asyncio.to_thread(self.cache.store, name, reply.artefact, {"carrier": reply.carrier})


def carrier_of(artefact: Artefact) -> CarrierName:
    """Return the carrier that executes an artefact, as the builder found it."""
    return "component" if artefact.facts["carrier"] == "component" else "module"
