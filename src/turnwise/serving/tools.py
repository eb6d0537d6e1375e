"""Tools: what a request says of them, as the model's chat template is told, and as the grammar of the answer.

A model whose template shows tools is told of them by it, and its calls have the form that the template writes
(`ModelInfo.tools`). For any other model the words and the form are `OWN_FORM`, which many models were trained on.
Either way a call that has begun can only be one of the tools, with arguments that follow its schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Literal

from turnwise.inference.plans.tool_form import CALL_ID, CALL_ID_CHARS, ToolForm
from turnwise.inference.requests.fields import kind, shown
from turnwise.serving.api_error import refuse, unsupported
from turnwise.serving.parameters import Parameters

TOOLS_MAX: Final = 128
OWN_FORM: Final = ToolForm(
    head='<tool_call>\n{"name": "',
    middle='", "arguments": ',
    joint='}\n</tool_call>\n<tool_call>\n{"name": "',
    tail="}\n</tool_call>",
)
_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_OWN_WORDS: Final = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""

_GO_ON: Final = "\nAnswer my question with that."
"""Stands behind results: models that never saw any go on writing some, if nothing asks them for an answer."""

Choice = Literal["none", "auto", "required"]
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client can run.

    - `name`: by which it is called
    - `description`: what the model is told of it; None for nothing
    - `parameters`: the JSON schema of its arguments
    """

    name: str
    description: str | None
    parameters: Mapping[str, Any]

    def told(self) -> dict[str, Any]:
        """Return the tool as chat templates are told of it."""
        about = {} if self.description is None else {"description": self.description}
        return {"type": "function", "function": {"name": self.name, **about, "parameters": dict(self.parameters)}}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The use of tools in one answer.

    - `form`: in which calls are written
    - `tools`: that the model is told of
    - `callable`: those of them that may be called
    - `required`: whether something must be called
    - `parallel`: whether there may be several calls
    """

    form: ToolForm
    tools: Sequence[Tool]
    callable: Sequence[Tool]
    required: bool
    parallel: bool

    def grammar(self, schema: Mapping[str, Any] | None = None) -> str:
        """Return the grammar of the answer: calls, or text where none is required; `schema`: that the text follows."""
        calls = "\n  | ".join(
            f"{self._literal(json_name(tool.name) + self.form.middle)} %json {json.dumps(tool.parameters)}"
            for tool in self.callable
        )
        more = f" ({self._literal(self.form.joint)} call)*" if self.parallel and self.form.joint is not None else ""
        lines = [f"calls: call{more} {self._literal(self.form.tail)}", f"call: {calls}"]
        if self.required:
            return "\n".join([f"start: {self._literal(self.form.head)} calls", *lines])
        if schema is not None:
            head = self._literal(self.form.head)
            return "\n".join([f"start: answer | {head} calls", f"answer: %json {json.dumps(schema)}", *lines])
        mark, special = begin_mark(self.form)
        rest = self._literal(self.form.head.removeprefix(mark))
        barred = shown_head(self.form) if special else mark
        lines.append(f"TEXT: /(?s:.+)/ & ~/(?s:.*){escaped(barred)}(?s:.*)/" if barred else "TEXT: /(?s:.+)/")
        if special:
            return "\n".join([f"start: TEXT? | TEXT? {self._literal(mark)} {rest} calls", *lines])
        return "\n".join([f"start: TEXT? | marked {rest} calls", f"marked[lazy]: /(?s:.*){escaped(mark)}/", *lines])

    def _literal(self, text: str) -> str:
        """Return literal text as a grammar has it: special tokens by their ids, and something for a call's name."""
        names = "|".join(map(re.escape, sorted(self.form.specials, key=len, reverse=True)))
        parts = re.split(f"({names}|{CALL_ID})" if names else f"({CALL_ID})", text)
        written = []
        for part in parts:
            if part == CALL_ID:
                written.append(f"/[a-zA-Z0-9]{{{CALL_ID_CHARS}}}/")
            elif part in self.form.specials:
                written.append(f"<[{self.form.specials[part]}]>")
            elif part:
                written.append(json.dumps(part, ensure_ascii=False))
        return " ".join(written)


def read_tools(members: Parameters, form: ToolForm | None, *, flat: bool = False) -> ToolUse | None:
    """Read `tools`, `tool_choice` and `parallel_tool_calls`; None where nothing may be called. Raises ApiError.

    `form` is that of the model; `flat`: a tool has its name beside its type, as the responses API has it.
    """
    items = members.items("tools", TOOLS_MAX)
    single = isinstance(asked := members.peek("tool_choice"), dict) and asked.get("type") == "function"
    choice, only = _choice(members, flat=flat)
    parallel = members.boolean("parallel_tool_calls", default=True) and not single
    if not items:
        if choice == "required":
            refuse("tool_choice asks for a call, and there are no tools", "tool_choice")
        return None
    tools = [_tool(item, f"tools[{index}]", flat=flat) for index, item in enumerate(items)]
    names = [tool.name for tool in tools]
    if len(set(names)) != len(names):
        refuse("two tools have the same name", "tools")
    for name in only or ():
        if name not in names:
            refuse(f"tool_choice names {shown(name)}, which is none of the tools", "tool_choice")
    if choice == "none":
        return None
    allowed = [tool for tool in tools if only is None or tool.name in only]
    return ToolUse(form or OWN_FORM, tools, allowed, choice == "required", parallel)


def told_messages(messages: Sequence[Message], use: ToolUse | None, form: ToolForm | None) -> list[Message]:
    """Return a conversation as the model is told of it: with calls and results in the form that its template takes.

    Where the template knows of no tools (`form` None), calls and results become text, and a system message tells of
    the tools of `use`.
    """
    if form is None:
        return _in_own_words(messages, use)
    if not form.arguments_as_text and CALL_ID not in (form.joint or "") + form.tail:
        return list(messages)
    return [_as_taken(message, form) for message in messages]


def json_name(name: str) -> str:
    """Return a tool's name as it stands within a JSON text; such names need no escapes."""
    if not _NAME.fullmatch(name):
        raise ValueError(name)
    return name


def begin_mark(form: ToolForm) -> tuple[str, bool]:
    """Return what no text may hold, since a call begins with it, and whether it is a special token."""
    for name in form.specials:
        if form.head.startswith(name):
            return name, True
    line = form.head.partition("\n")[0].partition("{")[0].rstrip()
    return line or form.head, False


def shown_head(form: ToolForm) -> str:
    """Return the beginning of a call as readers are shown it."""
    return without_specials(form.head, form)


def without_specials(text: str, form: ToolForm) -> str:
    """Return a form's text without the names of special tokens."""
    for name in sorted(form.specials, key=len, reverse=True):
        text = text.replace(name, "")
    return text


def escaped(text: str) -> str:
    """Return a regular expression that matches this text and nothing else."""
    found = "".join(f"\\{letter}" if letter in "\\.+*?()|[]{}^$/&~#-" else letter for letter in text)
    return found.replace("\n", "\\n")


def _choice(members: Parameters, *, flat: bool) -> tuple[Choice, list[str] | None]:
    """Read `tool_choice`: whether there must be a call, and the names to which calls are bound."""
    value = members.take("tool_choice")
    if value is None:
        return "auto", None
    if isinstance(value, str):
        for name in ("none", "auto", "required"):
            if value == name:
                return name, None
        refuse(f"tool_choice must be none, auto, required or an object, not {shown(value)}", "tool_choice")
    if not isinstance(value, dict):
        refuse(f"tool_choice must be text or an object, not {kind(value)}", "tool_choice")
    choice = Parameters(value, "tool_choice")
    form = choice.required_text("type")
    if form == "function":
        names = [_named(choice, flat=flat)]
        choice.done()
        return "required", names
    if form != "allowed_tools":
        unsupported("tool_choice.type", f"{shown(form)} is neither function nor allowed_tools")
    allowed = choice if flat else choice.members("allowed_tools")
    if allowed is None:
        refuse("tool_choice.allowed_tools is required", "tool_choice.allowed_tools")
    mode = allowed.required_text("mode")
    if mode not in ("auto", "required"):
        refuse(f"{allowed.path('mode')} must be auto or required, not {shown(mode)}", allowed.path("mode"))
    items = allowed.items("tools", TOOLS_MAX) or refuse("no tools are allowed", allowed.path("tools"))
    names = []
    for index, item in enumerate(items):
        where = f"{allowed.path('tools')}[{index}]"
        one = Parameters(item if isinstance(item, dict) else refuse(f"{where} must be an object", where), where)
        one.only("type", ("function",), "functions are, and no other tools")
        names.append(_named(one, flat=flat))
        one.done()
    allowed.done()
    choice.done()
    return "required" if mode == "required" else "auto", names


def _named(members: Parameters, *, flat: bool) -> str:
    if flat:
        return members.required_text("name")
    function = members.members("function")
    if function is None:
        refuse(f"{members.path('function')} is required", members.path("function"))
    name = function.required_text("name")
    function.done()
    return name


def _tool(item: Any, where: str, *, flat: bool) -> Tool:
    if not isinstance(item, dict):
        refuse(f"{where} must be an object, not {kind(item)}", where)
    members = Parameters(item, where)
    form = members.required_text("type")
    if form != "function":
        unsupported(f"{where}.type", f"{shown(form)} is no function, and the server runs no tools")
    function = members if flat else members.members("function")
    if function is None:
        refuse(f"{where}.function is required", f"{where}.function", "missing_required_parameter")
    name = function.required_text("name")
    if not _NAME.fullmatch(name):
        refuse(f"{function.path('name')} must have 1 to 64 of a-z, A-Z, 0-9, _, . and -", function.path("name"))
    description = function.text("description")
    function.boolean("strict")  # schemas are always followed
    parameters = function.table("parameters") or {}
    function.done()
    members.done()
    return Tool(name, description, {"type": "object", "properties": {}, **parameters})


def _in_own_words(messages: Sequence[Message], use: ToolUse | None) -> list[Message]:
    told: list[Message] = []
    for message in messages:
        if message["role"] == "tool":
            content = f"<tool_response>\n{message['content']}\n</tool_response>"
            if told and told[-1].get("name") == _RESULTS:
                told[-1]["content"] += "\n" + content
            else:
                told.append({"role": "user", "content": content, "name": _RESULTS})
        elif calls := message.get("tool_calls"):
            written = [f"{OWN_FORM.head}{call['function']['name']}{OWN_FORM.middle}" for call in calls]
            texts = [json.dumps(call["function"]["arguments"], ensure_ascii=False) for call in calls]
            lines = [begin + text + OWN_FORM.tail for begin, text in zip(written, texts, strict=True)]
            before = [message["content"]] if message["content"] else []
            told.append({"role": "assistant", "content": "\n".join([*before, *lines])})
        else:
            told.append(dict(message))
    for message in told:
        if message.get("name") == _RESULTS:
            del message["name"]
            message["content"] += _GO_ON
    if use is None:
        return told
    tools = "\n".join(json.dumps(tool.told(), ensure_ascii=False) for tool in use.tools)
    words = _OWN_WORDS.format(tools=tools)
    if told and told[0]["role"] == "system":
        told[0]["content"] += "\n\n" + words
    else:
        told.insert(0, {"role": "system", "content": words})
    return told


_RESULTS: Final = "\0results"
"""Marks messages of results while they are put together; no client can send such a name."""


def _as_taken(message: Message, form: ToolForm) -> Message:
    taken = dict(message)
    slot = CALL_ID in (form.joint or "") + form.tail
    if slot and "tool_call_id" in taken:
        taken["tool_call_id"] = _short(taken["tool_call_id"])
    if "tool_calls" in taken:
        taken["tool_calls"] = [
            {
                "id": _short(call["id"]) if slot else call["id"],
                "type": "function",
                "function": {
                    "name": call["function"]["name"],
                    "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)
                    if form.arguments_as_text
                    else call["function"]["arguments"],
                },
            }
            for call in taken["tool_calls"]
        ]
    return taken


def _short(name: str) -> str:
    """Return a call's name as the templates want it that write such names: nine letters and digits."""
    return blake2b(name.encode(errors="replace"), digest_size=8).hexdigest()[:CALL_ID_CHARS]
