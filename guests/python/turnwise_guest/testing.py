"""Testing an agent by itself, as any function: make a `Turn`, call the agent with it, look at what it left.

from turnwise_guest.testing import make_turn, outcome
import narrator

def test_it_answers_everybody() -> None:
    t = make_turn(inbox=[("editor", "A dog.")], generate=lambda request: "It barks.")
    narrator.turn(t)
    assert outcome(t)["send"] == [{"to": "editor", "body": "It barks."}]
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any

from turnwise_guest.errors import EffectError
from turnwise_guest.jsontext import canonical, encode
from turnwise_guest.tensor import Tensor, from_json, to_json
from turnwise_guest.tool import Tool, ToolResult
from turnwise_guest.turn import EPOCH, Turn, output

TIME_DEFAULT = datetime(2000, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - reads the same in 3.11 and before


def make_turn(
    *,
    inbox: Iterable[tuple[str, str]] = (),
    backlog: int = 0,
    state: Any = None,
    args: dict[str, Any] | None = None,
    self_name: str = "agent-1",
    kind: str = "agent",
    round: int = 2,  # noqa: A002 - the name it has in `Turn`
    turn: int = 1,
    now: datetime = TIME_DEFAULT,
    seed: int = 0,
    generate: Callable[[dict[str, Any]], str | list[tuple[str, dict[str, Any]]]] | None = None,
    infer: Callable[[str, dict[str, Tensor]], Mapping[str, Any]] | None = None,
    embed: Callable[[str, str], Sequence[float]] | None = None,
    run_python: Callable[[str, Any], Any] | None = None,
    ask: Callable[[dict[str, Any]], Any] | None = None,
    call: Callable[[str, dict[str, Any]], Any] | None = None,
    tools: Sequence[Tool] = (),
    contents: Mapping[str, bytes] | None = None,
) -> Turn:
    """Return a turn as the runtime would make it.

    `inbox` holds (sender, body) of messages sent in the round before; `backlog` more wait for the next turn. `state`
    None is an agent's first state, empty. `generate` is the model: it is given each request (``model``, ``prompt`` or
    ``messages``, ``tokens_max``, …) and returns the text of the answer, or a list of calls, each a pair of a tool and
    its arguments, or raises `EffectError`. Without it, asking a model is an `EffectError` ("unknown"). `run_python` is
    given code and input, and returns the value of the result; what it raises is the result's error. `contents` are
    those that the agent was given, by their handles. `ask` is the person: it is given each question (``question``,
    ``schema``, …) and returns the answer. `call` is given the name of a tool and its arguments, and returns its result,
    a text or another JSON value; `tools` are those that the agent is told of.
    """
    envelope = {
        "abi": 1,
        "self": self_name,
        "kind": kind,
        "round": round,
        "turn": turn,
        "now_us": _since_epoch_us(now),
        "seed": f"{seed:064x}",
        "args": json.loads(canonical(args or {}, "args")),
        "state": "" if state is None else canonical(state, "state"),
        "inbox": [{"from": sender, "round": round - 1, "body": body} for sender, body in inbox],
    }
    if backlog:
        envelope["backlog"] = backlog
    stored = dict(contents or {})
    models: dict[str, Callable[..., Any] | None] = {
        "generate": generate,
        "infer": infer,
        "embed": embed,
        "run_python": run_python,
        "ask": ask,
    }
    models |= {"call": call, "tools": lambda _: [_listed(tool) for tool in sorted(tools, key=lambda tool: tool.name)]}
    return Turn(
        envelope,
        lambda request: encode(_reply(json.loads(request), models, stored)),
        lambda request, content: _stored(json.loads(request), content, stored),
    )


def outcome(turn: Turn) -> dict[str, Any]:
    """Return what a turn leaves: ``state`` (a JSON value) and, where there is any, ``send``, ``log``, ``record``, …

    The keys are those of the output envelope. Raises `turnwise_guest.jsontext.NotJSON` where the state is no JSON.
    """
    left: dict[str, Any] = json.loads(output(turn))
    left["state"] = json.loads(left["state"])
    return left


def _since_epoch_us(time: datetime) -> int:
    """Microseconds since 1970 in UTC."""
    since = time - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _reply(
    request: dict[str, Any], models: dict[str, Callable[..., Any] | None], contents: dict[str, bytes]
) -> dict[str, Any]:
    if "effects" in request:
        return {"results": [_reply(one, models, contents) for one in request["effects"]]}
    kind = request["effect"]
    model = models[kind]
    if model is None:
        return {"error": {"kind": "unknown", "message": f"this turn has no model: give make_turn {kind}="}}
    if kind == "run_python":
        return {"ok": _run(request, model)}
    try:
        if kind == "ask":
            return {"ok": {"answer": json.loads(canonical(model(request), "the answer"))}}
        if kind == "tools":
            return {"ok": {"tools": model(request)}}
        if kind == "call":
            return {"ok": _result(model(request["tool"], request["args"]))}
        if kind == "infer":
            inputs = {name: from_json(_held(tensor, contents)) for name, tensor in request["inputs"].items()}
            outputs = model(request["model"], inputs).items()
            tensors = {name: to_json(value if isinstance(value, Tensor) else Tensor(value)) for name, value in outputs}
            return {"ok": {"outputs": tensors}}
        if kind == "embed":
            texts = [text if isinstance(text, str) else contents[text["content"]].decode() for text in request["texts"]]
            rows = [list(map(float, model(request["model"], text))) for text in texts]
            return {"ok": {"vectors": to_json(Tensor(rows))}}
        text = model(request)
    except EffectError as error:
        return {"error": {"kind": error.kind, "message": error.message}}
    if not isinstance(text, str):
        calls = [{"tool": tool, "args": json.loads(canonical(args, "the arguments"))} for tool, args in text]
        return {"ok": {"text": "", "calls": calls, "finish": "end", "tokens": len(calls), "prompt_tokens": 1}}
    return {"ok": {"text": text, "finish": "end", "tokens": len(text.split()), "prompt_tokens": 1}}


def _listed(tool: Tool) -> dict[str, Any]:
    listed = {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
    listed |= {} if tool.output_schema is None else {"output_schema": tool.output_schema}
    return listed | ({"approve": True} if tool.approve else {})


def _result(value: Any) -> dict[str, Any]:
    if isinstance(value, ToolResult):
        value, text = value.data, value.text
    else:
        text = value if isinstance(value, str) else canonical(value, "the result")
    return {"text": text} if value is None or isinstance(value, str) else {"text": text, "data": value}


def _run(request: dict[str, Any], run: Callable[..., Any]) -> dict[str, Any]:
    try:
        return {"value": run(request["code"], request["input"]), "stdout": ""}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "failure": "raised", "stdout": ""}


def _held(tensor: dict[str, Any], contents: dict[str, bytes]) -> dict[str, Any]:
    """Return a tensor with its data in the place of a handle."""
    return tensor if "data" in tensor else {**tensor, "data": b64encode(contents[tensor["content"]]).decode()}


def _stored(request: dict[str, Any], content: bytes, contents: dict[str, bytes]) -> bytes:
    """Answer a request to put or to get: a line of JSON text, and the content that belongs to it."""
    if request["effect"] == "put":
        handle = f"{sha256(content).hexdigest()}-{len(content)}"
        contents[handle] = content
        return encode({"ok": {"handle": handle}}).encode() + b"\n"
    found = contents.get(request["handle"])
    if found is None:
        message = "no content with this handle: give make_turn contents="
        return encode({"error": {"kind": "denied", "message": message}}).encode() + b"\n"
    start = request.get("start", 0)
    part = found[start : None if request.get("length") is None else start + request["length"]]
    return b'{"ok":{"bytes":%d}}\n%b' % (len(part), part)
