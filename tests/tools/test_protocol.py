"""Messages between the orchestrator and a server, as bytes come in."""

from __future__ import annotations

import pytest

from turnwise.tools.protocol import (
    LENGTH,
    CallTool,
    Frames,
    NoMessageError,
    ToolAnswered,
    frame,
    from_server,
    to_server,
)


def test_messages_are_cut_out_of_bytes_however_these_come() -> None:
    sent = [ToolAnswered(number, "x" * number * 7) for number in range(5)]
    data = b"".join(map(frame, sent))
    for step in (1, 2, 3, 5, 64, len(data)):
        frames = Frames(1_000)
        bodies = [body for at in range(0, len(data), step) for body in frames.feed(data[at : at + step])]
        assert [from_server(body) for body in bodies] == sent


def test_a_message_that_is_too_large_is_refused_when_its_length_is_known() -> None:
    frames = Frames(100)
    whole = frame(ToolAnswered(1, "a"))
    found = []
    with pytest.raises(NoMessageError, match="a message of 101 bytes, and at most 100 are taken"):
        found.extend(frames.feed(whole + LENGTH.pack(101)))
    with pytest.raises(NoMessageError):
        list(frames.feed(b""))
    assert list(Frames(101).feed(LENGTH.pack(101) + b"x" * 101)) == [b"x" * 101]


def test_what_is_read_has_the_form_of_a_message() -> None:
    call = CallTool(1, "add", {"a": 1})
    assert to_server(frame(call)[LENGTH.size :]) == call
    for body in (b"", b"{}", b'{"type":"CallTool"}', frame(call)[LENGTH.size :], b"\xff"):
        with pytest.raises(NoMessageError):
            from_server(body)
