"""Questions to people: the form of the effect `ask`, and the replies to it.

The request is ``{"effect": "ask", "question": text}`` with the optional members `schema` (what an answer must follow:
`turnwise.core.answer_schema`), `deadline` (a number of rounds) and `default` (the answer that is taken when they have
passed). The reply is ``{"ok": {"answer": value}}``, with ``"default": true`` beside the answer where nobody gave it, or
an error of kind `deadline` where there is no default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from turnwise.core.answer_schema import schema_problem, violation
from turnwise.core.canonical import canonical
from turnwise.core.envelope import error_reply
from turnwise.core.json_text import decode
from turnwise.core.withheld import Withheld

ASK: Final = "ask"
"""Kind of the effect."""

ANSWER_BYTES_MAX: Final = 64 * 1024
"""Bytes of a reply to a question, which are counted when it is asked (`effects_mib`): then nobody knows how many."""

QUESTION_CHARS_MAX: Final = 16_384
"""Characters of a question's text."""

DEADLINE_ROUNDS_MAX: Final = 2**31 - 1

OF_CALL: Final = "call"
"""Member of a question that stands at the place of a call (`turnwise.core.calling`); agents cannot ask such."""

_MEMBERS: Final = frozenset({"effect", "question", "schema", "deadline", "default", OF_CALL})


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it was asked."""

    text: str
    """Words of it, for people."""
    schema: Any = None
    """JSON schema that an answer follows; None: any JSON value is one."""
    deadline: int | None = None
    """Rounds that it waits for an answer; None: as long as it takes."""
    default: str | None = None
    """Canonical JSON text of the answer that is taken when the deadline has passed; None if there is none."""

    def refusal(self, value: Any) -> str | None:
        """Return why a JSON value is no answer to this question; None if it is one."""
        try:
            reply = answer_reply(value)
        except ValueError as error:
            return f"it is no JSON value: {error}"
        size = len(reply.encode())
        if size > ANSWER_BYTES_MAX:
            return f"it takes {size:,} bytes as JSON, and at most {ANSWER_BYTES_MAX:,} are possible"
        return None if self.schema is None else violation(value, self.schema)


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question of an agent that can be answered now."""

    id: int
    """Number of the question in its run, from 1."""
    agent: str
    """Name of the agent that asks."""
    question: Question
    """The question itself."""
    deadline: int | None
    """Round from which on its default is taken; None: it waits for as long as it takes."""
    asked: str
    """SHA-256 (hex) of the question and of the turn that asks it."""

    @property
    def text(self) -> str:
        """Words of the question."""
        return self.question.text

    @property
    def schema(self) -> Any:
        """JSON schema that an answer follows; None: any JSON value is one."""
        return self.question.schema


def question_of(body: str) -> Question:
    """Read a request. Raises ValueError that says what is wrong with it."""
    if type(body) is Withheld:
        return Question(str(body))
    members = decode(body)
    if not isinstance(members, dict):
        raise ValueError("a question is an object")
    if unknown := sorted(members.keys() - _MEMBERS):
        raise ValueError(f"a question has no member {unknown[0][:100]!r}")
    text, deadline = members.get("question"), members.get("deadline")
    if type(text) is not str or not text.strip():
        raise ValueError("'question' must be a text that is not empty")
    if len(text) > QUESTION_CHARS_MAX:
        raise ValueError(f"'question' has {len(text):,} characters, and at most {QUESTION_CHARS_MAX:,} are possible")
    schema = members.get("schema")
    if schema is not None and (problem := schema_problem(schema)) is not None:
        raise ValueError(f"'schema' cannot be used: {problem}")
    if deadline is not None and (type(deadline) is not int or not 1 <= deadline <= DEADLINE_ROUNDS_MAX):
        raise ValueError("'deadline' must be a whole number of rounds, at least 1")
    if deadline is None and "default" in members:
        raise ValueError("'default' is what is taken when a deadline has passed: give 'deadline' too")
    default = canonical(members["default"]) if "default" in members else None
    question = Question(text, schema, deadline, default)
    if len(overdue_reply(question).encode()) > ANSWER_BYTES_MAX:
        raise ValueError(f"'default' takes more than {ANSWER_BYTES_MAX:,} bytes as JSON")
    return question


def question_text(request: str) -> str:
    """The words of a recorded question, or of a call that a turn waits for; the whole request if it is neither."""
    try:
        return question_of(request).text
    except ValueError:
        called = _called(request)
        return request if called is None else f"the outcome of calling {called}"


def _called(request: str) -> str | None:
    """The tool that a request calls; None if it calls none."""
    members = decode(request)
    if not isinstance(members, dict) or members.get("effect") != OF_CALL or type(members.get("tool")) is not str:
        return None
    return str(members["tool"])


def answer_reply(value: Any) -> str:
    """The reply that gives an answer. Raises ValueError for what is no JSON value."""
    return canonical({"ok": {"answer": value}})


def overdue_reply(question: Question) -> str:
    """The reply to a question whose deadline has passed."""
    if question.default is None:
        return error_reply("deadline", "nobody has answered before the deadline, and the question has no default")
    return canonical({"ok": {"answer": decode(question.default), "default": True}})


def is_overdue_reply(reply: str) -> bool:
    """Return whether a reply to a question was made since its deadline had passed."""
    value = {} if type(reply) is Withheld else decode(reply)
    if not isinstance(value, dict):
        return False
    ok, error = value.get("ok"), value.get("error")
    return (isinstance(ok, dict) and ok.get("default") is True) or (
        isinstance(error, dict) and error.get("kind") == "deadline"
    )


def answered(reply: str) -> Any:
    """The answer in a reply to a question, or the text of a tool's; None where there is none."""
    value = {} if type(reply) is Withheld else decode(reply)
    ok = value.get("ok") if isinstance(value, dict) else None
    return ok.get("answer", ok.get("text")) if isinstance(ok, dict) else None
