"""Current speeds, from counts over time."""

from __future__ import annotations

from collections import deque


class Speed:
    """Units a second over the last `window_s` seconds, from counts that are noted with the time of a clock."""

    def __init__(self, window_s: float = 3.0) -> None:
        self._window_s = window_s
        self._notes: deque[tuple[float, int]] = deque()

    def note(self, now_s: float, count: int) -> None:
        """The count has reached `count` at `now_s`. Times do not go backwards."""
        self._notes.append((now_s, count))
        while len(self._notes) > 2 and self._notes[1][0] <= now_s - self._window_s:
            self._notes.popleft()

    @property
    def per_s(self) -> float:
        if len(self._notes) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._notes[0], self._notes[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


def rate(per_s: float) -> str:
    """`3.2/s`, `120/s`, `13,000/s`: two or three digits that a person can read while they change."""
    if per_s >= 10_000:
        return f"{round(per_s, -3):,.0f}/s"
    if per_s >= 10:
        return f"{per_s:,.0f}/s"
    return f"{per_s:.1f}/s"


def duration(seconds: float) -> str:
    """`0:07`, `12:03`, `1:02:45`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
