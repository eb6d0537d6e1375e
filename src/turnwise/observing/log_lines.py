"""A run as lines of JSON: one a round, one for each turn that failed, each log of an agent, each question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from turnwise.core.question import ASK, question_of
from turnwise.core.records import EndRecord
from turnwise.exports.moments import RoundMoments
from turnwise.system.clock import SYSTEM_CLOCK, Clock

TEXT_CHARS_MAX: Final = 4_000
"""Characters of a text in a line; of a longer one the beginning is there, and its length."""


class LogLines:
    """Writes lines of JSON, each complete and at once."""

    def __init__(self, out: TextIO, run: str, clock: Clock = SYSTEM_CLOCK) -> None:
        """`run` is what each line calls the run."""
        self._out = out
        self._run = run
        self._clock = clock

    def line(self, event: str, level: str = "info", at_us: int | None = None, **members: Any) -> None:
        """Write a line, with the time of what it tells of or the time now."""
        at = datetime.fromtimestamp((self._clock.wall_us() if at_us is None else at_us) / 1e6, UTC)
        told = {"time": at.isoformat(timespec="microseconds"), "level": level, "event": event, "run": self._run}
        self._out.write(json.dumps({**told, **members}) + "\n")
        self._out.flush()

    def take(self, moment: RoundMoments, names: Sequence[str]) -> None:
        """Write the lines of a round."""
        record = moment.record
        number = record.round
        at_us = None if moment.times is None else moment.started_us + moment.duration_us
        for message in record.inputs:
            self.line("message", at_us=at_us, round=number, to=message.to, bytes=len(message.body.encode()))
        for turn in record.turns:
            name = names[turn.place]
            for log in turn.output.log if turn.output is not None else ():
                self.line("log", log.level, at_us, round=number, agent=name, **_text(log.text))
            if turn.failure is not None:
                reason = str(turn.failure.kind)
                self.line(
                    "turn_failed",
                    "warning",
                    at_us,
                    round=number,
                    agent=name,
                    reason=reason,
                    **_text(turn.failure.message),
                )
        for park in record.parks:
            for asked in park.questions:
                if asked.kind == ASK:
                    text = question_of(asked.request).text
                    self.line(
                        "question", at_us=at_us, round=number, agent=names[park.place], id=asked.id, **_text(text)
                    )
        members: dict[str, Any] = {
            "turns": len(record.turns),
            "failed": sum(turn.failure is not None for turn in record.turns),
            "effects": sum(1 for _ in record.effects()),
            "messages": len(record.messages),
        }
        if moment.times is not None:
            members["duration_us"] = moment.duration_us
        self.line("round", at_us=at_us, round=number, **members, head=record.head.hex())

    def ended(self, end: EndRecord) -> None:
        """Write that the run is over, and how."""
        level = "error" if end.reason == "failed" else "info"
        self.line(
            "run_ended",
            level,
            round=end.round,
            reason=end.reason,
            **({} if end.message is None else _text(end.message)),
        )


def _text(text: str) -> dict[str, Any]:
    if len(text) <= TEXT_CHARS_MAX:
        return {"text": text}
    return {"text": text[:TEXT_CHARS_MAX], "chars": len(text)}
