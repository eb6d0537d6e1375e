"""Events of an agent in an Inspect log: a span for each turn, with what it read, asked, was answered and sent.

The viewer shows them as the transcript of the agent's sample. Times are those by the clock where the journal has them;
else every event stands at the beginning of the run, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any, Final

from turnwise.core.calling import tool_named
from turnwise.core.json_text import decode
from turnwise.core.question import ASK, question_text
from turnwise.core.records import EffectRecord, MessageRecord, ParkRecord, QuestionRecord, TurnRecord
from turnwise.core.withheld import Withheld
from turnwise.history.outside_changes import answer_text
from turnwise.journal.file.times import RoundTimes, Span

JsonObject = dict[str, Any]

_AT_ONCE: Final = Span(0, 0)


def moment(us: int) -> str:
    """A time in microseconds since 1970 as the log has it."""
    return datetime.fromtimestamp(us / 1e6, tz=timezone.utc).isoformat()  # noqa: UP017 - the alias of 3.11


def turn_events(
    name: str,
    times: RoundTimes,
    turn: TurnRecord | ParkRecord,
    read: list[MessageRecord],
    name_of: Callable[[int], str],
    calls: list[JsonObject],
    answered: list[tuple[QuestionRecord, str]],
) -> Iterator[JsonObject]:
    """Yield the events of a turn, or of what a turn that waits for people did in one round.

    `read` are the messages that it began with there. `calls` are its questions to models: input, output and number of
    the effect; `answered` are questions that it went on from, with the replies.
    """
    span = times.turns.get(turn.place, _AT_ONCE)
    id_ = f"{name}-{times.round}"
    start, end = (moment(times.started_us + us) for us in (span.start_us, span.start_us + span.duration_us))
    common = {"span_id": id_, "working_start": 0.0, "pending": False}
    yield {
        **common, "event": "span_begin", "id": id_, "type": "turn", "name": f"round {times.round}", "timestamp": start,
    }  # fmt: skip
    for message in read:
        sender = "outside" if message.sender is None else name_of(message.sender)
        yield _info(f"message from {sender}{_with(message.attach)}", str(message.body), start) | common
    for question, reply in answered:
        if question.kind == ASK:
            told: dict[str, object] = {"question": question_text(question.request), "answer": answer_text(reply)}
            yield _info("answer of people", told, start) | common
    for call in calls:
        asked = times.effects.get((turn.place, call["index"]), span)
        yield {
            **common,
            "event": "model",
            "timestamp": moment(times.started_us + asked.start_us),
            "completed": moment(times.started_us + asked.start_us + asked.duration_us),
            "working_time": asked.duration_us / 1e6,
            "model": call["output"]["model"],
            "input": call["input"],
            "tools": [],
            "tool_choice": "none",
            "config": {},
            "output": call["output"],
        }
    for effect in turn.effects:
        tool = tool_named(effect)
        if tool is not None:
            asked = times.effects.get((turn.place, effect.index), span)
            yield _tool_event(f"{id_}-{effect.index}", tool, effect, times.started_us, asked) | common
    if isinstance(turn, ParkRecord):
        for question in turn.questions:
            told = {"number": question.id, "question": question_text(question.request)}
            source = "asks people, and waits" if question.kind == ASK else f"waits for a {question.kind}"
            yield _info(source, told, end) | common
    elif turn.failure is not None:
        yield _info("failed", str(turn.failure.kind), end) | common
    elif turn.output is not None:
        for sent in turn.output.send:
            yield _info(f"message to {sent.to}{_with(sent.attach)}", str(sent.body), end) | common
        for record in turn.output.record:
            value = str(record.value) if isinstance(record.value, str) else record.value
            yield _info(f"recorded {record.name}", value, end) | common
        for line in turn.output.log:
            yield _info(f"log, {line.level}", str(line.text), end) | common
    yield {**common, "event": "span_end", "id": id_, "timestamp": end}


def _tool_event(id_: str, tool: str, effect: EffectRecord, started_us: int, span: Span) -> JsonObject:
    """The call of a tool. A reply that was taken out of the journal, or is an error, is the result as it stands."""
    withheld = type(effect.request) is Withheld or type(effect.reply) is Withheld
    args = {} if withheld else decode(effect.request).get("args", {})
    reply = None if withheld else decode(effect.reply)
    error = reply.get("error") if isinstance(reply, dict) else None
    return {
        "event": "tool",
        "type": "function",
        "id": id_,
        "function": tool,
        "arguments": args,
        "result": str(effect.reply),
        "error": None
        if not isinstance(error, dict)
        else {"type": "unknown", "message": f"{error.get('kind')}: {error.get('message')}"},
        "events": [],
        "timestamp": moment(started_us + span.start_us),
        "completed": moment(started_us + span.start_us + span.duration_us),
        "working_time": span.duration_us / 1e6,
    }


def _with(attach: str | None) -> str:
    return "" if attach is None else f", with content {attach}"


def _info(source: str, data: object, at: str) -> JsonObject:
    return {"event": "info", "source": source, "data": data, "timestamp": at}
