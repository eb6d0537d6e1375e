"""Records of rounds: what of them counts when they are compared, and the order of what is in them."""

from __future__ import annotations

from turnwise.core.records import EffectRecord, ParkRecord, RoundRecord, TurnRecord
from turnwise.core.turn import TurnOutput


def test_the_content_of_a_put_is_no_part_of_its_record() -> None:
    one, other = (EffectRecord(0, "put", None, "{}", "{}", None, content) for content in (b"private", None))
    assert one == other
    assert repr(one) == repr(other)
    assert "private" not in repr(one)


def test_turns_that_ended_come_before_those_that_wait() -> None:
    first, second = (EffectRecord(0, "ask", None, "{}", reply) for reply in ("1", "2"))
    turn = TurnRecord(4, 1, (), TurnOutput(""), None, (first,), "", 1, 1)
    park = ParkRecord(2, 1, (), 0, (second,), (), (), 0, 1, 1)
    record = RoundRecord(1, (turn,), (), (), (), (), b"", b"", parks=(park,))
    assert record.parts == (turn, park)
    assert list(record.effects()) == [(4, first), (2, second)]
