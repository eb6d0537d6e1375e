"""What the orchestrator and the inference process say to each other: a kind and JSON text.

Typed on both ends: what cannot be decoded is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from turnwise.errors import ModelError
from turnwise.inference.model import EngineOptions, ModelInfo, ModelSpec
from turnwise.inference.request import GenerateReply, GenerateRequest

BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""Requests are cut into messages of about this size; one request alone may be larger."""


class Kind(IntEnum):
    """Kinds of messages. Below 10 to the inference process, above from it."""

    LOAD = 1
    """Models and options: the first message, answered by LOADED or LOAD_FAILED."""
    SUBMIT = 2
    CANCEL = 3
    LOADED = 11
    LOAD_FAILED = 12
    """A model's fault: the process ends, and would fail again."""
    REPLIES = 13
    PROGRESS = 14
    """A sign of life while there is work."""


class Progress(msgspec.Struct, frozen=True):
    """Counts since the process started. Telemetry."""

    tokens: int = 0
    prompt_tokens: int = 0
    running: int = 0
    waiting: int = 0


class _Spec(msgspec.Struct):
    name: str
    path: str
    provider: str
    require: bool
    variant: str | None = None


class _Load(msgspec.Struct):
    models: list[_Spec]
    options: EngineOptions


class _Error(msgspec.Struct):
    message: str
    where: str | None
    expected: Any
    actual: Any
    hint: str | None


def encode_load(models: Sequence[ModelSpec], options: EngineOptions) -> bytes:
    specs = [_Spec(spec.name, str(spec.path), spec.provider, spec.require, spec.variant) for spec in models]
    return msgspec.json.encode(_Load(specs, options))


def decode_load(data: bytes) -> tuple[list[ModelSpec], EngineOptions]:
    load = msgspec.json.decode(data, type=_Load)
    specs = [ModelSpec(spec.name, Path(spec.path), spec.provider, spec.require, spec.variant) for spec in load.models]
    return specs, load.options


def encode_requests(requests: Sequence[GenerateRequest]) -> Iterator[bytes]:
    """Messages for SUBMIT, in order."""
    batch: list[GenerateRequest] = []
    size = 0
    for request in requests:
        if batch and size + len(request.body) > BATCH_BYTES_MAX:
            yield msgspec.json.encode(batch)
            batch, size = [], 0
        batch.append(request)
        size += len(request.body)
    if batch:
        yield msgspec.json.encode(batch)


def decode_requests(data: bytes) -> list[GenerateRequest]:
    return msgspec.json.decode(data, type=list[GenerateRequest])


def encode_numbers(numbers: Sequence[int]) -> bytes:
    return msgspec.json.encode(list(numbers))


def decode_numbers(data: bytes) -> list[int]:
    return msgspec.json.decode(data, type=list[int])


def encode_infos(infos: Sequence[ModelInfo]) -> bytes:
    return msgspec.json.encode(list(infos))


def decode_infos(data: bytes) -> list[ModelInfo]:
    return msgspec.json.decode(data, type=list[ModelInfo])


def encode_error(error: ModelError) -> bytes:
    parts = _Error(error.message, error.where, error.expected, error.actual, error.hint)
    return msgspec.json.encode(parts, enc_hook=str)


def decode_error(data: bytes) -> ModelError:
    parts = msgspec.json.decode(data, type=_Error)
    return ModelError(parts.message, where=parts.where, expected=parts.expected, actual=parts.actual, hint=parts.hint)


def encode_replies(replies: Sequence[GenerateReply]) -> bytes:
    return msgspec.json.encode(list(replies))


def decode_replies(data: bytes) -> list[GenerateReply]:
    return msgspec.json.decode(data, type=list[GenerateReply])


def encode_progress(progress: Progress) -> bytes:
    return msgspec.json.encode(progress)


def decode_progress(data: bytes) -> Progress:
    return msgspec.json.decode(data, type=Progress)
