"""Chat templates: messages become one prompt.

A template comes with the model folder, which is untrusted. It runs in jinja2's immutable sandbox, inside the inference
host (a process that can be killed), with these additions:

- Work is metered. Before a template is compiled, its tree is rewritten so that every pass of a loop and every text that
  is printed or joined is charged; filters and operators that can blow up a value are charged before they run. A
  template that exceeds `WORK_MAX` is refused at the same place on every machine, which a time limit could not promise.
- Only filters whose result depends on their arguments alone. No `random`, no clock, and nothing whose text holds a
  memory address can be printed, since prompts must be equal between equal runs.
- Nothing can be loaded: no include, import or inheritance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from turnwise.errors import ModelError
from turnwise.inference.requests.generate_request import ChatMessage
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.special_tokens import without_marks

TEMPLATE_CHARS_MAX: Final = 1024 * 1024
WORK_MAX: Final = 16 * 1024 * 1024
"""Characters made plus passes of loops plus calls, per rendered prompt."""
INTEGER_BITS_MAX: Final = 256
MACRO_DEPTH_MAX: Final = 32
VALUE_DEPTH_MAX: Final = 16
RESERVED: Final = frozenset({"messages", "add_generation_prompt"})
"""What a request cannot set by its template arguments, beside special tokens and functions."""

_FILTERS: Final = frozenset(
    {"abs", "attr", "batch", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int"}
    | {"items", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round"}
    | {"safe", "select", "selectattr", "sort", "string", "sum", "title", "trim", "unique", "upper"}
)
_GROWING_METHODS: Final = frozenset(
    {"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill", "translate"}
)


class TemplateRefused(Exception):
    """The template called `raise_exception`, or did what templates may not."""


class Meter:
    """Work that one rendering has left."""

    def __init__(self) -> None:
        self.left = WORK_MAX
        self.depth = 0

    def charge(self, work: int) -> None:
        self.left -= work
        if self.left < 0:
            raise TemplateRefused(f"it needs more than {WORK_MAX} units of work (characters, passes of loops, calls)")


class ChatTemplate:
    """A compiled template. `special_tokens` are the texts that it may name (`bos_token`, `eos_token`, …)."""

    def __init__(self, source: str, special_tokens: Mapping[str, str], *, where: str) -> None:
        """Compile. Raises ModelError, `where` naming the file, if the template is not valid."""
        if len(source) > TEMPLATE_CHARS_MAX:
            raise ModelError(
                f"the chat template has {len(source)} characters, at most {TEMPLATE_CHARS_MAX} are allowed", where=where
            )
        self._environment = _Environment()
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

    def render(self, messages: Sequence[ChatMessage], arguments: Mapping[str, Any] = MappingProxyType({})) -> str:
        """The prompt for the assistant's next message. Raises Refusal if the template refuses these messages.

        `arguments` are JSON values that the template may ask for, such as `enable_thinking` or `tools`.
        """
        for name in arguments:
            if name in RESERVED or name in self._special_tokens or name in self._environment.globals:
                raise Refusal("refused", f"template has the argument {name!r}, which every prompt has already")
        meter = Meter()
        self._environment.meter = meter
        values = [{"role": message.role, "content": message.content} for message in messages]
        own = {"messages": values, "add_generation_prompt": True}
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


class _Environment(ImmutableSandboxedEnvironment):
    """jinja2 as Hugging Face's templates expect it, metered. One rendering at a time."""

    intercepted_binops = frozenset({"+", "-", "*", "**", "%", "//", "/"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation], cache_size=0)
        self.meter = Meter()
        self.globals = {name: self.globals[name] for name in ("range", "dict", "namespace", "cycler", "joiner")} | {
            "raise_exception": _raise_exception
        }
        own: dict[str, Callable[..., Any]] = {
            name: _charged(self, cast("Callable[..., Any]", self.filters[name])) for name in _FILTERS
        }
        own |= {"tojson": self._tojson, "replace": self._replace, "join": self._join, "indent": self._indent}
        own |= {"turnwise_loop": self._loop, "turnwise_print": self._print, "turnwise_concat": self._concat}
        self.filters = own

    # The tree is rewritten between parsing and compiling.

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        _rewrite(template)
        return template

    # That they take the context keeps jinja2 from calling them once, when it compiles, for what is constant.

    @pass_context
    def _loop(self, _: Context, values: Any) -> Iterator[Any]:
        return self._charged_each(values)

    @pass_context
    def _print(self, _: Context, value: Any) -> str:
        return self._charged_text(value)

    @pass_context
    def _concat(self, _: Context, values: list[Any]) -> str:
        return "".join([self._charged_text(value) for value in values])

    def _charged_each(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self.meter.charge(1)
            yield value

    def _charged_text(self, value: Any) -> str:
        text = plain_text(value)
        self.meter.charge(len(text) + 1)
        return text

    # Filters and operators whose result can be much larger than their arguments.

    def _replace(self, value: Any, old: str, new: str, count: int | None = None) -> str:
        text, old, new = plain_text(value), plain_text(old), plain_text(new)
        self.meter.charge(len(text) + (text.count(old) + 1) * len(new))
        return text.replace(old, new, -1 if count is None else count)

    def _join(self, values: Iterable[Any], separator: str = "", attribute: str | int | None = None) -> str:
        chosen = values if attribute is None else [self.getitem(value, attribute) for value in values]
        glue = plain_text(separator)
        texts = []
        for value in self._charged_each(chosen):
            texts.append(plain_text(value))
            self.meter.charge(len(texts[-1]) + len(glue))
        return glue.join(texts)

    def _indent(self, value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        margin = width if isinstance(width, str) else " " * min(max(width, 0), 256)
        lines = plain_text(value).splitlines()
        self.meter.charge(sum(len(line) + len(margin) for line in lines))
        return "\n".join(
            margin + line if (first or index) and (blank or line) else line for index, line in enumerate(lines)
        )

    def _tojson(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        _check_plain(value, VALUE_DEPTH_MAX)
        text = json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=None if indent is None else min(max(indent, 0), 16),
            separators=separators,
            sort_keys=sort_keys,
        )
        self.meter.charge(len(text))
        return text

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for value, times in ((left, right), (right, left)):
                if isinstance(value, str | list | tuple) and isinstance(times, int):
                    self.meter.charge(len(value) * max(times, 0))
        elif operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            self.meter.charge(len(left) + len(right))
        elif operator == "%" and isinstance(left, str):
            raise TemplateRefused("formatting with % is not supported")
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * max(right, 1)
            if bits > INTEGER_BITS_MAX:
                raise TemplateRefused(f"a whole number of more than {INTEGER_BITS_MAX} bits")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and result.bit_length() > INTEGER_BITS_MAX:
            raise TemplateRefused(f"a whole number of more than {INTEGER_BITS_MAX} bits")
        return result

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str | bytes) and attr in _GROWING_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` can pad without bound: treated like the other growing methods."""

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        self.meter.charge(1)
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, str):
            if name == "replace":
                return self._replace(owner, *args)
            if name == "join" and args:
                return self._join(args[0], owner)
            self.meter.charge(len(owner))
        if not isinstance(obj, Macro):
            return super().call(context, obj, *args, **kwargs)
        self.meter.depth += 1
        if self.meter.depth > MACRO_DEPTH_MAX:
            raise TemplateRefused(f"macros call each other more than {MACRO_DEPTH_MAX} deep")
        result = super().call(context, obj, *args, **kwargs)
        self.meter.depth -= 1
        return result


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks the assistant's text for training; here it is its content."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def plain_text(value: Any) -> str:
    """`str(value)` for values whose text is determined by their content."""
    if isinstance(value, str):
        return str(value)
    _check_plain(value, VALUE_DEPTH_MAX)
    return str(value)


def _check_plain(value: Any, depth: int) -> None:
    if value is None or isinstance(value, str | int | float | Undefined):
        return
    if depth == 0:
        raise TemplateRefused(f"a value nested more than {VALUE_DEPTH_MAX} deep")
    if type(value) in (list, tuple):
        for item in value:
            _check_plain(item, depth - 1)
    elif type(value) is dict:
        for key, item in value.items():
            _check_plain(key, depth - 1)
            _check_plain(item, depth - 1)
    else:
        raise TemplateRefused(f"a value of type {type(value).__name__} has no text")


def _raise_exception(message: object = "") -> NoReturn:
    raise TemplateRefused(str(message)[:1000] if isinstance(message, str) else "raise_exception")


def _charged(environment: _Environment, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, charging the size of what it is given (jinja2's markers for context arguments are kept)."""

    def charged(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if isinstance(value, str | list | tuple | dict | range):
                environment.meter.charge(len(value) + 1)
        return function(*args, **kwargs)

    if hasattr(function, "jinja_pass_arg"):
        charged.jinja_pass_arg = function.jinja_pass_arg  # type: ignore[attr-defined]
    return charged


def _rewrite(node: nodes.Node) -> None:
    """Charge loops, prints and joins everywhere below `node`. Raises TemplateSyntaxError for what is not allowed."""
    if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
        raise TemplateSyntaxError("a chat template cannot load other templates", node.lineno)
    if isinstance(node, nodes.For) and node.recursive:
        raise TemplateSyntaxError("recursive loops are not supported", node.lineno)
    for child in node.iter_child_nodes():
        _rewrite(child)
    if isinstance(node, nodes.For):
        node.iter = _filter(cast("nodes.Expr", node.iter), "turnwise_loop")
    elif isinstance(node, nodes.Output):
        node.nodes = [_printed(child) for child in node.nodes]
    for field, value in node.iter_fields():
        if isinstance(value, nodes.Concat):
            setattr(node, field, _concat(value))
        elif isinstance(value, list):
            setattr(node, field, [_concat(item) if isinstance(item, nodes.Concat) else item for item in value])


def _printed(node: nodes.Node) -> nodes.Expr:
    if isinstance(node, nodes.TemplateData):
        return _filter(nodes.Const(node.data, lineno=node.lineno), "turnwise_print")
    assert isinstance(node, nodes.Expr)
    return _filter(_concat(node) if isinstance(node, nodes.Concat) else node, "turnwise_print")


def _concat(node: nodes.Concat) -> nodes.Expr:
    return _filter(nodes.List(list(node.nodes), lineno=node.lineno), "turnwise_concat")


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
