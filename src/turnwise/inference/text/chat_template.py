"""Chat templates: messages become one prompt.

A template comes with the model folder, which is untrusted. It runs in jinja2's immutable sandbox, inside the inference
host, with these additions:

- Work is counted (`template.meter`): every pass of a loop, every call, every character that is looked at or made. A
  template that exceeds `WORK_MAX` is refused at the same place on every machine, which a time limit could not promise.
- What a template can do is listed (`template.operations`, `template.methods`). No chance, no clock but the run's
  virtual one, and nothing whose text holds a memory address: prompts must be equal between equal runs.
- Nothing can be loaded: no include, import or inheritance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from jinja2 import TemplateError

from turnwise.errors import ModelError
from turnwise.inference.requests.generate_request import ChatMessage
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.special_tokens import without_marks
from turnwise.inference.text.template.environment import TemplateEnvironment
from turnwise.inference.text.template.meter import TemplateRefused

TEMPLATE_CHARS_MAX: Final = 1024 * 1024
RESERVED: Final = frozenset({"messages", "add_generation_prompt"})
"""Names that a request cannot set by its template arguments, beside special tokens and functions."""


class ChatTemplate:
    """A compiled template. `special_tokens` are the texts that it may name (`bos_token`, `eos_token`, …)."""

    def __init__(self, source: str, special_tokens: Mapping[str, str], *, where: str) -> None:
        """Compile. Raises ModelError, `where` naming the file, if the template is not valid."""
        if len(source) > TEMPLATE_CHARS_MAX:
            raise ModelError(
                f"the chat template has {len(source)} characters, at most {TEMPLATE_CHARS_MAX} are allowed", where=where
            )
        self._environment = TemplateEnvironment()
        self._special_tokens = dict(special_tokens)
        try:
            self._template = self._environment.from_string(source)
        except (TemplateError, RecursionError, SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            raise ModelError(
                f"the chat template is not valid{f' (line {line})' if line else ''}: {error}",
                where=where,
                hint="Correct the template, or give prompts instead of messages and remove it.",
            ) from error

    @cached_property
    def takes_system(self) -> bool:
        """True if it shows what a system message says; some refuse one, or leave it out."""
        probe = "turnwise_system"
        try:
            return probe in self.render([ChatMessage("system", probe), ChatMessage("user", "turnwise_question")])
        except Refusal:
            return False

    def render(
        self,
        messages: Sequence[ChatMessage],
        arguments: Mapping[str, Any] = MappingProxyType({}),
        *,
        now_us: int = 0,
        answer: bool = True,
    ) -> str:
        """Make the prompt for the assistant's next message. Raises Refusal if the template refuses these messages.

        `arguments` are JSON values that the template may ask for, such as `enable_thinking` or `tools`. `now_us` is the
        run's virtual time, for `strftime_now`: microseconds since 1970, UTC. Without `answer`, the messages alone.
        """
        for name in arguments:
            if name in RESERVED or name in self._special_tokens or name in self._environment.globals:
                raise Refusal("refused", f"template has the argument {name!r}, which every prompt has already")
        self._environment.begin(now_us)
        values = [{**message.more, "role": message.role, "content": message.content} for message in messages]
        own = {"messages": values, "add_generation_prompt": answer}
        try:
            return self._template.render({"tools": None, "documents": None, **arguments, **self._special_tokens, **own})
        except RecursionError as error:
            raise Refusal("refused", "the chat template recurses too deeply") from error
        except TemplateRefused as error:
            raise Refusal(
                "refused", f"the chat template refuses these messages: {without_marks(str(error))}"
            ) from error
        except TemplateError as error:
            raise Refusal("refused", f"the chat template failed: {without_marks(str(error))}") from error
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            # Python's own messages change between versions; the reply is part of the head.
            raise Refusal("refused", f"the chat template failed with {type(error).__name__}") from error
