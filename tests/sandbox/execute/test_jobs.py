"""Jobs: how much is handed over for one."""

from __future__ import annotations

import pytest

from turnwise.sandbox.execute.jobs import TurnJob


@pytest.mark.parametrize(
    ("replies", "size"), [((), 10), ((b"123",), 13), ((b"123", b"", b"4567"), 17)], ids=["none", "one", "several"]
)
def test_the_size_of_a_job_is_that_of_its_input_and_replies(replies: tuple[bytes, ...], size: int) -> None:
    assert TurnJob(1, "code", b"0123456789", replies, 1, 1, 1).size_bytes == size


def test_an_input_that_is_not_encoded_yet_says_its_size() -> None:
    class Input:
        size_bytes = 1_000

        def encode(self) -> bytes:
            return b"{}"

    job = TurnJob(1, "code", Input(), (b"1",), 1, 1, 1)  # type: ignore[arg-type]
    assert job.size_bytes == 1_001
    assert job.encoded_input() == b"{}"
