"""A told turn, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from turnwise.cli.difference import changes
from turnwise.cli.journal_turns import RoundInContext, TurnInContext
from turnwise.cli.logs import LogChoice, is_shown
from turnwise.cli.output import Output, Part, Style, Styled, bold, dim, red, yellow
from turnwise.cli.text import count, shorten
from turnwise.core.calling import CALL
from turnwise.core.sampling import SAMPLING, call_of_nested, is_nested
from turnwise.visible_text import visible

if TYPE_CHECKING:
    from turnwise.core.records import EffectRecord, MessageRecord, WaveRecord
    from turnwise.journal import RoundTimes, Span

NAME_COLUMNS = 10
INDENT = 4
BODY_CHARS_MAX = 200
FAILURE_CHARS_MAX = 4_000
PRINTED_CHARS_MAX = 2_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STARTED_US_MAX = 253_402_300_799_000_000  # the end of the year 9999
LEVEL_STYLES: dict[str, Style] = {"debug": "dim", "info": "cyan", "warning": "yellow", "error": "red"}
_SIGNS: dict[str, Style] = {"+": "green", "-": "red", "~": "yellow"}

NameOf = Callable[[int | None], str]


# -- for people ------------------------------------------------------------------------------------------------------


def show_round(told: RoundInContext, name_of: NameOf, output: Output, *, fuel: bool = True) -> None:
    """Write one round, and a blank line after it. Without `fuel`, nothing that may differ between equal runs."""
    times = told.times
    output.line(bold(f"round {told.round}"), dim(_round_times(times)) if times is not None else "")
    for message in told.inputs:
        _row("input", f"to {message.to}: {_body(message)}", output, _dead(message), indent=2)
    for change in told.changes:
        _row("changed", shorten(change, BODY_CHARS_MAX), output, indent=2)
    for number, answer in told.answers:
        _row("answer", f"to question {number}: {shorten(answer, BODY_CHARS_MAX)}", output, indent=2)
    for turn in told.turns:
        show_turn(turn, name_of, output, times, fuel=fuel)
    for agent, number, text in told.waits:
        _row("waits", f"{agent}, for an answer to question {number}: {shorten(text, BODY_CHARS_MAX)}", output, indent=2)
    for wave in told.waves:
        _wave(wave, output, times)
    if told.stopped:
        _row("stopped", ", ".join(told.stopped), output, indent=2)
    output.line()


def _round_times(times: RoundTimes) -> str:
    began = (EPOCH + timedelta(microseconds=min(times.started_us, STARTED_US_MAX))).isoformat(" ", "milliseconds")
    committed = "" if times.commit is None else f", commit {_time(times.commit)}"
    return f"  {began.removesuffix('+00:00')} UTC, {milliseconds(times.duration_us)}{committed}"


def _time(span: Span | None) -> str:
    return "" if span is None else milliseconds(span.duration_us)


def milliseconds(us: int) -> str:
    """Return a duration as one reads it."""
    return f"{us / 1000:,.{1 if us < 100_000 else 0}f} ms"


def _wave(wave: WaveRecord, output: Output, times: RoundTimes | None) -> None:
    """Write a wave: requests that a model answered together."""
    agents = len({place for place, _ in wave.requests})
    text = f"{wave.model} answered {count(len(wave.requests), 'request')} of {count(agents, 'agent')} together"
    span = times.waves.get(wave.wave) if times is not None else None
    _row(f"wave {wave.wave}", text, output, dim(f"  {_time(span)}"), indent=2)


def show_logs(told: RoundInContext, least: LogChoice, output: Output) -> None:
    """Write what agents logged in one round from the level `least` on, each with its round and agent."""
    for turn in told.turns:
        out = turn.turn.output
        for log in out.log if out is not None else ():
            if is_shown(log.level, least):
                text = shorten(log.text, BODY_CHARS_MAX)
                label = f"round {told.round}  {turn.agent}  {log.level}: "
                output.row(Styled(label, LEVEL_STYLES[log.level]), text)


def show_turn(
    told: TurnInContext, name_of: NameOf, output: Output, times: RoundTimes | None = None, *, fuel: bool = True
) -> None:
    """Write one turn: what it had, what it did, and what it left."""
    turn = told.turn
    facts = f"  turn {turn.turn}"
    if fuel:
        facts += f", fuel {turn.fuel:,}"
    if fuel and turn.executions > 1:
        facts += f", {turn.executions} executions"
    spans = {} if times is None else times.effects
    if times is not None and turn.place in times.turns:
        facts += f", {_time(times.turns[turn.place])}"
    output.line(Styled(told.agent, "cyan"), dim(facts), red("  failed") if turn.failure else "", indent=2)
    for message in told.inbox:
        _row("read", f"{name_of(message.sender)}: {_body(message)}", output)
    for effect in sorted(turn.effects, key=lambda effect: (call_of_nested(effect.index), effect.index)):
        if effect.kind == SAMPLING and is_nested(effect.index):
            _row("", f"its server asks models, for call {call_of_nested(effect.index)}", output)
        else:
            _effect(effect, output, spans.get((turn.place, effect.index)))
    if turn.stdout:
        output.block(
            shorten(turn.stdout.rstrip("\n"), PRINTED_CHARS_MAX),
            indent=INDENT,
            first=dim("printed".ljust(NAME_COLUMNS)),
        )
    if turn.failure is not None:
        label = red("failed".ljust(NAME_COLUMNS))
        text = f"{turn.failure.kind}: {shorten(turn.failure.message, FAILURE_CHARS_MAX)}"
        output.block(text, indent=INDENT, first=label)
        return
    _output(told, output)
    for number, change in enumerate(changes(told.state_before, turn.output.state if turn.output else "")):
        label = dim(("state" if number == 0 else "").ljust(NAME_COLUMNS))
        output.block(visible(f"{change.sign} {change}"), indent=INDENT, first=label, style=_SIGNS[change.sign])


def _output(told: TurnInContext, output: Output) -> None:
    out = told.turn.output
    if out is None:
        return
    for log in out.log:
        _row("log", f"{log.level}: {shorten(log.text, BODY_CHARS_MAX)}", output)
    for record in out.record:
        _row("record", f"{record.name} = {shorten(str(record.value), BODY_CHARS_MAX)}", output)
    for message in told.sent:
        _row("sent", f"to {message.to}: {_body(message)}", output, _dead(message))
    if out.wake_in is not None:
        _row("wakes in", count(out.wake_in, "round"), output)
    for child in told.spawned:
        _row("spawned", f"{child.name} ({child.kind}), args {shorten(child.args, BODY_CHARS_MAX)}", output)
    for name in out.stop:
        _row("stopped", name, output)
    if out.finish is not None:
        _row("finished", shorten(out.finish, BODY_CHARS_MAX), output)


def _effect(effect: EffectRecord, output: Output, span: Span | None = None) -> None:
    request, reply = parsed(effect.request), parsed(effect.reply)
    if effect.kind == CALL and isinstance(request, dict):
        args = json.dumps(request.get("args", {}), ensure_ascii=False)
        asked = shorten(f"{request.get('tool')} {args}", BODY_CHARS_MAX)
        _row("calls", asked, output, dim(f"  {_time(span)}"))
    else:
        asked = _asked(request) if isinstance(request, dict) else shorten(effect.request, BODY_CHARS_MAX)
        _row("asked", f"{effect.model or effect.kind}: {asked}", output, dim(f"  {_time(span)}"))
    if effect.kind == CALL and isinstance(reply, dict) and isinstance(ok := reply.get("ok"), dict):
        _row("result", _quoted(str(ok.get("text"))), output)
    elif isinstance(reply, dict) and isinstance(ok := reply.get("ok"), dict) and isinstance(ok.get("text"), str):
        tokens = f"  ({count(int(ok.get('tokens') or 0), 'token')}, {ok.get('finish')})"
        said = ok.get("said", ok["text"])
        _row("answer", _quoted(said if isinstance(said, str) else ok["text"]), output, dim(tokens))
        for call in calls if isinstance(calls := ok.get("calls"), list) else ():
            if isinstance(call, dict):
                args = json.dumps(call.get("args"), ensure_ascii=False)
                _row("calls", shorten(f"{call.get('tool')} {args}", BODY_CHARS_MAX), output)
    elif isinstance(reply, dict) and isinstance(error := reply.get("error"), dict):
        text = f"{error.get('kind')}: {shorten(str(error.get('message')), BODY_CHARS_MAX)}"
        _row("refused", text, output, style="yellow")
    else:
        _row("answer", shorten(effect.reply, BODY_CHARS_MAX), output)


def _asked(request: dict[str, Any]) -> str:
    """The prompt, or the last of the messages, and the options that are not told by it."""
    options = {key: value for key, value in request.items() if key not in ("effect", "model", "prompt", "messages")}
    if isinstance(tools := options.get("tools"), list):
        options["tools"] = [tool.get("name") if isinstance(tool, dict) else tool for tool in tools]
    text = request.get("prompt")
    messages = request.get("messages")
    if not isinstance(text, str) and isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        text = f"{messages[-1].get('role')}: {messages[-1].get('content')}"
        options["messages"] = len(messages)
    said = ", ".join(f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in options.items())
    return f"{_quoted(str(text))}  ({shorten(said, BODY_CHARS_MAX)})"


def _quoted(text: str) -> str:
    return json.dumps(shorten(text, BODY_CHARS_MAX), ensure_ascii=False)


def _body(message: MessageRecord) -> str:
    return shorten(message.body, BODY_CHARS_MAX)


def _dead(message: MessageRecord) -> Part:
    return yellow("  (dead letter: nobody has it)") if not message.recipients else ""


def _row(
    name: str, text: str, output: Output, more: Part = "", *, indent: int = INDENT, style: Style | None = None
) -> None:
    label = name.ljust(NAME_COLUMNS)
    output.row(Styled(label, style) if style else dim(label), text, more, indent=indent)


# -- as JSON ---------------------------------------------------------------------------------------------------------


def round_json(told: RoundInContext, name_of: NameOf, *, fuel: bool = True) -> dict[str, object]:
    """Return one round, complete."""
    return {
        "round": told.round,
        "inputs": [_message_json(message, name_of) for message in told.inputs],
        "changes": list(told.changes),
        "turns": [turn_json(turn, name_of, fuel=fuel) for turn in told.turns],
        "answers": [{"question": number, "answer": answer} for number, answer in told.answers],
        "waits": [{"agent": agent, "question": number, "text": text} for agent, number, text in told.waits],
        "stopped": list(told.stopped),
        **({} if told.times is None else {"times": _times_json(told.times, name_of)}),
        "waves": [
            {
                "wave": wave.wave,
                "model": wave.model,
                "requests": [{"agent": name_of(place), "index": index} for place, index in wave.requests],
                "plan": parsed(wave.plan),
            }
            for wave in told.waves
        ],
    }


def _times_json(times: RoundTimes, name_of: NameOf) -> dict[str, object]:
    return {
        "started_us": times.started_us,
        "duration_us": times.duration_us,
        "commit": None if times.commit is None else _span_json(times.commit),
        "turns": [{"agent": name_of(place), **_span_json(span)} for place, span in times.turns.items()],
        "effects": [
            {"agent": name_of(place), "index": index, **_span_json(span)}
            for (place, index), span in times.effects.items()
        ],
        "waves": [{"wave": wave, **_span_json(span)} for wave, span in times.waves.items()],
    }


def _span_json(span: Span) -> dict[str, object]:
    return {"start_us": span.start_us, "duration_us": span.duration_us}


def turn_json(told: TurnInContext, name_of: NameOf, *, fuel: bool = True) -> dict[str, object]:
    """Return one turn, complete. States are text, as the agent left them; requests and replies are objects."""
    turn, out = told.turn, told.turn.output
    return {
        "agent": told.agent,
        "kind": told.kind,
        "turn": turn.turn,
        **({"fuel": turn.fuel, "executions": turn.executions} if fuel else {}),
        "inbox": [_message_json(message, name_of) for message in told.inbox],
        "effects": [
            {
                "index": effect.index,
                "kind": effect.kind,
                "model": effect.model,
                "request": parsed(effect.request),
                "reply": parsed(effect.reply),
            }
            for effect in turn.effects
        ],
        "failure": None if turn.failure is None else {"class": turn.failure.kind, "message": turn.failure.message},
        "stdout": turn.stdout,
        "logs": [{"level": log.level, "text": log.text} for log in out.log] if out else [],
        "records": [{"name": record.name, "value": record.value} for record in out.record] if out else [],
        "sent": [_message_json(message, name_of) for message in told.sent],
        "wake_in": out.wake_in if out else None,
        "spawned": [{"agent": agent.name, "kind": agent.kind, "args": parsed(agent.args)} for agent in told.spawned],
        "stop": list(out.stop) if out else [],
        "finish": None if out is None or out.finish is None else parsed(out.finish),
        "state_before": told.state_before,
        "state_after": told.state_before if out is None else out.state,
    }


def _message_json(message: MessageRecord, name_of: NameOf) -> dict[str, object]:
    recipients: Sequence[int] = message.recipients
    return {
        "seq": message.seq,
        "round": message.round,
        "from": name_of(message.sender),
        "to": message.to,
        "body": message.body,
        "recipients": len(recipients),
    }


def parsed(text: str) -> Any:
    """JSON text as its value; as the text itself where Python's own bounds forbid it (a number of 5,000 digits)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
