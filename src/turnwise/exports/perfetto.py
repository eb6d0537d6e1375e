"""A trace for Perfetto or Chrome: a track for each agent, flows of messages, waves and answers of models, commits.

The format is Chrome's JSON trace events, which https://ui.perfetto.dev opens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from turnwise.core.plan_json import plan_from_json
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
    for moment in moments(journal, plan):
        origin = moment.started_us if origin is None else origin
        yield from _turns(moment, origin, unread, content=content)
        yield from _effects(moment, origin, models)
        yield from _waves(moment, origin, models)
        if moment.times is not None and moment.times.commit is not None:
            commit = moment.times.commit
            at = moment.started_us + commit.start_us - origin
            yield _event(f"commit {moment.record.round}", "commit", WRITING, 0, at, commit.duration_us)


def _named(what: str, process: int, thread: int | None, name: str) -> dict[str, Any]:
    event: dict[str, Any] = {"ph": "M", "name": what, "pid": process, "args": {"name": name}}
    return event if thread is None else event | {"tid": thread}


def _event(name: str, kind: str, process: int, thread: int, at: int, duration: int, **args: object) -> dict[str, Any]:
    return {
        "ph": "X", "name": name, "cat": kind, "pid": process, "tid": thread, "ts": at, "dur": max(duration, 1),
        "args": args,
    }  # fmt: skip


def _turns(moment: RoundMoments, origin: int, unread: dict[int, int], *, content: bool) -> Iterator[dict[str, Any]]:
    """Turns, and the flows of messages: `unread` counts the readers that a message still has."""
    record = moment.record
    begins: dict[int, int] = {}
    ends: dict[int | None, int] = {None: moment.started_us - origin}
    for turn in record.turns:
        span = moment.turn(turn.place)
        at = begins[turn.place] = span.start_us - origin
        ends[turn.place] = at + max(span.duration_us, 1)
        args: dict[str, object] = {"turn": turn.turn, "fuel": turn.fuel, "executions": turn.executions}
        if turn.failure is not None:
            args["failure"] = str(turn.failure.kind)
        if content and turn.output is not None:
            args["state"] = turn.output.state[:TEXT_CHARS_MAX]
        yield _event(f"round {record.round}", "turn", AGENTS, turn.place, at, span.duration_us, **args)
    for message in record.inputs:
        unread[message.seq] = len(message.recipients)
    for turn in record.turns:
        for seq in turn.inbox:
            if seq in unread:
                flow = {"ph": "f", "bp": "e", "id": seq, "name": "message", "cat": "message"}
                yield flow | {"pid": AGENTS, "tid": turn.place, "ts": begins[turn.place]}
                unread[seq] -= 1
                if unread[seq] <= 0:
                    del unread[seq]
    for message in record.messages:
        if message.recipients and message.sender is not None:
            unread[message.seq] = len(message.recipients)
            args = {"seq": message.seq, "to": message.to}
            if content:
                args["body"] = message.body[:TEXT_CHARS_MAX]
            flow = {"ph": "s", "id": message.seq, "name": "message", "cat": "message", "args": args}
            yield flow | {"pid": AGENTS, "tid": message.sender, "ts": ends[message.sender] - 1}


def _effects(moment: RoundMoments, origin: int, models: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Effects as asynchronous events, since many overlap on the track of one model."""
    for turn in moment.record.turns:
        for effect in turn.effects:
            span = moment.effect(turn.place, effect.index)
            common = {
                "name": effect.kind, "cat": "effect", "id": f"{moment.record.round}.{turn.place}.{effect.index}",
                "pid": MODELS, "tid": models.get(effect.model or "", len(models)),
            }  # fmt: skip
            yield common | {"ph": "b", "ts": span.start_us - origin, "args": {"place": turn.place}}
            yield common | {"ph": "e", "ts": span.start_us - origin + max(span.duration_us, 1)}


def _waves(moment: RoundMoments, origin: int, models: dict[str, int]) -> Iterator[dict[str, Any]]:
    for wave in moment.record.waves:
        span = None if moment.times is None else moment.times.waves.get(wave.wave)
        if span is not None:
            at = moment.started_us + span.start_us - origin
            track, requests = models.get(wave.model, len(models)), len(wave.requests)
            yield _event(f"wave {wave.wave}", "wave", MODELS, track, at, span.duration_us, requests=requests)
