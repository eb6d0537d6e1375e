"""What is counted of rounds."""

from __future__ import annotations

from turnwise.core.records import EffectRecord, MessageRecord, ParkRecord, QuestionRecord, RoundRecord, TurnRecord
from turnwise.core.turn import Failure, FailureClass, TurnOutput
from turnwise.orchestrator.counts import Counts

EFFECT = EffectRecord(0, "generate", "m", "{}", "{}")


def test_effects_of_turns_that_wait_count_and_failures_do() -> None:
    park = ParkRecord(2, 1, (), 0, (EFFECT, EFFECT), (QuestionRecord(1, 2, "ask", "{}"),), ((3, True),), 0, 1, 1)
    turns = (
        TurnRecord(0, 1, (), TurnOutput(""), None, (EFFECT,), "", 1, 1),
        TurnRecord(1, 1, (), None, Failure(FailureClass.RAISED, "no"), (), "", 1, 1),
    )
    message = MessageRecord(0, 1, None, "a", "x", (0,))
    record = RoundRecord(1, turns, (message,), (message, message), (), (), b"", b"", parks=(park,))
    counts = Counts()
    for _ in range(2):
        counts.add(record)
    assert counts == Counts(rounds=2, turns=4, failures=2, messages=6, effects=6)
