"""Contents by handle: what a recorded reply names."""

from __future__ import annotations

import pytest

from turnwise.core.contents import Kept, Piece, get_reply, given_of


def test_a_recorded_reply_names_the_content_and_the_piece_that_was_given() -> None:
    kept = Kept("ab" * 32, 100, 3, 1, 0)
    reply = get_reply(Piece(kept, 10, 20))
    assert reply == '{"ok":{"bytes":20,"sha256":"' + "ab" * 32 + '","start":10}}'
    assert given_of(reply) == "ab" * 32


@pytest.mark.parametrize(
    "reply",
    ["", "[]", "null", '{"error":{"kind":"x"}}', '{"ok":[]}', '{"ok":{}}', '{"ok":{"sha256":7}}', '{"ok":null}'],
)
def test_other_replies_name_none(reply: str) -> None:
    assert given_of(reply) is None
