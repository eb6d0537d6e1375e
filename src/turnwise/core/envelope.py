"""The ABI's envelope: JSON text in and out of a turn, the same for both carriers.

Everything that comes out of a sandbox passes through `decode_output` and `decode_needs`; whatever they do not accept
fails the turn with a reason. They depend on nothing but the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

from turnwise.core.canonical import canonical, in_order
from turnwise.core.contents import GET, PUT, BesideText, Content, Malformed, Piece, Reply, put_request
from turnwise.core.json_text import decode
from turnwise.core.plan import NAME_RULE, valid_name
from turnwise.core.turn import (
    LOG_LEVELS,
    Completed,
    EffectRequest,
    Failed,
    Failure,
    FailureClass,
    Log,
    Needs,
    Record,
    Send,
    Spawn,
    TurnOutput,
)

ABI = 1
NESTING_MAX = 64
NAME_LEN_MAX = 200
MODEL_EFFECTS = ("generate", "infer", "embed")
"""Effects that a model answers."""
EFFECT_KINDS = (*MODEL_EFFECTS, "run_python", "ask", PUT, GET, "call", "tools")
_ROUNDS_MAX = 2**31
BYTES_A_CHARACTER_MAX = 6
"""The most bytes that one character takes as JSON in UTF-8: `\\u001f`."""

quote: Callable[[str], str] = encode_basestring
"""A string as JSON text, other characters than ASCII kept."""


class _MalformedError(Exception):
    """An envelope that is not of the ABI's form; says why."""


# -- in ----------------------------------------------------------------------------------------------------------


def encode_mail(sender: str, round_: int, body: str, attach: str | None = None) -> bytes:
    """A message as it stands in the input of those who read it: sender's name, round in which it was sent, body.

    With an attachment, its handle follows.
    """
    if attach is not None:
        return f'{{"from":{quote(sender)},"round":{round_},"body":{quote(body)},"attach":{quote(attach)}}}'.encode()
    return f'{{"from":{quote(sender)},"round":{round_},"body":{quote(body)}}}'.encode()


def text_bytes(text: str) -> int:
    """The size of a text as it stands in a turn's input: as JSON, in UTF-8."""
    quoted = quote(text)
    return len(quoted) if quoted.isascii() else len(quoted.encode())


def within(texts: Iterable[str], bytes_max: int) -> bool:
    """Return whether texts take at most so many bytes as JSON, together. Costs next to nothing where that is plain."""
    texts = tuple(texts)
    if sum(map(len, texts)) * BYTES_A_CHARACTER_MAX + 2 * len(texts) <= bytes_max:
        return True
    return sum(map(text_bytes, texts)) <= bytes_max


def error_reply(kind: str, message: str) -> str:
    """Reply to an effect that cannot be answered."""
    return canonical({"error": {"kind": kind, "message": message}})


def join_replies(replies: Sequence[Reply], many: bool) -> Reply:
    """The reply to one call of `effect`: of one effect, or of several asked for at once."""
    texts = [reply for reply in replies if isinstance(reply, str)]
    if len(texts) == len(replies):
        return _joined(texts, many)
    if not many:
        return replies[0]
    parts: list[str | Piece] = ['{"results":[']
    for index, reply in enumerate(replies):
        if index:
            parts.append(",")
        parts += [reply] if isinstance(reply, str) else reply
    return (*parts, "]}")


def _joined(replies: Sequence[str], many: bool) -> str:
    return '{"results":[' + ",".join(replies) + "]}" if many else replies[0]


# -- out ---------------------------------------------------------------------------------------------------------


def decode_output(text: bytes | str, *, results_sorted: bool = False) -> Completed | Failed:
    """Decode what a turn returned. `results_sorted`: keys of the run's result are sorted, as plans of version 1 do."""
    try:
        return _output(_parse(text), results_sorted)
    except _MalformedError as error:
        return Failed(Failure(FailureClass.OUTPUT, f"the turn's output is not of the ABI's form: {error}"))


def decode_needs(text: bytes | str, content: Content = b"") -> Needs | Failed:
    """Decode what a turn asked for when it called `effect`; `content` is what came beside the text."""
    beside = BesideText(content)
    try:
        needs = _needs(_parse(text), beside)
        if beside.left:
            raise _MalformedError(f"{beside.left} bytes beside it belong to no request")
        return needs
    except _MalformedError as error:
        return Failed(Failure(FailureClass.OUTPUT, f"the effect request is not of the ABI's form: {error}"))


def _needs(request: dict[str, Any], beside: BesideText) -> Needs:
    if "effects" not in request:
        return Needs((_effect(request, "the request", beside),), many=False)
    _only(request, ("effects",), "the request")
    items = request["effects"]
    if not isinstance(items, list) or not items:
        raise _MalformedError("'effects' must be a list of at least one request")
    return Needs(tuple([_effect(item, f"effects[{i}]", beside) for i, item in enumerate(items)]), many=True)


def _parse(text: bytes | str) -> dict[str, Any]:
    try:
        if not isinstance(text, str):
            text = text.decode()
        value = decode(text, NESTING_MAX)
        # An escaped surrogate without its pair is no Unicode text.
        if "\\" in text and ("\\ud" in text or "\\uD" in text):
            canonical(value)
    except UnicodeEncodeError:
        raise _MalformedError("it holds half of a surrogate pair") from None
    except UnicodeDecodeError as error:
        raise _MalformedError(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _MalformedError(f"not JSON: {error}") from None
    except ValueError as error:
        raise _MalformedError(str(error)) from None
    if not isinstance(value, dict):
        raise _MalformedError(f"expected a JSON object, found {_name(value)}")
    return value


_JSON_NAMES = {dict: "an object", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}


def _name(value: object) -> str:
    return _JSON_NAMES.get(type(value), "null")


def _text(value: object, where: str) -> str:
    if type(value) is not str:
        raise _MalformedError(f"{where} must be text, found {_name(value)}")
    return value


def _short(value: object, where: str) -> str:
    text = _text(value, where)
    if len(text) > NAME_LEN_MAX:
        raise _MalformedError(f"{where} is longer than {NAME_LEN_MAX} characters")
    return text


def _list(value: object, where: str) -> list[Any]:
    if type(value) is not list:
        raise _MalformedError(f"{where} must be a list, found {_name(value)}")
    return value


def _only(value: object, members: tuple[str, ...], where: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise _MalformedError(f"{where} must be an object, found {_name(value)}")
    for member in value:
        if member not in members:
            raise _MalformedError(f"{where} has the unknown member {member[:NAME_LEN_MAX]!r}")
    return value


def _member(value: dict[str, Any], member: str, where: str) -> Any:
    try:
        return value[member]
    except KeyError:
        raise _MalformedError(f"{where} lacks the member {member!r}") from None


def _json(value: object, where: str, encode: Callable[[Any], str] = canonical) -> str:
    try:
        return encode(value)
    except ValueError:
        raise _MalformedError(f"{where} holds a number that is not finite") from None


def _output(value: dict[str, Any], results_sorted: bool) -> Completed | Failed:
    if "error" in value:
        _only(value, ("error",), "the output")
        return Failed(Failure(FailureClass.RAISED, _text(value["error"], "'error'")))
    state = _text(_member(value, "state", "the output"), "'state'")
    if len(value) == 1:
        return Completed(TurnOutput(state))
    if len(value) == 2 and "wake_in" in value:
        return Completed(TurnOutput(state, (), (), (), _wake_in(value["wake_in"])))
    members: dict[str, Any] = {}
    for member, content in value.items():
        decode = _MEMBERS.get(member)
        if decode is None:
            raise _MalformedError(f"the output has the unknown member {member[:NAME_LEN_MAX]!r}")
        members[member] = decode(content)
    if "finish" in value:
        members["finish"] = _json(value["finish"], "'finish'", canonical if results_sorted else in_order)
    return Completed(TurnOutput(**members))


def _each(member: str, decode: Callable[[object, str], Any]) -> Callable[[object], tuple[Any, ...]]:
    """Decodes a list of what `decode` decodes."""

    def decode_list(value: object) -> tuple[Any, ...]:
        return tuple([decode(item, f"{member}[{i}]") for i, item in enumerate(_list(value, f"'{member}'"))])

    return decode_list


def _sends(value: object) -> tuple[Send, ...]:
    """Decode a list of messages. Plain ones are taken as they are; where one is not, all are looked at closely."""
    found: list[Send] = []
    if type(value) is list:
        for item in value:
            if type(item) is not dict or len(item) != 2:
                break
            to, body = item.get("to"), item.get("body")
            if type(to) is not str or type(body) is not str or len(to) > NAME_LEN_MAX:
                break
            found.append(Send(to, body))
        else:
            return tuple(found)
    return _all_sends(value)


def _send(item: object, where: str) -> Send:
    value = _only(item, ("to", "body", "attach"), where)
    to, body = _member(value, "to", where), _member(value, "body", where)
    attach = _short(value["attach"], f"{where}.attach") if "attach" in value else None
    return Send(_short(to, f"{where}.to"), _text(body, f"{where}.body"), attach)


def _log(item: object, where: str) -> Log:
    value = _only(item, ("level", "text"), where)
    level = value.get("level", "info")
    if level not in LOG_LEVELS:
        raise _MalformedError(f"{where}.level must be one of {', '.join(LOG_LEVELS)}")
    return Log(level, _text(_member(value, "text", where), f"{where}.text"))


def _record(item: object, where: str) -> Record:
    value = _only(item, ("name", "value"), where)
    recorded = _member(value, "value", where)
    if type(recorded) is int:
        if not -(2**63) <= recorded < 2**63:
            raise _MalformedError(f"{where}.value does not fit in 64 bits")
    elif type(recorded) is float:
        if not isfinite(recorded):
            raise _MalformedError(f"{where}.value is not finite")
    elif type(recorded) is not str:
        raise _MalformedError(f"{where}.value must be a number or text, found {_name(recorded)}")
    return Record(_short(_member(value, "name", where), f"{where}.name"), recorded)


def _wake_in(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value < _ROUNDS_MAX:
        raise _MalformedError("'wake_in' must be a whole number of rounds, at least 1")
    return value


def _spawn(item: object, where: str) -> Spawn:
    value = _only(item, ("kind", "name", "args", "state"), where)
    name = _text(_member(value, "name", where), f"{where}.name")
    if not valid_name(name):
        raise _MalformedError(f"{where}.name must be {NAME_RULE}, found {name[:NAME_LEN_MAX]!r}")
    args, state = value.get("args"), value.get("state")
    if args is not None and type(args) is not dict:
        raise _MalformedError(f"{where}.args must be an object, found {_name(args)}")
    return Spawn(
        kind=_short(_member(value, "kind", where), f"{where}.kind"),
        name=name,
        args=None if args is None else _json(args, f"{where}.args"),
        state=None if state is None else _text(state, f"{where}.state"),
    )


_all_sends = _each("send", _send)

_MEMBERS: dict[str, Callable[[Any], Any]] = {
    "state": lambda value: value,
    "send": _sends,
    "log": _each("log", _log),
    "record": _each("record", _record),
    "wake_in": _wake_in,
    "spawn": _each("spawn", _spawn),
    "stop": _each("stop", _short),
    "finish": lambda value: value,
}


def _effect(item: object, where: str, beside: BesideText) -> EffectRequest:
    if type(item) is not dict:
        raise _MalformedError(f"{where} must be an object, found {_name(item)}")
    kind = _short(_member(item, "effect", where), f"{where}.effect")
    model = item.get("model")
    if model is not None:
        model = _short(model, f"{where}.model")
    if kind == PUT:
        try:
            return EffectRequest(kind, None, *put_request(item, beside))
        except Malformed as error:
            raise _MalformedError(f"{where}: {error}") from None
    return EffectRequest(kind, model, _json(item, where))
