"""What agents log, as it comes."""

from __future__ import annotations

from pathlib import Path

import turnwise
from turnwise import Agent, Grants, World
from turnwise.core.records import RoundRecord
from turnwise.orchestrator.logs import LOGS_KEPT_MAX, Logged, Logs

TALKS = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    t.log(f"turn {t.turn}")
    t.log("two\\nlines", "debug")
    t.wake_in(1)
    if t.turn == 2:
        raise ValueError("and this turn has logged nothing")
    if t.turn == 4:
        t.finish()
"""


MAY = Grants(finish=True)


def talking() -> World:
    return turnwise.World(
        name="talking", agents={"a": Agent(TALKS, start=True, grants=MAY), "b": Agent(TALKS, start=True, grants=MAY)}
    )


def test_logs_come_round_by_round_in_order_of_place(tmp_path: Path) -> None:
    with talking().start(journal=tmp_path / "a.journal", workers=2) as live:
        assert live.logs() == ([], 0)
        live.step()
        assert live.logs() == (
            [
                Logged(1, "a", "info", "turn 1"),
                Logged(1, "a", "debug", "two\nlines"),
                Logged(1, "b", "info", "turn 1"),
                Logged(1, "b", "debug", "two\nlines"),
            ],
            0,
        )
        assert live.logs() == ([], 0)
        live.step()
        assert live.logs() == ([], 0)


def records(tmp_path: Path) -> list[RoundRecord]:
    with talking().start(journal=tmp_path / "a.journal", workers=1) as live:
        record = live.step()
    assert record is not None
    return [record]


def test_who_looks_too_seldom_loses_the_oldest(tmp_path: Path) -> None:
    logs = Logs()
    (record,) = records(tmp_path)
    for _ in range(LOGS_KEPT_MAX // 4 + 2):
        logs.note(record, str)
    kept, lost = logs.take()
    assert (len(kept), lost) == (LOGS_KEPT_MAX, 8)
    assert kept[0] == Logged(1, "0", "info", "turn 1")
    assert logs.take() == ([], 0)
