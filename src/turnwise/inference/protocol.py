"""Messages between the orchestrator and the inference process.

A message is one of the classes below as JSON text, or tensors (`parcels`), which are used where they lie in shared
memory. `Kind` tells the two apart. What cannot be decoded is refused as a whole.
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
from turnwise.inference.requests.check_request import CheckReply, CheckRequest
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, RunningText, TextPiece
from turnwise.inference.requests.parcels import Parcel, pack
from turnwise.inference.requests.tensors import Data

_T = TypeVar("_T", GenerateRequest, GenerateReply, CheckRequest, EmbedRequest, Parcel)

BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""Requests are cut into messages of about this size; one request alone may be larger."""

TOKEN_BYTES_MAX: Final = 8
"""Size of a token's id in a message."""


class MessageKind(IntEnum):
    """Form of a message's body."""

    MESSAGE = 1
    """JSON text of a class below."""

    TENSORS = 2
    """Parcels, as `parcels.pack` packs them: requests to `infer` one way, results of `infer` and `embed` the other."""

    TENSOR = 3
    """The elements of a large tensor of the next message of parcels. To the inference process only."""


class _Message(msgspec.Struct, frozen=True, tag=True):
    """A message; in JSON, `type` names its class."""


# -- to the inference process ------------------------------------------------------------------------------------


class Load(_Message, frozen=True):
    """The first message: the models to load. Answered by `Loaded` or `LoadFailed`.

    - `models`: what to load
    - `options`: how to use the machine
    - `tells_texts`: whether signs of life tell what is being generated
    - `confined_for`: execution providers whose drivers keep their rights, beside those of the models
    """

    models: list[ModelSpec]
    options: EngineOptions
    tells_texts: bool = False
    confined_for: tuple[str, ...] = ()


class Submit(_Message, frozen=True):
    """Requests to generate text."""

    requests: list[GenerateRequest]


class Check(_Message, frozen=True):
    """Recorded answers, to be held against their models."""

    requests: list[CheckRequest]


class Embed(_Message, frozen=True):
    """Requests to embed texts."""

    requests: list[EmbedRequest]


class Cancel(_Message, frozen=True):
    """Numbers of requests whose replies are not wanted any more."""

    ids: list[int]


class WavePart(_Message, frozen=True):
    """Part of a wave, which runs when its last part is there. The parts of one come one after the other."""

    id: int
    model: str
    requests: list[GenerateRequest]
    plan: BatchPlan | None
    last: bool


ToProcess = Load | Submit | Check | Embed | Cancel | WavePart


# -- from the inference process ----------------------------------------------------------------------------------


class Loaded(_Message, frozen=True):
    """The models are loaded, in the order in which they were asked for."""

    models: list[ModelInfo]


class LoadFailed(_Message, frozen=True):
    """A model cannot be loaded, by its own fault or the machine's: the process ends, and would fail again."""

    message: str
    where: str | None
    expected: Any
    actual: Any
    hint: str | None
    environment: bool = False

    @classmethod
    def of(cls, error: ModelError | EnvironmentFailure) -> LoadFailed:
        environment = isinstance(error, EnvironmentFailure)
        return cls(error.message, error.where, error.expected, error.actual, error.hint, environment)

    def error(self) -> ModelError | EnvironmentFailure:
        """Make the error again, its fields as far as they are data."""
        kind = EnvironmentFailure if self.environment else ModelError
        return kind(self.message, where=self.where, expected=self.expected, actual=self.actual, hint=self.hint)


class Confined(_Message, frozen=True):
    """The rights that the process has given up, once after `Loaded`."""

    measures: tuple[Measure, ...]


class ReplyBatch(_Message, frozen=True):
    """Answers to requests."""

    replies: list[GenerateReply]


class Pieces(_Message, frozen=True):
    """Text of requests that are streamed, before their answers. A process begins with the first piece of each."""

    pieces: list[TextPiece]


class CheckBatch(_Message, frozen=True):
    """Results of checks."""

    replies: list[CheckReply]


class WaveReplyPart(_Message, frozen=True):
    """Part of the answer to a wave. The parts of one come one after the other."""

    id: int
    replies: list[GenerateReply]
    plan: BatchPlan
    problem: str | None
    last: bool


class Heartbeat(_Message, frozen=True):
    """A sign of life while there is work, and telemetry: counts since the process started.

    - `tokens`: generated
    - `prompt_tokens`: of prompts that were prefilled
    - `running`, `waiting`: requests, now
    - `reused_tokens`: of prompts that were taken from the cache
    - `steps`: of decoding, and runs of other graphs
    - `step_rows`: sequences, or rows, that took part in them
    - `slots`: sequences that can run at once, now
    - `kv_bytes`: memory of the positions that running sequences have filled, now
    - `texts`: the ends of texts that are being generated; None: not looked at this time
    - `computing`: multiplications, at most, of what it begins now and says nothing during
    """

    tokens: int = 0
    prompt_tokens: int = 0
    running: int = 0
    waiting: int = 0
    reused_tokens: int = 0
    steps: int = 0
    step_rows: int = 0
    slots: int = 0
    kv_bytes: int = 0
    texts: tuple[RunningText, ...] | None = None
    computing: int = 0


FromProcess = Loaded | LoadFailed | Confined | ReplyBatch | Pieces | CheckBatch | WaveReplyPart | Heartbeat


_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_TO_PROCESS: Final[msgspec.json.Decoder[ToProcess]] = msgspec.json.Decoder(
    ToProcess, dec_hook=lambda kind, value: kind(value)
)
_FROM_PROCESS: Final[msgspec.json.Decoder[FromProcess]] = msgspec.json.Decoder(FromProcess)


def encode(message: ToProcess | FromProcess) -> bytes:
    """Return a message as JSON text; values of errors that JSON does not have become text."""
    return _ENCODER.encode(message)


def decode_to_process(data: bytes) -> ToProcess:
    """A message to the inference process. Raises msgspec.MsgspecError or UnicodeDecodeError for anything else."""
    return _TO_PROCESS.decode(data)


def decode_from_process(data: bytes) -> FromProcess:
    """A message of the inference process. Raises msgspec.MsgspecError or UnicodeDecodeError for anything else."""
    return _FROM_PROCESS.decode(data)


# -- what does not fit into one message --------------------------------------------------------------------------


OpenRequest = GenerateRequest | CheckRequest | EmbedRequest | Parcel
"""A request on its way to the inference process."""


def request_messages(requests: Sequence[OpenRequest]) -> Iterator[tuple[MessageKind, Sequence[Data]]]:
    """The messages that hand requests over, each a kind and the parts of its body; in the requests' order by kind."""
    for generate in _cut([request for request in requests if isinstance(request, GenerateRequest)]):
        yield MessageKind.MESSAGE, [encode(Submit(generate))]
    for check in _cut([request for request in requests if isinstance(request, CheckRequest)]):
        yield MessageKind.MESSAGE, [encode(Check(check))]
    for embed in _cut([request for request in requests if isinstance(request, EmbedRequest)]):
        yield MessageKind.MESSAGE, [encode(Embed(embed))]
    for parcels in _cut([request for request in requests if isinstance(request, Parcel)]):
        apart: list[Data] = []
        packed = pack(parcels, apart)
        for data in apart:
            yield MessageKind.TENSOR, [data]
        yield MessageKind.TENSORS, packed


def wave_messages(wave: Wave) -> Iterator[WavePart]:
    """Yield the messages that hand a wave over."""
    parts = list(_cut(wave.requests))
    for number, part in enumerate(parts, 1):
        yield WavePart(wave.id, wave.model, part, wave.plan, number == len(parts))


def wave_reply_messages(reply: WaveReply) -> Iterator[WaveReplyPart]:
    """Yield the messages that answer a wave."""
    parts = list(_cut(reply.replies)) or [[]]
    for number, part in enumerate(parts, 1):
        yield WaveReplyPart(reply.id, part, reply.plan, reply.problem, number == len(parts))


class WaveParts:
    """Puts waves and their answers together again."""

    def __init__(self) -> None:
        self._requests: list[GenerateRequest] = []
        self._replies: list[GenerateReply] = []

    def wave(self, part: WavePart) -> Wave | None:
        """Return the wave, if this was its last part."""
        self._requests += part.requests
        if not part.last:
            return None
        requests, self._requests = self._requests, []
        return Wave(part.id, part.model, tuple(requests), part.plan)

    def reply(self, part: WaveReplyPart) -> WaveReply | None:
        """Return the answer, if this was its last part."""
        self._replies += part.replies
        if not part.last:
            return None
        replies, self._replies = self._replies, []
        return WaveReply(part.id, part.plan, tuple(replies), part.problem)


def _cut(items: Sequence[_T]) -> Iterator[list[_T]]:
    """Yield the items in groups of about BATCH_BYTES_MAX."""
    group: list[_T] = []
    size = 0
    for item in items:
        bytes_ = item.data_bytes if isinstance(item, Parcel) else len(item.body)
        if isinstance(item, GenerateReply | CheckRequest) and item.tokens is not None:
            bytes_ += TOKEN_BYTES_MAX * len(item.tokens)
        if group and size + bytes_ > BATCH_BYTES_MAX:
            yield group
            group, size = [], 0
        group.append(item)
        size += bytes_
    if group:
        yield group
