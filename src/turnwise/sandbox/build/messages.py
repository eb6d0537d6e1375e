"""What is asked of a builder, and what it answers."""

from __future__ import annotations

from typing import Literal

import msgspec


class CompileRequest(msgspec.Struct, frozen=True, tag="compile"):
    """Compile a binary or a text of WebAssembly."""

    language: Literal["wasm", "wat"]
    content: bytes


class PrepareRequest(msgspec.Struct, frozen=True, tag="prepare"):
    """Let the interpreter, compiled at `path`, answer `envelopes`, each of which has a member `prepare`."""

    path: str
    envelopes: list[bytes]


class CompileReply(msgspec.Struct, frozen=True, tag="compiled"):
    carrier: Literal["component", "module"]
    artefact: bytes


class Problem(msgspec.Struct, frozen=True, tag="problem"):
    """What is wrong with the source, for its author."""

    message: str
    file: str | None = None
    line: int | None = None


class PrepareReply(msgspec.Struct, frozen=True, tag="prepared"):
    """A program, or what is wrong with its source, for each envelope."""

    programs: list[str | Problem]


Reply = CompileReply | PrepareReply | Problem
