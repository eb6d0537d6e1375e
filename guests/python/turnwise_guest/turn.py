"""`Turn`: everything that an agent has and can do while it moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Literal, Unpack, overload

from turnwise_guest import generate as generation
from turnwise_guest.act import (
    RESULT_CHARS_MAX_DEFAULT,
    STEPS_MAX_DEFAULT,
    TOKENS_MAX_DEFAULT,
    Acted,
    ActLoop,
    result_text,
)
from turnwise_guest.ask import NO_DEFAULT, answer_of, ask_request
from turnwise_guest.content import EffectBytes, Handle, get_content, put_content
from turnwise_guest.errors import EffectError
from turnwise_guest.generate import ActOptions, Answer, ChatMessage, Options, Prompt
from turnwise_guest.jsontext import canonical, check_text, decode, in_order
from turnwise_guest.message import Message, messages
from turnwise_guest.model_tool import ModelTool, tool_of
from turnwise_guest.python_result import PythonResult, run_request, run_result
from turnwise_guest.tensor import Tensor, embed_request, infer_request, outputs, vectors
from turnwise_guest.tool import Tool, ToolResult, call_request, call_requests, result_of, tools_of

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")

RECORD_INT_MAX = 2**63 - 1
"""Whole numbers in records are stored in 64 bits."""

ROUNDS_MAX = 2**31 - 1

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - an alias made in 3.11; this reads the same in both


class Turn:
    """One move of one agent. The agent's function ``turn(t)`` is given it, and what is done with it is the outcome.

    Nothing survives a turn but `state`. Messages, logs, records and everything else take effect when the turn is
    over and only if it did not fail. Only `generate`, `infer`, `embed`, `put`, `get`, `run_python`, `ask`, `call`,
    `tools`, and what ends in `_all` wait for an answer.
    """

    __slots__ = (
        "_effect",
        "_effect_bytes",
        "_input",
        "_now",
        "_output",
        "_random",
        "_state_first",
        "args",
        "inbox",
        "state",
    )

    inbox: tuple[Message, ...]
    """The messages that have come since the last turn, in order; empty if the turn is a start or a wake-up."""

    state: Any
    """A JSON value of the agent's own, usually a dict, and the only thing that is there again in its next turn.

    Change it in place or assign another. Empty (``{}``) in the first turn unless the world file says otherwise."""

    args: dict[str, Any]
    """The agent's arguments: `args` of the world file, a row of its table, or what `spawn` was given."""

    def __init__(self, envelope: dict[str, Any], effect: Callable[[str], str], effect_bytes: EffectBytes) -> None:
        """`envelope` is the ABI's input; `effect` takes the text of a request and returns that of its reply.

        `effect_bytes` does the same for requests and replies with bytes beside the text.
        """
        self._input = envelope
        self._effect = effect
        self._effect_bytes = effect_bytes
        self._output: dict[str, Any] = {}
        self._random: Random | None = None
        self._now: datetime | None = None
        self.args = envelope["args"]
        self.inbox = messages(envelope["inbox"])
        self.state = _state(envelope["state"])

    def __repr__(self) -> str:
        return f"<Turn {self._input['turn']} of {self.self_name} in round {self.round}>"

    @property
    def self_name(self) -> str:
        """The agent's own name, as others send to it: ``"narrator-1"``."""
        return str(self._input["self"])

    @property
    def kind(self) -> str:
        """The name of its table in the world file: ``"narrator"``."""
        return str(self._input["kind"])

    @property
    def round(self) -> int:
        """The round that is being played; the first is 1."""
        return int(self._input["round"])

    @property
    def turn(self) -> int:
        """The number of this turn among the agent's own; the first is 1."""
        return int(self._input["turn"])

    @property
    def backlog(self) -> int:
        """The number of messages that wait for its next turns, since they did not fit this inbox (`inbox_mib`)."""
        return int(self._input.get("backlog", 0))

    @property
    def random(self) -> Random:
        """Chance, seeded for this turn from the run's seed, the agent's name and its turn. Same run, same numbers.

        What the module `random` does never changes it.
        """
        if self._random is None:
            self._random = Random(int(self._input["seed"], 16))
        return self._random

    def now(self) -> datetime:
        """The virtual time of this round, in UTC and with microseconds. The same at every call within a turn.

        The clocks of the standard library show this time as well, but move on by a microsecond at each reading.
        """
        if self._now is None:
            self._now = EPOCH + timedelta(microseconds=self._input["now_us"])
        return self._now

    def log(self, text: object, level: LogLevel = "info") -> None:
        """Write a line for people to the run's log. Anything that `str` takes can be logged."""
        if level not in LOG_LEVELS:
            raise ValueError(f"level is one of {', '.join(LOG_LEVELS)}, not {level!r}")
        line = str(text)
        check_text(line, "text")
        self._append("log", {"level": level, "text": line})

    def record(self, name: str, value: float | str) -> None:
        """Record a number or a text under a name, for plots and tables of this round.

        Raises `TypeError` for other values (a bool as well: say ``int(value)`` or ``"yes"``) and `ValueError` for
        numbers that no table can hold (NaN, infinities, whole numbers beyond 64 bits).
        """
        _text("name", name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError(f"a record's value is a number or a text, not {value!r}")
        if isinstance(value, str):
            check_text(value, "value")
        elif isinstance(value, float):
            if value - value != 0:
                raise ValueError(f"record {name!r} is {value}, which is no number that can be shown: leave it out")
        elif not -RECORD_INT_MAX - 1 <= value <= RECORD_INT_MAX:
            raise ValueError(f"record {name!r} is a whole number beyond 64 bits: use float(value) or str(value)")
        self._append("record", {"name": name, "value": value})

    def send(self, to: str, body: Any, attach: str | None = None) -> None:
        """Send a message to an agent or to all agents of a group. It arrives in the next round.

        A text is sent as it is; any other JSON value is sent as JSON text, which the receiver reads by
        `Message.json`. A message to nobody is no error: it shows in the log as a dead letter. `attach` is the handle
        of a content that goes with it, by reference: `Message.attach`.
        """
        _text("to", to)
        if isinstance(body, str):
            if not body.isascii():
                check_text(body, "body")
        else:
            body = canonical(body, "body")
        item = {"body": body, "to": to}
        if attach is not None:
            _text("attach", attach)
            item["attach"] = attach
        self._append("send", item)

    def wake_in(self, rounds: int) -> None:
        """Have a turn in so many rounds, mail or not: ``t.wake_in(5)`` in round 2 gives a turn in round 7.

        An agent has one alarm: each call replaces the one before, in the same turn or an earlier one. Mail leaves it.
        """
        if isinstance(rounds, bool) or not isinstance(rounds, int):
            raise TypeError(f"rounds is a whole number, not {rounds!r}")
        if not 1 <= rounds <= ROUNDS_MAX:
            raise ValueError(f"rounds is between 1 (the next round) and {ROUNDS_MAX}, not {rounds}")
        self._output["wake_in"] = rounds

    def spawn(self, kind: str, name: str, args: dict[str, Any] | None = None, state: Any = None) -> None:
        """Bring an agent of `kind` into the world when the round is over. Needs the grant `spawn` for that kind.

        `args` are its arguments and `state` its first state; None for those of its kind. A name that exists fails
        this turn.
        """
        _text("kind", kind)
        _text("name", name)
        child: dict[str, Any] = {"kind": kind, "name": name}
        if args is not None:
            if not isinstance(args, dict):
                raise TypeError(f"args is a dict, not {args!r}")
            child["args"] = json.loads(canonical(args, "args"))
        if state is not None:
            child["state"] = canonical(state, "state")
        self._append("spawn", child)

    def stop(self, name: str) -> None:
        """Take an agent out of the world when the round is over. Needs the grant `stop`."""
        _text("name", name)
        self._append("stop", name)

    def finish(self, result: Any = None) -> None:
        """End the whole world when the round is over, with a JSON value as its result. Needs the grant `finish`.

        Keys of the result keep their order. Called more than once in a turn, the last result counts.
        """
        self._output["finish"] = json.loads(in_order(result, "result"))

    @overload
    def generate(self, model: str, prompt: str, **options: Unpack[Options]) -> Answer: ...

    @overload
    def generate(self, model: str, *, messages: Sequence[ChatMessage], **options: Unpack[Options]) -> Answer: ...

    def generate(
        self,
        model: str,
        prompt: str | None = None,
        *,
        messages: Sequence[ChatMessage] | None = None,
        **options: Unpack[Options],
    ) -> Answer:
        """Let a model go on from `prompt`, or answer the conversation `messages`. Needs the grant `generate`.

        `turnwise_guest.Options` says what the options are: ``tokens_max`` bounds the answer; ``temperature``,
        ``top_k``, ``top_p``, ``min_p``, penalties and ``logit_bias`` choose its tokens; ``stop``, ``json_schema``,
        ``regex`` and ``lark`` give it a form; ``logprobs`` tells how sure the model was; ``on_full`` says what happens
        where the context is full; ``system``, ``template`` and ``tools`` are for conversations. Raises `EffectError`.
        """
        if (prompt is None) == (messages is None):
            raise TypeError("generate takes either prompt or messages")
        if prompt is not None and not isinstance(prompt, str):
            raise TypeError(f"prompt is a text, not {prompt!r}: give a conversation as messages=")
        if isinstance(messages, str):
            raise TypeError(
                f"messages is a list of {{'role': …, 'content': …}}, not {messages!r}: give a text as prompt"
            )
        members = generation.settings(options)
        request = generation.request(model, prompt if prompt is not None else messages or (), members)
        return generation.answer(json.loads(self._effect(canonical(request, "the request"))))

    def act(
        self,
        model: str,
        goal: str | Sequence[ChatMessage],
        *,
        tools: Iterable[str | Tool | ModelTool | Callable[..., Any]],
        steps_max: int = STEPS_MAX_DEFAULT,
        begin: Literal["auto", "required"] = "auto",
        result_chars_max: int = RESULT_CHARS_MAX_DEFAULT,
        **options: Unpack[ActOptions],
    ) -> Acted:
        """Have a model work on a goal with tools: it calls them, is told what came of it, and goes on until it answers.

        `goal` is a text, or a conversation that goes on. Tools are those of the world that the agent may call, by their
        names (``"files.read"``, ``"files.*"``, or ``"files"`` for all of a server), and functions of its own, of which
        the model is told the name, the docstring and the parameters. The model is asked `steps_max` times at most,
        the last time for an answer without calls; with ``begin="required"`` it begins with a call. Errors of tools are
        told to it, and so are results, cut to `result_chars_max` characters. The options are those of `generate`;
        without ``tokens_max``, each of its answers has 512 tokens at most. Raises `EffectError` if it cannot be asked.
        """
        for name in ("tools", "tool_choice"):
            if name in options:
                raise TypeError(f"act chooses {name} by itself: give tools= and begin=")
        if begin not in ("auto", "required"):
            raise ValueError(f"begin is 'auto' or 'required', not {begin!r}")
        if begin == "required" and steps_max == 1:
            raise ValueError("steps_max is at least 2 with begin='required', since the last answer has no calls")
        for name, count in (("steps_max", steps_max), ("result_chars_max", result_chars_max)):
            if isinstance(count, bool) or not isinstance(count, int):
                raise TypeError(f"{name} is a whole number, not {count!r}")
            if count < 1:
                raise ValueError(f"{name} is at least 1, not {count}")
        named = [tool_of(tool) for tool in self._tools_by_name(tools)]
        members = generation.settings({"tokens_max": TOKENS_MAX_DEFAULT, **options, "tools": named})

        def ask(messages: Sequence[ChatMessage], choice: str) -> Answer:
            request = generation.request(model, messages, {**members, "tool_choice": choice})
            return generation.answer(json.loads(self._effect(canonical(request, "the request"))))

        messages: Sequence[ChatMessage] = [{"role": "user", "content": goal}] if isinstance(goal, str) else goal
        by_name = {tool.name: tool for tool in named}
        return ActLoop(ask, by_name, self._call_texts, steps_max, begin, result_chars_max).run(messages)

    @overload
    def generate_all(
        self,
        model: str,
        prompts: Iterable[Prompt],
        *,
        return_errors: Literal[False] = ...,
        **options: Unpack[Options],
    ) -> list[Answer]: ...

    @overload
    def generate_all(
        self, model: str, prompts: Iterable[Prompt], *, return_errors: Literal[True], **options: Unpack[Options]
    ) -> list[Answer | EffectError]: ...

    def generate_all(
        self, model: str, prompts: Iterable[Prompt], *, return_errors: bool = False, **options: Unpack[Options]
    ) -> list[Answer] | list[Answer | EffectError]:
        """Ask for many answers at once, each to a text or a conversation; they come back in the order of `prompts`.

        Much cheaper than calling `generate` in a loop: the model works on all together, and the turn is run again once
        instead of once per answer. The options are those of `generate` and apply to all. The first `EffectError` is
        raised, or with ``return_errors=True`` errors are returned in the place of their answers.
        """
        if isinstance(prompts, str):
            raise TypeError("prompts is a list of texts, not one text: use generate, or [prompt]")
        members = generation.settings(options)
        requests = [generation.request(model, prompt, members) for prompt in prompts]
        if not requests:
            return []
        replies = json.loads(self._effect(canonical({"effects": requests}, "the request")))["results"]
        answers: list[Answer | EffectError] = []
        for reply in replies:
            try:
                answers.append(generation.answer(reply))
            except EffectError as error:
                if not return_errors:
                    raise
                answers.append(error)
        return answers

    def infer(self, model: str, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Run a graph on named tensors, and get its outputs by name. Needs the grant `infer`.

        An input is a `Tensor`, a `StoredTensor` (a content by its handle), or a number or nested lists of which one is
        made: floats are taken as float32, whole numbers as int64. Types and shapes must be those of the graph. Raises
        `EffectError`.
        """
        return outputs(json.loads(self._effect(canonical(infer_request(model, inputs), "the request"))))

    @overload
    def infer_all(
        self, model: str, inputs: Iterable[Mapping[str, Any]], *, return_errors: Literal[False] = ...
    ) -> list[dict[str, Tensor]]: ...

    @overload
    def infer_all(
        self, model: str, inputs: Iterable[Mapping[str, Any]], *, return_errors: Literal[True]
    ) -> list[dict[str, Tensor] | EffectError]: ...

    def infer_all(
        self, model: str, inputs: Iterable[Mapping[str, Any]], *, return_errors: bool = False
    ) -> list[dict[str, Tensor]] | list[dict[str, Tensor] | EffectError]:
        """Run a graph many times at once, as `generate_all` generates: much cheaper than `infer` in a loop.

        The first `EffectError` is raised, or with ``return_errors=True`` returned in the place of its outputs.
        """
        requests = [infer_request(model, one) for one in inputs]
        if not requests:
            return []
        replies = json.loads(self._effect(canonical({"effects": requests}, "the request")))["results"]
        found: list[dict[str, Tensor] | EffectError] = []
        for reply in replies:
            try:
                found.append(outputs(reply))
            except EffectError as error:
                if not return_errors:
                    raise
                found.append(error)
        return found

    @overload
    def embed(self, model: str, texts: str | Handle, *, truncate: bool = ...) -> list[float]: ...

    @overload
    def embed(self, model: str, texts: list[str] | tuple[str, ...], *, truncate: bool = ...) -> list[list[float]]: ...

    def embed(
        self, model: str, texts: str | list[str] | tuple[str, ...], *, truncate: bool = False
    ) -> list[float] | list[list[float]]:
        """The vector of a text, or those of several in their order. Needs the grant `embed`. A `Handle` is a content in
        UTF-8.

        A text that is too long for the model is an `EffectError` ("context_full"), or cut off with ``truncate=True``.
        """
        if not isinstance(texts, str) and not texts:
            return []
        request = embed_request(model, [texts] if isinstance(texts, str) else texts, truncate)
        found = vectors(json.loads(self._effect(canonical(request, "the request"))))
        return found[0] if isinstance(texts, str) else found

    def put(self, content: bytes | bytearray | memoryview) -> Handle:
        """Put bytes aside, and get a handle for them, which can be kept, sent, and used as an input of models.

        The content stays for the whole run, by reference wherever it goes, and the journal holds it once. Whoever was
        given the handle can read it, and nobody else. Raises `EffectError` ("refused") beyond `put_mib`.
        """
        return put_content(self._effect_bytes, content)

    def get(self, handle: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a content, or `length` bytes of it from `start` on; less where it ends before.

        Raises `EffectError` ("denied") for a handle that was never given.
        """
        return get_content(self._effect_bytes, handle, start, length)

    def run_python(self, code: str, input: Any = None) -> PythonResult:  # noqa: A002 - its name in the code
        """Execute Python that a model or a person wrote, in a sandbox of its own. Needs the grant `run_python`.

        The code has the standard library that agents have, `input` (a JSON value) as a global variable, and nothing of
        the agent: no turn, no effects. If its last statement is an expression, the value of that is the result, which
        must be a JSON value. Each call has the fuel and memory that the agent's kind has for a turn. What the code
        raises, or a bound that it comes to, is told by `PythonResult.error`; `EffectError` says that it was not run.
        """
        request = run_request(code, input)
        return run_result(json.loads(self._effect(canonical(request, "input"))))

    def run_python_all(self, runs: Iterable[tuple[str, Any]]) -> list[PythonResult]:
        """Execute several pairs of code and input at once, each in a sandbox of its own: see `run_python`."""
        requests = [run_request(code, value) for code, value in runs]
        if not requests:
            return []
        replies = json.loads(self._effect(canonical({"effects": requests}, "the request")))["results"]
        return [run_result(reply) for reply in replies]

    def ask(
        self,
        question: str,
        *,
        schema: Mapping[str, Any] | None = None,
        deadline: int | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Ask a person, and get the answer: a JSON value. Needs the grant `ask`.

        The turn waits, and nobody waits for it: others have their turns, mail for this agent stays unread, and the turn
        goes on, from its start, in the round that begins with the answer. `round` and `now` are then those with which
        it began. `schema` is a JSON schema that an answer must follow. With a `deadline`, a number of rounds, `default`
        is the answer if nobody has given another by then; without a default that is an `EffectError` ("deadline").
        """
        request = ask_request(question, schema, deadline, default)
        return answer_of(json.loads(self._effect(canonical(request, "the request"))))

    def _tools_by_name(self, tools: Iterable[Any]) -> list[Any]:
        """Put the tools of the world in the place of their names. Raises `ValueError` for a name that none has."""
        given = [tools] if isinstance(tools, str) else list(tools)
        if not any(isinstance(tool, str) for tool in given):
            return given
        listed = self.tools()
        found: dict[str, Any] = {}
        for place, tool in enumerate(given):
            if not isinstance(tool, str):
                found[f"{place}"] = tool  # no tool of the world has a name without a dot
                continue
            named = [one for one in listed if fnmatchcase(one.name, tool) or one.name.startswith(f"{tool}.")]
            if not named:
                there = ", ".join(one.name for one in listed) or "none"
                raise ValueError(f"no tool that {self.self_name} may call is named {tool!r}; there are: {there}")
            found |= {one.name: one for one in named}
        return list(found.values())

    def _call_texts(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, str | None]]:
        """Call tools of the world at once; the text of each result, or of its error and the error's kind."""
        requests = [call_request(tool, args) for tool, args in calls]
        replies = json.loads(self._effect(canonical({"effects": requests}, "the arguments")))["results"]
        return [result_text(reply) for reply in replies]

    def call(self, name: str, args: Mapping[str, Any] | None = None) -> ToolResult:
        """Call a tool outside of the run by its name, ``"server.tool"``. Needs the grant `call`.

        A server with one tool can be called by its own name. The result is recorded: a run that is resumed or replayed
        has it again, and calls nothing twice. Where a call takes long, or people are asked before or in it, the turn
        waits as with `ask`, and others go on. Raises `EffectError`: ``invalid`` (arguments), ``tool`` (it failed),
        ``denied``, ``unknown_tool``, ``refused``, ``unavailable``, and ``unknown``, where the run was interrupted and
        nobody knows whether the call took effect.
        """
        return result_of(json.loads(self._effect(canonical(call_request(name, args), "the request"))))

    @overload
    def call_all(
        self, calls: Iterable[str | tuple[str, Mapping[str, Any] | None]], *, return_errors: Literal[False] = ...
    ) -> list[ToolResult]: ...

    @overload
    def call_all(
        self, calls: Iterable[str | tuple[str, Mapping[str, Any] | None]], *, return_errors: Literal[True]
    ) -> list[ToolResult | EffectError]: ...

    def call_all(
        self, calls: Iterable[str | tuple[str, Mapping[str, Any] | None]], *, return_errors: bool = False
    ) -> list[ToolResult] | list[ToolResult | EffectError]:
        """Call several tools at once, by pairs of name and arguments; results come back in their order.

        The first `EffectError` is raised, or with ``return_errors=True`` returned in the place of its result.
        """
        requests = call_requests(calls)
        if not requests:
            return []
        replies = json.loads(self._effect(canonical({"effects": requests}, "the request")))["results"]
        found: list[ToolResult | EffectError] = []
        for reply in replies:
            try:
                found.append(result_of(reply))
            except EffectError as error:
                if not return_errors:
                    raise
                found.append(error)
        return found

    def tools(self) -> list[Tool]:
        """Return the tools that the agent may call, in order of name."""
        return tools_of(json.loads(self._effect('{"effect":"tools"}')))

    def _append(self, name: str, item: Any) -> None:
        items = self._output.get(name)
        if items is None:
            self._output[name] = [item]
        else:
            items.append(item)


def output(turn: Turn) -> str:
    """Return the output envelope of a turn that is over, as JSON text.

    Raises `NotJSON`, naming the key, if the state is no JSON value.
    """
    envelope = turn._output
    envelope["state"] = canonical(turn.state, "t.state")
    return _encode(envelope)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
"""As text what has been checked item by item. Order stays as it came: nothing depends on it."""


def _state(text: str) -> Any:
    """The state as a JSON value. Text that is no JSON (a world file may give any text) is the state itself."""
    if not text:
        return {}
    try:
        return decode(text)
    except ValueError:
        return text


def _text(name: str, value: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a text, not {value!r}")
    if not value:
        raise ValueError(f"{name} is empty")
    if not value.isascii():
        check_text(value, name)
