"""Requests to a builder, and its replies."""

from __future__ import annotations

from typing import Literal

import msgspec


class CompileRequest(msgspec.Struct, frozen=True, tag="compile"):
    """A request to compile a binary or a text of WebAssembly."""

    language: Literal["wasm", "wat"]
    content: bytes


class PrepareRequest(msgspec.Struct, frozen=True, tag="prepare"):
    """A request to have programs made by the interpreter that is compiled at `path`, one for each of `envelopes`.

    `carrier` executes it.
    """

    path: str
    carrier: Literal["component", "module"]
    envelopes: list[bytes]


class CompileReply(msgspec.Struct, frozen=True, tag="compiled"):
    carrier: Literal["component", "module"]
    artefact: bytes


class SourceProblem(msgspec.Struct, frozen=True, tag="problem"):
    """A mistake in a source, for its author. `line` counts from 1."""

    message: str
    file: str | None = None
    line: int | None = None


class PrepareReply(msgspec.Struct, frozen=True, tag="prepared"):
    """For each envelope, its program or the mistake in its source."""

    programs: list[str | SourceProblem]


Reply = CompileReply | PrepareReply | SourceProblem
