"""Messages that hand out jobs: what is written is read again, with contents and without."""

from __future__ import annotations

import pytest

from turnwise.sandbox.pool import messages
from turnwise.sandbox.pool.messages import JobItem


def item(number: int, *replies: messages.HandedReply) -> JobItem:
    return (number, 0, b"{}", replies, 1, 2, 3)


@pytest.mark.parametrize(
    ("jobs", "kind"),
    [
        ([], messages.RUN),
        ([item(1), item(2, b"one", b"two")], messages.RUN),
        ([item(1, (b"a", b"content", b"b"))], messages.RUN_WITH_CONTENTS),
        (
            [
                item(1),
                item(2, b"one", (b"a", b"", b"b", bytes(1000), b"c")),
                item(3, (b"a", memoryview(b"0123456789")[2:5], b"b"), b"two"),
            ],
            messages.RUN_WITH_CONTENTS,
        ),
    ],
)
def test_jobs_are_read_as_they_are_written(jobs: list[JobItem], kind: int) -> None:
    written, parts = messages.jobs_message(jobs)
    assert written == kind
    assert messages.read_jobs(written, memoryview(b"".join(parts))) == jobs


def test_contents_are_parts_of_the_message_and_of_what_is_read() -> None:
    content = bytes(10_000)
    kind, parts = messages.jobs_message([item(1, (b"a", content, b"b"))])
    assert parts[0] is content
    body = memoryview(b"".join(parts))
    ((*_, (reply,), _, _, _),) = messages.read_jobs(kind, body)
    assert isinstance(reply, tuple)
    assert isinstance(reply[1], memoryview)
    assert reply[1].obj is body.obj
