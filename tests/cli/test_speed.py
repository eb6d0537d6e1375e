"""How fast something goes just now."""

from __future__ import annotations

import pytest

from turnwise.cli.speed import Speed, duration, rate


def test_nothing_is_known_before_the_second_note() -> None:
    speed = Speed()
    assert speed.per_s == 0
    speed.note(10.0, 5)
    assert speed.per_s == 0


def test_only_the_window_counts() -> None:
    speed = Speed(window_s=2.0)
    for second in range(10):
        speed.note(float(second), 1000 if second else 0)  # everything happened in the first second
    assert speed.per_s == 0
    for second in range(10, 14):
        speed.note(float(second), 1000 + 50 * (second - 9))
    assert speed.per_s == pytest.approx(50)


def test_two_notes_at_one_time_are_no_speed() -> None:
    speed = Speed()
    speed.note(1.0, 0)
    speed.note(1.0, 9)
    assert speed.per_s == 0


@pytest.mark.parametrize(
    ("per_s", "text"), [(0, "0.0/s"), (3.16, "3.2/s"), (120.4, "120/s"), (9_876, "9,876/s"), (12_981, "13,000/s")]
)
def test_rates_can_be_read(per_s: float, text: str) -> None:
    assert rate(per_s) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (67.9, "1:07"), (3765, "1:02:45")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
