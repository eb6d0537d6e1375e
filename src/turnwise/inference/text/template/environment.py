"""jinja2 as chat templates expect it, with counted operations only.

It is jinja2's immutable sandbox, in which what a template can reach is listed instead of what it cannot: filters,
tests, methods and functions. One rendering at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, cast

from jinja2 import Undefined, nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace

from turnwise.inference.text import marked_text
from turnwise.inference.text.template import methods, tree
from turnwise.inference.text.template.date import strftime
from turnwise.inference.text.template.filters import Filters
from turnwise.inference.text.template.meter import TemplateRefused, WorkMeter, scalar, small
from turnwise.inference.text.template.operations import Operations
from turnwise.inference.text.template.tree import rewrite

MACRO_DEPTH_MAX: Final = 32
MESSAGE_CHARS_MAX: Final = 1000

_LAZY: Final = ("map", "reject", "rejectattr", "select", "selectattr")
"""jinja2's own filters that are used: they call other filters and tests by name."""
_TESTS: Final = (
    *("boolean", "callable", "defined", "divisibleby", "even", "false", "filter", "float", "integer", "iterable"),
    *("mapping", "none", "number", "odd", "sequence", "string", "test", "true", "undefined"),
)
_COMPARING: Final = {
    "eq": ("eq", "equalto", "=="), "ne": ("ne", "!="), "lt": ("lt", "lessthan", "<"), "lteq": ("le", "<="),
    "gt": ("gt", "greaterthan", ">"), "gteq": ("ge", ">="), "in": ("in",),
}  # fmt: skip
_FRAME: Final = ("_loop_vars", "_block_vars")
"""Arguments that compiled templates add to every call."""
_LOOP: Final = frozenset({"cycle"})


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Compile and run chat templates. `begin` before each rendering."""

    intercepted_binops = frozenset({"+", "-", "*", "**", "%", "//", "/"})
    intercepted_unops = frozenset({"+", "-"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation], cache_size=0)
        self._operations = operations = Operations()
        self._now_us = 0
        functions: dict[str, Callable[..., Any]] = {
            "dict": operations.mapping, "namespace": self._namespace, "raise_exception": _raise_exception,
            "strftime_now": self._strftime_now,
        }  # fmt: skip
        self.globals = {name: self.globals[name] for name in ("range", "cycler", "joiner")} | functions
        self._functions = frozenset(self.globals.values())
        lazy = {name: self._lazy(cast("Callable[..., Any]", self.filters[name])) for name in _LAZY}
        self._filters = filters = Filters(operations, self.getitem)
        self.filters = {name: self._metered(function) for name, function in filters.table().items()} | lazy
        self.filters |= {name: self._metered(function) for name, function in _tree(operations).items()}
        self.filters["attr"] = self._metered(lambda value, name: self.getattr(value, str(name)))
        tests = {name: cast("Callable[..., Any]", self.tests[name]) for name in _TESTS} | _tests(operations)
        self.tests = {name: self._metered(function) for name, function in tests.items()}

    def begin(self, now_us: int) -> None:
        """Begin a rendering at this virtual time (microseconds since 1970, UTC), with all its work left."""
        self._operations.meter = WorkMeter()
        self._now_us = now_us

    # -- what jinja2 calls ------------------------------------------------------------------------------------------

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        rewrite(template)
        return template

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            return self._operations.percent(left, right)
        self._operations.check_operator(operator, left, right)
        return small(super().call_binop(context, operator, left, right))

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        return super().call_unop(context, operator, small(arg))

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, str) and isinstance(argument, int):
            self._operations.meter.charge(len(obj))
            try:
                return marked_text.item(str(obj), argument)
            except IndexError:
                return self.undefined(obj=obj, name=cast("str", argument))
        return super().getitem(obj, scalar(argument))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if callable(value) and not isinstance(obj, Cycler | Joiner | Namespace | Undefined):
            return attr in (_LOOP if isinstance(obj, LoopContext) else methods.names(obj))
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` can pad without bound: it is not among the methods."""

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        self._operations.meter.charge()
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if name in methods.names(owner):
            named = {key: value for key, value in kwargs.items() if key not in _FRAME}
            return methods.call(self._filters, owner, name, args, named)
        if isinstance(obj, Macro):
            return self._call_macro(context, obj, *args, **kwargs)
        known = isinstance(owner, LoopContext | Cycler) or isinstance(obj, Joiner | Undefined)
        if known or (obj.__hash__ is not None and obj in self._functions):
            return super().call(context, obj, *args, **kwargs)
        raise TemplateRefused(f"a value of type {type(obj).__name__} cannot be called")

    def _call_macro(self, context: Context, macro: Macro, *args: Any, **kwargs: Any) -> Any:
        meter = self._operations.meter
        meter.depth += 1
        if meter.depth > MACRO_DEPTH_MAX:
            raise TemplateRefused(f"macros call each other more than {MACRO_DEPTH_MAX} deep")
        result = super().call(context, macro, *args, **kwargs)
        meter.depth -= 1
        return result

    # -- functions of templates -------------------------------------------------------------------------------------

    def _namespace(self, *values: Any, **named: Any) -> Namespace:
        return Namespace(self._operations.mapping(*values, **named))

    def _strftime_now(self, format_: Any) -> str:
        return strftime(self._now_us, format_)

    # -- wrappers ---------------------------------------------------------------------------------------------------
    # That they take the context keeps jinja2 from calling them once, when it compiles, for what is constant.

    def _metered(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @pass_context
        def metered(_: Context, *args: Any, **kwargs: Any) -> Any:
            self._operations.meter.charge()
            return function(*args, **kwargs)

        return metered

    def _lazy(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @pass_context
        def lazy(context: Context, values: Any, *args: Any, **kwargs: Any) -> Any:
            self._operations.meter.charge()
            return function(context, self._operations.meter.each(values), *args, **kwargs)

        return lazy


def _tree(operations: Operations) -> dict[str, Callable[..., Any]]:
    """Return the operations that a template's tree is rewritten to."""
    return {
        tree.LOOP: operations.loop, tree.PRINT: operations.printed,
        tree.CONCAT: operations.concat, tree.COMPARE: operations.compare,
        tree.SLICE: operations.slice, tree.KEY: operations.key,
    }  # fmt: skip


def _tests(operations: Operations) -> dict[str, Callable[..., Any]]:
    def comparing(name: str) -> Callable[[Any, Any], Any]:
        return lambda left, right: operations.compare(left, name, right)

    found: dict[str, Callable[..., Any]] = {
        alias: comparing(name) for name, aliases in _COMPARING.items() for alias in aliases
    }
    return {**found, "lower": operations.is_lower, "upper": operations.is_upper, "sameas": operations.is_same}


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks the assistant's text for training; here it is its content."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: object = "") -> NoReturn:
    raise TemplateRefused(str(message)[:MESSAGE_CHARS_MAX] if isinstance(message, str) else "raise_exception")
