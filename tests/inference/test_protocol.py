from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from turnwise.errors import ModelError
from turnwise.inference import protocol
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.requests.parcels import Parcel, unpack
from turnwise.inference.requests.tensors import Tensor

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


def test_everything_comes_back_as_it_was() -> None:
    specs = [ModelSpec("é", Path("/some where/m"), "cuda", True)]
    options = EngineOptions(threads_max=3, spin=True)
    assert protocol.decode_load(protocol.encode_load(specs, options)) == (specs, options)
    assert protocol.decode_infos(protocol.encode_infos([INFO])) == [INFO]
    assert protocol.decode_numbers(protocol.encode_numbers([3, 1])) == [3, 1]
    replies = [GenerateReply(7, '{"ok":{"text":"\\n😀"}}')]
    assert protocol.decode_replies(protocol.encode_replies(replies)) == replies
    progress = protocol.Progress(1, 2, 3, 4)
    assert protocol.decode_progress(protocol.encode_progress(progress)) == progress


def test_an_error_keeps_its_fields_as_far_as_they_are_data() -> None:
    error = ModelError("wrong", where="file", expected=(1, None), actual=Path("x"), hint="do this")
    back = protocol.decode_error(protocol.encode_error(error))
    assert str(back) == str(error)
    assert (back.expected, back.actual) == ([1, None], "x")


def test_requests_are_cut_into_messages_and_keep_their_order() -> None:
    requests = [GenerateRequest(index, "m", "x" * 3_000_000, bytes(32)) for index in range(5)]
    messages = list(protocol.encode_requests(requests))
    assert len(messages) == 3
    assert {kind for kind, _ in messages} == {protocol.Kind.SUBMIT}
    bodies = [b"".join(parts) for _, parts in messages]
    assert [request for data in bodies for request in protocol.decode_requests(data)] == requests
    assert list(protocol.encode_requests([])) == []


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'[{"id":1}]', b'[{"id":"1","body":""}]', b"\xff"])
def test_what_cannot_be_decoded(data: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        protocol.decode_replies(data)


def test_each_kind_of_request_has_its_message() -> None:
    tensor = Tensor("uint8", (3,), b"abc")
    asked: list[protocol.Open] = [
        Parcel(1, "g", {"x": tensor}),
        EmbedRequest(2, "e", "{}"),
        Parcel(3, "g", {"x": tensor}),
        GenerateRequest(4, "m", "{}", bytes(32)),
    ]
    messages = {kind: b"".join(parts) for kind, parts in protocol.encode_requests(asked)}
    assert list(unpack(messages[protocol.Kind.INFER])) == [asked[0], asked[2]]
    assert protocol.decode_embeds(messages[protocol.Kind.EMBED]) == [asked[1]]
    assert protocol.decode_requests(messages[protocol.Kind.SUBMIT]) == [asked[3]]


def test_large_tensors_are_cut_into_messages() -> None:
    asked: list[protocol.Open] = [Parcel(i, "g", {"x": Tensor("uint8", (6 << 20,), bytes(6 << 20))}) for i in range(3)]
    assert [kind for kind, _ in protocol.encode_requests(asked)] == [protocol.Kind.INFER] * 3


def test_waves_and_their_answers_are_cut_and_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = BatchPlan("free", 0, None, 64, 128, 512, 2, 1)
    requests = tuple(GenerateRequest(number, "m", "x" * number, bytes(32)) for number in range(5))
    for asked in (Wave(7, "m", requests), Wave(8, "m", requests[:1], plan)):
        answered = WaveReply(asked.id, plan, tuple(GenerateReply(item.id, item.body) for item in asked.requests))
        for bytes_max, count in ((1 << 20, 1), (4, 3), (0, 5)):
            monkeypatch.setattr(protocol, "BATCH_BYTES_MAX", bytes_max)
            parts = protocol.WaveParts()
            *early, whole = [parts.wave(data) for data in protocol.encode_wave(asked)]
            assert (early, whole) == ([None] * len(early), asked)
            *early_replies, reply = [parts.reply(data) for data in protocol.encode_wave_reply(answered)]
            assert (early_replies, reply) == ([None] * len(early), answered)
            assert len(early) + 1 == min(count, len(asked.requests))
    refused = WaveReply(9, plan, (), "why")
    assert [protocol.WaveParts().reply(data) for data in protocol.encode_wave_reply(refused)] == [refused]
