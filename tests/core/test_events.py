"""Events and actions: what they are where nothing is said."""

from __future__ import annotations

from turnwise.core.events import Request
from turnwise.core.turn import EffectRequest


def test_a_request_is_of_no_turn_and_no_stage_unless_it_says_so() -> None:
    request = Request(0, 0, EffectRequest("generate", "m", "{}"), b"", 0)
    assert (request.contents, request.turn, request.stage, request.answers) == ((), 0, 0, None)
