"""Requests that are not answered, without any process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.inference.test_protocol import INFO, PLAN
from turnwise.confine import Measure
from turnwise.errors import EnvironmentFailure, InvariantError, ModelError, TurnwiseError
from turnwise.inference import protocol
from turnwise.inference.host.open_requests import OpenRequests
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.protocol import CheckBatch, Confined, Heartbeat, MessageKind, Pieces, ReplyBatch, WaveReplyPart
from turnwise.inference.requests.check_request import CheckReply, CheckRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, RunningText, TextPiece
from turnwise.inference.requests.parcels import Parcel, pack
from turnwise.inference.requests.tensors import Data, Tensor
from turnwise.sharedmem import PeerBroken


class Said:
    """What goes on to the callbacks, and what is sent to the process."""

    def __init__(self) -> None:
        self.replies: list[GenerateReply] = []
        self.failures: list[TurnwiseError] = []
        self.waves: list[WaveReply] = []
        self.sent: list[protocol.ToProcess] = []
        self.checks: list[CheckReply] = []
        self.pieces: list[TextPiece] = []
        self.open = OpenRequests(
            self.replies.extend, self.failures.append, self.waves.append, self.checks.extend, self.pieces.extend
        )

    def send(self, kind: MessageKind, parts: Sequence[Data]) -> None:
        assert kind == MessageKind.MESSAGE
        self.sent.append(protocol.decode_to_process(b"".join(parts)))


@pytest.fixture
def said() -> Said:
    return Said()


def request(number: int) -> GenerateRequest:
    return GenerateRequest(number, "m", "{}", bytes(32))


def wave(number: int) -> Wave:
    return Wave(number, "m", (request(10), request(11)))


def test_a_reply_goes_on_once_and_only_if_it_is_waited_for(said: Said) -> None:
    for number in (1, 2):
        said.open.add(number, request(number))
    assert said.open.take(ReplyBatch([GenerateReply(1, "a"), GenerateReply(9, "b")]))
    assert said.open.take(ReplyBatch([GenerateReply(1, "again")]))
    assert said.replies == [GenerateReply(1, "a")]
    assert said.open.drop([1, 2, 3]) == [2]
    assert said.open.take(ReplyBatch([GenerateReply(2, "late")]))
    assert (len(said.replies), len(said.open), said.open.has_work) == (1, 0, False)


def test_a_piece_goes_on_once_whichever_process_tells_it(said: Said) -> None:
    for number in (1, 2):
        said.open.add(number, request(number))
    first, second, third = [TextPiece(1, number, text) for number, text in enumerate("abc")]
    assert not said.open.take(Pieces([first, TextPiece(9, 0, "nobody's")]))
    assert not said.open.take(Pieces([second]))
    said.open.process_ended()
    said.open.process_loaded([INFO], said.send)
    assert not said.open.take(Pieces([first, second]))
    assert not said.open.take(Pieces([third]))
    assert said.pieces == [first, second, third]
    with pytest.raises(PeerBroken):
        said.open.take(Pieces([TextPiece(2, 1, "the first is missing")]))
    said.open.take(ReplyBatch([GenerateReply(1, "abc")]))
    said.open.take(Pieces([TextPiece(1, 3, "late")]))
    assert len(said.pieces) == 3


def test_tensors_become_replies(said: Said) -> None:
    said.open.add(3, Parcel(3, "g", {}))
    body = b"".join(pack([Parcel(number, "outputs", {"y": Tensor("uint8", (), b"\5")}) for number in (3, 4)]))
    said.open.take_tensors(body)
    (reply,) = said.replies
    assert (reply.id, reply.body) == (3, '{"ok":{"outputs":{"y":{"data":"BQ==","dtype":"uint8","shape":[]}}}}')


def test_a_new_process_is_sent_all_that_is_open(said: Said) -> None:
    for number in (1, 2, 3):
        said.open.add(number, request(number))
    said.open.add_wave(wave(7))
    said.open.drop([2])
    assert (len(said.open), 1 in said.open, 2 in said.open) == (4, True, False)
    said.open.process_loaded([INFO], said.send)
    first, second = said.sent
    assert first == protocol.Submit([request(1), request(3)])
    assert second == protocol.WavePart(7, "m", [request(10), request(11)], None, last=True)
    with pytest.raises(InvariantError, match="wave 7 is open already"):
        said.open.add_wave(wave(7))


def test_part_of_a_waves_answer_from_a_process_that_died_is_forgotten(said: Said) -> None:
    said.open.add_wave(wave(7))
    replies = [GenerateReply(10, "a"), GenerateReply(11, "b")]
    assert said.open.take(WaveReplyPart(7, replies[:1], PLAN, None, last=False))
    said.open.process_ended()
    said.open.process_loaded([INFO], said.send)
    assert said.open.take(WaveReplyPart(7, replies[:1], PLAN, None, last=False))
    assert said.waves == []
    assert said.open.take(WaveReplyPart(7, replies[1:], PLAN, None, last=True))
    assert said.waves == [WaveReply(7, PLAN, tuple(replies))]
    assert not said.open.has_work


def test_a_plan_that_cannot_be_issued_is_a_failure(said: Said) -> None:
    said.open.add_wave(wave(7))
    with pytest.raises(EnvironmentFailure, match="cannot be issued here: too large"):
        said.open.take(WaveReplyPart(7, [], PLAN, "too large", last=True))


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"sha256": "1" * 64}, ModelError, "have changed since the run began"),
        ({"provider": "CUDAExecutionProvider"}, EnvironmentFailure, "its bits could differ"),
        ({"threads": 2}, EnvironmentFailure, "its bits could differ"),
        ({"versions": {"numpy": "3"}}, EnvironmentFailure, "its bits could differ"),
    ],
)
def test_a_later_process_must_have_the_same_models(
    said: Said, change: dict[str, object], kind: type[TurnwiseError], words: str
) -> None:
    said.open.process_loaded([INFO], said.send)
    said.open.process_loaded([replace(INFO, load_ms=99.0)], said.send)
    with pytest.raises(kind, match=words) as caught:
        said.open.process_loaded([replace(INFO, **change)], said.send)  # type: ignore[arg-type]
    assert caught.value.where == "models.m"


def test_counts_go_on_in_the_next_process(said: Said) -> None:
    assert not said.open.take(Heartbeat(tokens=3, running=2, steps=1))
    assert not said.open.take(Confined((Measure("seccomp", True, "d"),)))
    said.open.process_ended()
    assert said.open.progress == Heartbeat()
    assert not said.open.take(Heartbeat(tokens=4, waiting=1, steps=2))
    assert said.open.counts == Heartbeat(tokens=7, steps=3)
    assert said.open.measures == (Measure("seccomp", True, "d"),)


def test_the_latest_texts_are_kept_until_the_process_ends(said: Said) -> None:
    text = RunningText(1, 2, "some words", False)
    assert not said.open.take(Heartbeat(texts=(text,)))
    assert not said.open.take(Heartbeat(tokens=3))
    assert said.open.texts == (text,)
    assert not said.open.take(Heartbeat(texts=()))
    assert said.open.texts == ()
    said.open.take(Heartbeat(texts=(text,)))
    said.open.process_ended()
    assert said.open.texts == ()


def test_a_failure_goes_on(said: Said) -> None:
    error = EnvironmentFailure("it died")
    said.open.failed(error)
    assert said.failures == [error]


def test_a_check_is_answered_once(said: Said) -> None:
    request = GenerateRequest(4, "m", "{}", bytes(32))
    said.open.add(4, CheckRequest(request, (1, 2), "{}"))
    reply = CheckReply(4, 2, ((1, 0.25),), 0.5)
    for _ in range(2):
        assert said.open.take(CheckBatch([reply, replace(reply, id=5)]))
    assert said.checks == [reply]
    assert not said.open.has_work
