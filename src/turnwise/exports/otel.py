"""OpenTelemetry spans as a file of OTLP/JSON lines: a run, its turns, and what they asked of models and people.

A turn that waits for people has a span for each round in which it moved; the span of a question goes from the moment
in which it was asked to that in which the turn went on with the answer.

Names and attributes are those of the semantic conventions for generative AI, in the version of `SCHEMA`; `ATTRIBUTES`
is the one table of them. Ids follow from the head, so the same run always has the same trace. Texts are left out unless
they are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final

from turnwise._version import __version__
from turnwise.core.calling import CALL, tool_named
from turnwise.core.plan_json import plan_from_json
from turnwise.core.question import ASK, is_overdue_reply, question_text
from turnwise.core.records import EffectRecord, ParkRecord, TurnRecord
from turnwise.exports.moments import RoundMoments, moments
from turnwise.journal import Journal
from turnwise.journal.file.times import Span
from turnwise.journal.run import Run

SCHEMA: Final = "https://opentelemetry.io/schemas/1.37.0"

ATTRIBUTES: Final = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "agent": "gen_ai.agent.name",
    "agent_id": "gen_ai.agent.id",
    "conversation": "gen_ai.conversation.id",
    "model": "gen_ai.request.model",
    "tokens_max": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "finish": "gen_ai.response.finish_reasons",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "tokens": "gen_ai.usage.output_tokens",
    "input": "gen_ai.input.messages",
    "output": "gen_ai.output.messages",
    "tool": "gen_ai.tool.name",
    "error": "error.type",
}
"""Attributes of the conventions, by what they hold here; ours begin with `turnwise.`."""

OPERATIONS: Final = {"generate": "chat", "embed": "embeddings", CALL: "execute_tool"}
"""Operations of the conventions, by kind of effect; other kinds keep their name."""

SPANS_A_LINE: Final = 1_000

_INTERNAL, _CLIENT = 1, 3
_ERROR = 2


def write_otel(journal: Journal, run: Run, out: Path, *, content: bool = False) -> None:
    """Write the spans of a run to a new file: each line is an `ExportTraceServiceRequest`, as OTLP files have them."""
    with out.open("x", encoding="utf-8") as file:
        batch: list[dict[str, Any]] = []
        for span in spans(journal, run, content=content):
            batch.append(span)
            if len(batch) == SPANS_A_LINE:
                file.write(_line(run, batch))
                batch = []
        if batch:
            file.write(_line(run, batch))


def spans(journal: Journal, run: Run, *, content: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the spans of a run: turns with their effects in order, the run itself last."""
    plan = plan_from_json(journal.header.plan)
    names = [agent.name for agent in journal.queries.agents()]
    ids, rounds = SpanIds(run.head), RoundSpans()
    first: int | None = None
    last = plan.time_start_us
    for moment in moments(journal, plan):
        first = moment.started_us if first is None else first
        last = max(last, moment.started_us + moment.duration_us)
        yield from rounds.of(ids, moment, names, content=content)
    attributes = {
        "turnwise.world": run.world_name,
        "turnwise.seed": str(run.seed),
        "turnwise.head": run.head,
        "turnwise.status": run.status,
    }
    begin = plan.time_start_us if first is None else first
    span = _span(ids, ids.root, None, f"run {run.world_name}", _INTERNAL, Span(begin, last - begin), attributes)
    yield span | ({"status": {"code": _ERROR}} if run.status == "failed" else {})


class SpanIds:
    """Ids of a trace and its spans, which follow from a digest (hex), the round, the agent and the effect."""

    def __init__(self, digest: str, conversation: str | None = None) -> None:
        """`conversation` names what several traces belong to; None: the trace itself."""
        self.trace = digest[:32]
        self.conversation = self.trace if conversation is None else conversation
        self._digest = digest
        self.root = self._of("run")

    def turn(self, round_: int, agent: str) -> str:
        """Return the id of a turn."""
        return self._of("turn", str(round_), agent)

    def effect(self, round_: int, agent: str, index: int) -> str:
        """Return the id of an effect."""
        return self._of("effect", str(round_), agent, str(index))

    def _of(self, *parts: str) -> str:
        return sha256("\n".join((self._digest, *parts)).encode()).hexdigest()[:16]


class RoundSpans:
    """Spans of rounds, one after the other, and what later ones refer to: senders of messages, times of questions."""

    def __init__(self, remembered_max: int | None = None) -> None:
        """`remembered_max` bounds the messages, attachments and questions that are remembered; None: all are."""
        self._remembered_max = remembered_max
        self._sent: dict[int, tuple[str, str]] = {}
        self._attached: dict[int, str] = {}
        self._asked: dict[tuple[int, int], int] = {}

    def of(
        self, ids: SpanIds, moment: RoundMoments, names: Sequence[str], *, content: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield the spans of a round: turns, each with its effects."""
        record, attached, asked = moment.record, self._attached, self._asked
        attached |= {one.seq: one.attach for one in record.inputs if one.attach is not None}
        for part in record.parts:
            yield _turn_span(ids, moment, part, names[part.place], self._sent, attached)
            for effect in part.effects:
                at = asked.pop((part.place, effect.index), None)
                yield _effect_span(ids, moment, part.place, effect, names[part.place], at, content=content)
            if isinstance(part, ParkRecord):
                ended = sum(moment.turn(part.place))
                for question in part.questions:  # a call that is approved, and whose server then asks, has several
                    asked.setdefault((part.place, question.index), ended)
        attached |= {one.seq: one.attach for one in record.messages if one.attach is not None}
        for message in record.messages:
            if message.sender is not None:
                self._sent[message.seq] = ids.trace, ids.turn(record.round, names[message.sender])
        for table in (self._sent, attached, asked):
            _forget(table, self._remembered_max)


def _forget(table: dict[Any, Any], remembered_max: int | None) -> None:
    """Take the oldest entries out of a table that has more than it may."""
    if remembered_max is not None and len(table) > remembered_max:
        for key in list(islice(table, len(table) - remembered_max)):
            del table[key]


def round_span(ids: SpanIds, moment: RoundMoments) -> dict[str, Any]:
    """Return the span of a round, which is the root of those of its turns where each round is a trace."""
    record = moment.record
    attributes = {
        ATTRIBUTES["conversation"]: ids.conversation,
        "turnwise.round": record.round,
        "turnwise.turns": len(record.turns),
        "turnwise.head": record.head.hex(),
        "turnwise.clock": "virtual" if moment.times is None else "wall",
    }
    span = Span(moment.started_us, moment.duration_us)
    return _span(ids, ids.root, None, f"round {record.round}", _INTERNAL, span, attributes)


def _turn_span(
    ids: SpanIds,
    moment: RoundMoments,
    turn: TurnRecord | ParkRecord,
    agent: str,
    sent: dict[int, tuple[str, str]],
    attached: dict[int, str],
) -> dict[str, Any]:
    round_ = moment.record.round
    failure = turn.failure if isinstance(turn, TurnRecord) else None
    attributes: dict[str, object] = {
        ATTRIBUTES["operation"]: "invoke_agent",
        ATTRIBUTES["provider"]: "turnwise",
        ATTRIBUTES["agent"]: agent,
        ATTRIBUTES["agent_id"]: str(turn.place),
        ATTRIBUTES["conversation"]: ids.conversation,
        "turnwise.round": round_,
        "turnwise.turn": turn.turn,
        "turnwise.fuel": turn.fuel,
        "turnwise.clock": "virtual" if moment.times is None else "wall",
    }
    if isinstance(turn, ParkRecord):
        attributes["turnwise.waits"] = True
        attributes["turnwise.questions"] = [question.id for question in turn.questions]
    read = [attached[seq] for seq in turn.inbox if seq in attached]
    given = (
        [one.attach for one in moment.record.messages if one.sender == turn.place and one.attach is not None]
        if isinstance(turn, TurnRecord)
        else []
    )
    contents = {"turnwise.contents.read": read, "turnwise.contents.sent": given}
    attributes |= {name: handles for name, handles in contents.items() if handles}
    if failure is not None:
        attributes[ATTRIBUTES["error"]] = str(failure.kind)
    span = _span(
        ids, ids.turn(round_, agent), ids.root, f"invoke_agent {agent}", _INTERNAL, moment.turn(turn.place), attributes
    )
    links = dict.fromkeys(sent[seq] for seq in turn.inbox if seq in sent)
    if links:
        span["links"] = [{"traceId": trace, "spanId": link} for trace, link in links]
    return span | ({"status": {"code": _ERROR}} if failure is not None else {})


def _effect_span(
    ids: SpanIds,
    moment: RoundMoments,
    place: int,
    effect: EffectRecord,
    agent: str,
    asked_us: int | None,
    *,
    content: bool,
) -> dict[str, Any]:
    """The span of an effect. A question was asked in a round before, at `asked_us`."""
    round_ = moment.record.round
    request, reply = _object(effect.request), _object(effect.reply)
    found = reply.get("ok")
    ok: dict[str, Any] = found if isinstance(found, dict) else {}
    operation = OPERATIONS.get(effect.kind, effect.kind)
    attributes: dict[str, object] = {
        ATTRIBUTES["operation"]: operation,
        ATTRIBUTES["provider"]: "turnwise",
        ATTRIBUTES["agent"]: agent,
        "turnwise.round": round_,
        "turnwise.effect": effect.index,
    }
    if effect.model is not None:
        attributes[ATTRIBUTES["model"]] = effect.model
    tool = tool_named(effect)
    if tool is not None:
        attributes[ATTRIBUTES["tool"]] = tool
    if isinstance(request.get("tokens_max"), int):
        attributes[ATTRIBUTES["tokens_max"]] = request["tokens_max"]
    for name in ("temperature", "top_p", "top_k"):  # doubles, all of them, in the conventions
        if isinstance(request.get(name), int | float):
            attributes[ATTRIBUTES[name]] = float(request[name])
    for name in ("prompt_tokens", "tokens"):
        if isinstance(ok.get(name), int):
            attributes[ATTRIBUTES[name]] = ok[name]
    if isinstance(ok.get("finish"), str):
        attributes[ATTRIBUTES["finish"]] = [ok["finish"]]
    error = reply.get("error")
    if error is not None:
        attributes[ATTRIBUTES["error"]] = str(error.get("kind")) if isinstance(error, dict) else "error"
    if content and effect.kind == "generate":
        attributes[ATTRIBUTES["input"]] = json.dumps(_said(request), ensure_ascii=False)
        if isinstance(ok.get("text"), str):
            said = {"type": "text", "content": str(ok.get("said", ok["text"]))}
            part = {"role": "assistant", "parts": [said, *_calls(ok.get("calls"))]}
            answer = part | {"finish_reason": str(ok.get("finish"))}
            attributes[ATTRIBUTES["output"]] = json.dumps([answer], ensure_ascii=False)
    if effect.kind == ASK and is_overdue_reply(effect.reply):
        attributes["turnwise.default"] = True
    if content and effect.kind == ASK:
        attributes["turnwise.question"] = question_text(effect.request)
        attributes["turnwise.answer"] = str(effect.reply)
    name = " ".join(part for part in (operation, effect.model, tool) if part is not None)
    parent = ids.turn(round_, agent)
    took = moment.effect(place, effect.index)
    if asked_us is not None:
        begin = min(asked_us, moment.turn(place).start_us)  # clocks can be set back between two rounds
        took = Span(begin, moment.turn(place).start_us - begin)
    span = _span(ids, ids.effect(round_, agent, effect.index), parent, name, _CLIENT, took, attributes)
    return span | ({"status": {"code": _ERROR}} if error is not None else {})


def _calls(calls: object) -> list[dict[str, Any]]:
    return [
        {"type": "tool_call", "id": None, "name": str(call.get("tool")), "arguments": call.get("args")}
        for call in (calls if isinstance(calls, list) else ())
        if isinstance(call, dict)
    ]


def _said(request: dict[str, Any]) -> list[dict[str, Any]]:
    messages = request.get("messages")
    if not isinstance(messages, list):
        messages = [{"role": "user", "content": request.get("prompt", "")}]
    return [
        {"role": str(one.get("role")), "parts": [{"type": "text", "content": str(one.get("content"))}]}
        for one in messages
        if isinstance(one, dict)
    ]


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}


def _span(
    ids: SpanIds, id_: str, parent: str | None, name: str, kind: int, span: Span, attributes: dict[str, Any]
) -> dict[str, Any]:
    found = {
        "traceId": ids.trace,
        "spanId": id_,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(span.start_us * 1000),
        "endTimeUnixNano": str((span.start_us + span.duration_us) * 1000),
        "attributes": [{"key": key, "value": _value(value)} for key, value in attributes.items()],
    }
    return found if parent is None else found | {"parentSpanId": parent}


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}


def _line(run: Run, batch: list[dict[str, Any]]) -> str:
    resource = {"service.name": "turnwise", "service.version": __version__, "turnwise.head": run.head}
    scope = {"name": "turnwise", "version": __version__}
    value = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": key, "value": _value(text)} for key, text in resource.items()]},
                "schemaUrl": SCHEMA,
                "scopeSpans": [{"scope": scope, "schemaUrl": SCHEMA, "spans": batch}],
            }
        ]
    }
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
