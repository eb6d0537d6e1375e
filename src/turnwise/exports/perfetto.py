"""A trace for Perfetto or Chrome: a track for each agent, flows of messages, waves and answers of models, commits.

A turn that waits for people has an event for each round in which it moved, and each question one that goes from its
asking to its answer.

The format is Chrome's JSON trace events, which https://ui.perfetto.dev opens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from turnwise.core.calling import tool_named
from turnwise.core.plan_json import plan_from_json
from turnwise.core.question import ASK, is_overdue_reply, question_text
from turnwise.core.records import ParkRecord
from turnwise.exports.moments import RoundMoments, moments
from turnwise.journal import Journal

AGENTS: Final = 1
MODELS: Final = 2
WRITING: Final = 3

TEXT_CHARS_MAX: Final = 200
"""Characters of a text that a trace shows."""


def write_perfetto(journal: Journal, out: Path, *, content: bool = False) -> None:
    """Write the trace of a run to a new file; with `content`, beginnings of texts, too."""
    with out.open("x", encoding="utf-8") as file:
        file.write('{"displayTimeUnit":"ms","traceEvents":[\n')
        for number, event in enumerate(trace_events(journal, content=content)):
            file.write((",\n" if number else "") + json.dumps(event, ensure_ascii=False))
        file.write("\n]}\n")


def trace_events(journal: Journal, *, content: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the events of a trace. Times are microseconds from the beginning of the first round."""
    plan = plan_from_json(journal.header.plan)
    names = [agent.name for agent in journal.queries.agents()]
    models = {name: number for number, (name, _) in enumerate(plan.models)}
    yield _named("process_name", AGENTS, None, f"agents of {plan.name}")
    for place, name in enumerate(names):
        yield _named("thread_name", AGENTS, place, name)
    if models:
        yield _named("process_name", MODELS, None, "models")
        for name, number in models.items():
            yield _named("thread_name", MODELS, number, name)
    yield _named("process_name", WRITING, None, "journal")
    origin: int | None = None
    unread: dict[int, int] = {}
    waiting = _QuestionEvents(content=content)
    end = 0
    for moment in moments(journal, plan):
        origin = moment.started_us if origin is None else origin
        end = moment.started_us + moment.duration_us - origin
        yield from waiting.answered(moment, origin)
        yield from _turns(moment, origin, unread, waiting.begun, content=content)
        yield from waiting.asked(moment, origin)
        yield from _effects(moment, origin, models)
        yield from _waves(moment, origin, models)
        if moment.times is not None and moment.times.commit is not None:
            commit = moment.times.commit
            at = moment.started_us + commit.start_us - origin
            yield _event(f"commit {moment.record.round}", "commit", WRITING, 0, at, commit.duration_us)
    yield from waiting.unanswered(end)


def _named(what: str, process: int, thread: int | None, name: str) -> dict[str, Any]:
    event: dict[str, Any] = {"ph": "M", "name": what, "pid": process, "args": {"name": name}}
    return event if thread is None else event | {"tid": thread}


def _event(name: str, kind: str, process: int, thread: int, at: int, duration: int, **args: object) -> dict[str, Any]:
    return {
        "ph": "X", "name": name, "cat": kind, "pid": process, "tid": thread, "ts": at, "dur": max(duration, 1),
        "args": args,
    }  # fmt: skip


class _QuestionEvents:
    """Questions that wait, and the turns that do: what was asked in one moment ends in another."""

    def __init__(self, *, content: bool) -> None:
        self._content = content
        self._open: dict[tuple[int, int], dict[str, Any]] = {}
        self.begun: dict[int, int] = {}
        """Number of the turn that waits, by place: it has read its messages."""

    def asked(self, moment: RoundMoments, origin: int) -> Iterator[dict[str, Any]]:
        """Yield the beginnings of the questions of a round."""
        for park in moment.record.parks:
            self.begun[park.place] = park.turn
            span = moment.turn(park.place)
            for question in park.questions:
                args: dict[str, object] = {"question": question.id}
                if question.deadline is not None:
                    args["deadline"] = question.deadline
                if self._content:
                    args["text"] = question_text(question.request)[:TEXT_CHARS_MAX]
                event = {
                    "name": f"{question.kind} {question.id}", "cat": "question", "id": f"question {question.id}",
                    "pid": AGENTS, "tid": park.place,
                }  # fmt: skip
                at = span.start_us - origin + max(span.duration_us, 1)
                before = self._open.get((park.place, question.index))
                if before is not None:  # a call that is approved, and whose server then asks, has several
                    yield before | {"ph": "e", "ts": span.start_us - origin, "args": {}}
                self._open[(park.place, question.index)] = event
                yield event | {"ph": "b", "ts": at, "args": args}

    def answered(self, moment: RoundMoments, origin: int) -> Iterator[dict[str, Any]]:
        """Yield the ends of the questions with whose replies a turn goes on in a round, by default or not."""
        for part in moment.record.parts:
            for effect in part.effects:
                event = self._open.pop((part.place, effect.index), None)
                if event is not None:
                    args: dict[str, object] = {"default": effect.kind == ASK and is_overdue_reply(effect.reply)}
                    if self._content:
                        args["answer"] = effect.reply[:TEXT_CHARS_MAX]
                    yield event | {"ph": "e", "ts": moment.turn(part.place).start_us - origin, "args": args}
        for turn in moment.record.turns:
            for key in [key for key in self._open if key[0] == turn.place]:
                del self._open[key]  # the turn was begun again: nobody can answer these any more

    def unanswered(self, end: int) -> Iterator[dict[str, Any]]:
        """Yield ends, at that of the trace, of the questions that wait."""
        for event in self._open.values():
            yield event | {"ph": "e", "ts": end, "args": {"waits": True}}


def _turns(
    moment: RoundMoments, origin: int, unread: dict[int, int], waiting: dict[int, int], *, content: bool
) -> Iterator[dict[str, Any]]:
    """Turns, parts of those that wait, and the flows of messages.

    `unread` counts the readers that a message still has; `waiting` has the turns, by place, that have read theirs in a
    round before.
    """
    record = moment.record
    begins: dict[int, int] = {}
    ends: dict[int | None, int] = {None: moment.started_us - origin}
    for part in record.parts:
        span = moment.turn(part.place)
        at = begins[part.place] = span.start_us - origin
        ends[part.place] = at + max(span.duration_us, 1)
        args: dict[str, object] = {"turn": part.turn, "fuel": part.fuel, "executions": part.executions}
        kind, name = "turn", f"round {record.round}"
        if isinstance(part, ParkRecord):
            kind, name = "park", f"{name}, waits"
            args["questions"] = [question.id for question in part.questions]
        else:
            if part.failure is not None:
                args["failure"] = str(part.failure.kind)
            if content and part.output is not None:
                args["state"] = part.output.state[:TEXT_CHARS_MAX]
        yield _event(name, kind, AGENTS, part.place, at, span.duration_us, **args)
    for message in record.inputs:
        unread[message.seq] = len(message.recipients)
    for part in record.parts:
        has_read = waiting.get(part.place) == part.turn
        if not isinstance(part, ParkRecord):
            waiting.pop(part.place, None)
        for seq in () if has_read else part.inbox:
            if seq in unread:
                flow = {"ph": "f", "bp": "e", "id": seq, "name": "message", "cat": "message"}
                yield flow | {"pid": AGENTS, "tid": part.place, "ts": begins[part.place]}
                unread[seq] -= 1
                if unread[seq] <= 0:
                    del unread[seq]
    for message in record.messages:
        if message.recipients and message.sender is not None:
            unread[message.seq] = len(message.recipients)
            args = {"seq": message.seq, "to": message.to}
            if message.attach is not None:
                args["attach"] = message.attach
            if content:
                args["body"] = message.body[:TEXT_CHARS_MAX]
            flow = {"ph": "s", "id": message.seq, "name": "message", "cat": "message", "args": args}
            yield flow | {"pid": AGENTS, "tid": message.sender, "ts": ends[message.sender] - 1}


def _effects(moment: RoundMoments, origin: int, models: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Effects as asynchronous events, since many overlap on the track of one model."""
    for place, effect in moment.record.effects():
        if effect.kind == ASK:
            continue  # it took longer than the round: it has an event from its asking to its answer
        span = moment.effect(place, effect.index)
        common = {
            "name": tool_named(effect) or effect.kind, "cat": "effect",
            "id": f"{moment.record.round}.{place}.{effect.index}",
            "pid": MODELS, "tid": models.get(effect.model or "", len(models)),
        }  # fmt: skip
        yield common | {"ph": "b", "ts": span.start_us - origin, "args": {"place": place}}
        yield common | {"ph": "e", "ts": span.start_us - origin + max(span.duration_us, 1)}


def _waves(moment: RoundMoments, origin: int, models: dict[str, int]) -> Iterator[dict[str, Any]]:
    for wave in moment.record.waves:
        span = None if moment.times is None else moment.times.waves.get(wave.wave)
        if span is not None:
            at = moment.started_us + span.start_us - origin
            track, requests = models.get(wave.model, len(models)), len(wave.requests)
            yield _event(f"wave {wave.wave}", "wave", MODELS, track, at, span.duration_us, requests=requests)
