"""What the orchestrator and the inference process say to each other: a kind and JSON text.

Typed on both ends: what cannot be decoded is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, Final, TypeVar

import msgspec

from turnwise.confine import Measure
from turnwise.errors import EnvironmentFailure, ModelError
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.requests.parcels import Parcel, pack
from turnwise.inference.requests.tensors import Data

Part = TypeVar("Part", GenerateRequest, GenerateReply)

BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""Requests are cut into messages of about this size; one request alone may be larger."""


class Kind(IntEnum):
    """Kinds of messages. Below 10 to the inference process, above from it."""

    LOAD = 1
    """Models and options: the first message, answered by LOADED or LOAD_FAILED."""
    SUBMIT = 2
    CANCEL = 3
    INFER = 4
    """Requests with tensors, as `tensors.pack` packs them: to be used where they lie."""
    EMBED = 5
    WAVE = 6
    """Part of a wave: requests that run together when the last part is there."""
    LOADED = 11
    LOAD_FAILED = 12
    """The fault of a model, or of a machine that is too small for it: the process ends, and would fail again."""
    REPLIES = 13
    PROGRESS = 14
    """A sign of life while there is work."""
    WAVE_REPLIES = 16
    """Part of what came of a wave."""
    TENSORS = 15
    """Replies with tensors, as `tensors.pack` packs them."""
    CONFINED = 17
    """What the process has given up, once after LOADED."""


class Progress(msgspec.Struct, frozen=True):
    """Telemetry: what runs and waits now, and counts since the process started.

    `reused_tokens` of prompts were not prefilled, since they had been before. The `steps` of decoding had `step_rows`
    sequences in all.
    """

    tokens: int = 0
    prompt_tokens: int = 0
    running: int = 0
    waiting: int = 0
    reused_tokens: int = 0
    steps: int = 0
    step_rows: int = 0


class _Load(msgspec.Struct):
    models: list[ModelSpec]
    options: EngineOptions


class _WavePart(msgspec.Struct):
    id: int
    model: str
    requests: list[GenerateRequest]
    plan: BatchPlan | None
    last: bool


class _WaveReplyPart(msgspec.Struct):
    id: int
    replies: list[GenerateReply]
    plan: BatchPlan
    problem: str | None
    last: bool


class _Error(msgspec.Struct):
    message: str
    where: str | None
    expected: Any
    actual: Any
    hint: str | None
    environment: bool = False


def encode_load(models: Sequence[ModelSpec], options: EngineOptions) -> bytes:
    return msgspec.json.encode(_Load(list(models), options), enc_hook=str)


def decode_load(data: bytes) -> tuple[list[ModelSpec], EngineOptions]:
    load = msgspec.json.decode(data, type=_Load, dec_hook=lambda kind, value: kind(value))
    return load.models, load.options


Open = GenerateRequest | EmbedRequest | Parcel
"""A request on its way to the inference process."""


def encode_requests(requests: Sequence[Open]) -> Iterator[tuple[Kind, Sequence[Data]]]:
    """The messages that hand requests over, each a kind and the parts of its body, in the requests' order by kind."""
    kinds: dict[Kind, list[Open]] = {}
    for request in requests:
        kinds.setdefault(_KINDS[type(request)], []).append(request)
    for kind, alike in kinds.items():
        batch: list[Any] = []
        size = 0
        for request in alike:
            bytes_ = _size(request)
            if batch and size + bytes_ > BATCH_BYTES_MAX:
                yield kind, _parts(batch)
                batch, size = [], 0
            batch.append(request)
            size += bytes_
        yield kind, _parts(batch)


_KINDS: Final[dict[type[Open], Kind]] = {
    GenerateRequest: Kind.SUBMIT,
    EmbedRequest: Kind.EMBED,
    Parcel: Kind.INFER,
}


def _size(request: Open) -> int:
    if isinstance(request, Parcel):
        return sum(len(tensor.data) for tensor in request.tensors.values())
    return len(request.body)


def _parts(batch: list[Any]) -> Sequence[Data]:
    return pack(batch) if isinstance(batch[0], Parcel) else [msgspec.json.encode(batch)]


def decode_requests(data: bytes) -> list[GenerateRequest]:
    return msgspec.json.decode(data, type=list[GenerateRequest])


def decode_embeds(data: bytes) -> list[EmbedRequest]:
    return msgspec.json.decode(data, type=list[EmbedRequest])


def encode_wave(wave: Wave) -> Iterator[bytes]:
    """The bodies of the messages that hand a wave over."""
    parts = list(_cut(wave.requests))
    for number, part in enumerate(parts, 1):
        yield msgspec.json.encode(_WavePart(wave.id, wave.model, part, wave.plan, number == len(parts)))


def encode_wave_reply(reply: WaveReply) -> Iterator[bytes]:
    """The bodies of the messages that answer a wave."""
    parts = list(_cut(reply.replies)) or [[]]
    for number, part in enumerate(parts, 1):
        whole = number == len(parts)
        yield msgspec.json.encode(_WaveReplyPart(reply.id, part, reply.plan, reply.problem, whole))


class WaveParts:
    """Puts waves and their answers together again. The parts of one come one after the other."""

    def __init__(self) -> None:
        self._requests: list[GenerateRequest] = []
        self._replies: list[GenerateReply] = []

    def wave(self, data: bytes) -> Wave | None:
        """The wave, if this was its last part."""
        part = msgspec.json.decode(data, type=_WavePart)
        self._requests += part.requests
        if not part.last:
            return None
        requests, self._requests = self._requests, []
        return Wave(part.id, part.model, tuple(requests), part.plan)

    def reply(self, data: bytes) -> WaveReply | None:
        """The answer, if this was its last part."""
        part = msgspec.json.decode(data, type=_WaveReplyPart)
        self._replies += part.replies
        if not part.last:
            return None
        replies, self._replies = self._replies, []
        return WaveReply(part.id, part.plan, tuple(replies), part.problem)


def _cut(items: Sequence[Part]) -> Iterator[list[Part]]:
    """The items in groups of about BATCH_BYTES_MAX."""
    group: list[Part] = []
    size = 0
    for item in items:
        if group and size + len(item.body) > BATCH_BYTES_MAX:
            yield group
            group, size = [], 0
        group.append(item)
        size += len(item.body)
    if group:
        yield group


def encode_numbers(numbers: Sequence[int]) -> bytes:
    return msgspec.json.encode(list(numbers))


def decode_numbers(data: bytes) -> list[int]:
    return msgspec.json.decode(data, type=list[int])


def encode_infos(infos: Sequence[ModelInfo]) -> bytes:
    return msgspec.json.encode(list(infos))


def decode_infos(data: bytes) -> list[ModelInfo]:
    return msgspec.json.decode(data, type=list[ModelInfo])


def encode_measures(measures: Sequence[Measure]) -> bytes:
    return msgspec.json.encode(list(measures))


def decode_measures(data: bytes) -> tuple[Measure, ...]:
    return msgspec.json.decode(data, type=tuple[Measure, ...])


def encode_error(error: ModelError | EnvironmentFailure) -> bytes:
    environment = isinstance(error, EnvironmentFailure)
    parts = _Error(error.message, error.where, error.expected, error.actual, error.hint, environment)
    return msgspec.json.encode(parts, enc_hook=str)


def decode_error(data: bytes) -> ModelError | EnvironmentFailure:
    parts = msgspec.json.decode(data, type=_Error)
    kind = EnvironmentFailure if parts.environment else ModelError
    return kind(parts.message, where=parts.where, expected=parts.expected, actual=parts.actual, hint=parts.hint)


def encode_replies(replies: Sequence[GenerateReply]) -> bytes:
    return msgspec.json.encode(list(replies))


def decode_replies(data: bytes) -> list[GenerateReply]:
    return msgspec.json.decode(data, type=list[GenerateReply])


def encode_progress(progress: Progress) -> bytes:
    return msgspec.json.encode(progress)


def decode_progress(data: bytes) -> Progress:
    return msgspec.json.decode(data, type=Progress)
