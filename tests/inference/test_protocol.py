from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from turnwise.confine import Measure
from turnwise.errors import EnvironmentFailure, ModelError
from turnwise.inference import protocol
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.protocol import (
    Cancel,
    Confined,
    Embed,
    Heartbeat,
    Load,
    Loaded,
    LoadFailed,
    MessageKind,
    ReplyBatch,
    Submit,
    WavePart,
    WaveReplyPart,
)
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.requests.parcels import Parcel, unpack
from turnwise.inference.requests.tensors import Data, Tensor

INFO = ModelInfo(
    name="m",
    sha256="0" * 64,
    provider_asked="auto",
    provider="CPUExecutionProvider",
    providers=("CPUExecutionProvider",),
    nodes={"CPUExecutionProvider": 5},
    fallback=None,
    form="in_place float32",
    context_length=512,
    vocabulary_size=512,
    kv_bytes_per_token=2560,
    threads=1,
    versions={"numpy": "2"},
    load_ms=1.5,
)


PLAN = BatchPlan("free", 0, None, 64, 128, 512, 2, 1)


@pytest.mark.parametrize(
    "message",
    [
        Load([ModelSpec("é", Path("/some where/m"), "cuda", True)], EngineOptions(threads_max=3, spin_us=50)),
        Submit([GenerateRequest(7, "m", '{"prompt":"\\n😀"}', bytes(range(32)))]),
        Embed([EmbedRequest(2, "e", "{}")]),
        Cancel([3, 1]),
        WavePart(7, "m", [GenerateRequest(1, "m", "{}", bytes(32))], PLAN, last=True),
    ],
)
def test_messages_to_the_process_come_back_as_they_were(message: protocol.ToProcess) -> None:
    assert protocol.decode_to_process(protocol.encode(message)) == message
    with pytest.raises(msgspec.MsgspecError):
        protocol.decode_from_process(protocol.encode(message))


@pytest.mark.parametrize(
    "message",
    [
        Loaded([INFO]),
        LoadFailed("m", "w", [1, None], "x", "h", environment=True),
        Confined((Measure("seccomp", True, "d"),)),
        ReplyBatch([GenerateReply(7, '{"ok":{"text":"\\n😀"}}')]),
        WaveReplyPart(7, [GenerateReply(7, "{}")], PLAN, None, last=False),
        Heartbeat(1, 2, 3, 4),
    ],
)
def test_messages_of_the_process_come_back_as_they_were(message: protocol.FromProcess) -> None:
    assert protocol.decode_from_process(protocol.encode(message)) == message
    with pytest.raises(msgspec.MsgspecError):
        protocol.decode_to_process(protocol.encode(message))


@pytest.mark.parametrize("kind", [ModelError, EnvironmentFailure])
def test_an_error_keeps_its_fields_as_far_as_they_are_data(kind: type[ModelError] | type[EnvironmentFailure]) -> None:
    error = kind("wrong", where="file", expected=(1, None), actual=Path("x"), hint="do this")
    message = protocol.decode_from_process(protocol.encode(LoadFailed.of(error)))
    assert isinstance(message, LoadFailed)
    back = message.error()
    assert type(back) is kind
    assert str(back) == str(error)
    assert (back.expected, back.actual) == ([1, None], "x")


def submitted(parts: Sequence[Data]) -> list[GenerateRequest]:
    message = protocol.decode_to_process(b"".join(parts))
    assert isinstance(message, Submit)
    return message.requests


def test_requests_are_cut_into_messages_and_keep_their_order() -> None:
    requests = [GenerateRequest(index, "m", "x" * 3_000_000, bytes(32)) for index in range(5)]
    messages = list(protocol.request_messages(requests))
    assert len(messages) == 3
    assert {kind for kind, _ in messages} == {protocol.MessageKind.MESSAGE}
    assert [request for _, parts in messages for request in submitted(parts)] == requests
    assert list(protocol.request_messages([])) == []


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[1]", b'{"type":"Replies"}', b'{"type":"Other"}', b"{}", b'{"type":"Cancel","ids":["1"]}', b"\xff"],
)
def test_what_cannot_be_decoded(data: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        protocol.decode_from_process(data)
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        protocol.decode_to_process(data)


def test_each_kind_of_request_has_its_message() -> None:
    tensor = Tensor("uint8", (3,), b"abc")
    asked: list[protocol.OpenRequest] = [
        Parcel(1, "g", {"x": tensor}),
        EmbedRequest(2, "e", "{}"),
        Parcel(3, "g", {"x": tensor}),
        GenerateRequest(4, "m", "{}", bytes(32)),
    ]
    messages = [(kind, b"".join(parts)) for kind, parts in protocol.request_messages(asked)]
    assert [kind for kind, _ in messages] == [MessageKind.MESSAGE, MessageKind.MESSAGE, MessageKind.TENSORS]
    (_, generate), (_, embed), (_, tensors) = messages
    assert protocol.decode_to_process(generate) == Submit([GenerateRequest(4, "m", "{}", bytes(32))])
    assert protocol.decode_to_process(embed) == Embed([EmbedRequest(2, "e", "{}")])
    assert list(unpack(tensors)) == [asked[0], asked[2]]


def test_large_tensors_are_cut_into_messages() -> None:
    asked: list[protocol.OpenRequest] = [
        Parcel(i, "g", {"x": Tensor("uint8", (6 << 20,), bytes(6 << 20))}) for i in range(3)
    ]
    assert [kind for kind, _ in protocol.request_messages(asked)] == [MessageKind.TENSORS] * 3


def test_waves_and_their_answers_are_cut_and_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = tuple(GenerateRequest(number, "m", "x" * number, bytes(32)) for number in range(5))
    for asked in (Wave(7, "m", requests), Wave(8, "m", requests[:1], PLAN)):
        answered = WaveReply(asked.id, PLAN, tuple(GenerateReply(item.id, item.body) for item in asked.requests))
        for bytes_max, count in ((1 << 20, 1), (4, 3), (0, 5)):
            monkeypatch.setattr(protocol, "BATCH_BYTES_MAX", bytes_max)
            parts = protocol.WaveParts()
            *early, whole = [parts.wave(part) for part in protocol.wave_messages(asked)]
            assert (early, whole) == ([None] * len(early), asked)
            *early_replies, reply = [parts.reply(part) for part in protocol.wave_reply_messages(answered)]
            assert (early_replies, reply) == ([None] * len(early), answered)
            assert len(early) + 1 == min(count, len(asked.requests))
    refused = WaveReply(9, PLAN, (), "why")
    assert [protocol.WaveParts().reply(part) for part in protocol.wave_reply_messages(refused)] == [refused]
