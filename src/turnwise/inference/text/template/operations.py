"""Operations of templates on values, beside filters: operators, comparisons, slices, loops, tests, functions.

Together with `template.filters` and `template.methods` this is a closed list, where jinja2 has an open one: what is not
here, a template cannot do.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from jinja2 import Undefined

from turnwise.inference.text import marked_text
from turnwise.inference.text.template.meter import INTEGER_BITS_MAX, TemplateRefused, WorkMeter, scalar, small

_ORDERS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lteq": operator.le, "gt": operator.gt,
    "gteq": operator.ge,
}  # fmt: skip
_PERCENT: Final = re.compile(r"%(?:%|[-+ 0]?\d{0,2}(?:\.\d)?[dixXeEfFgG]|s)")


class Operations:
    """Operations on values, charged to the `meter` of the current rendering."""

    def __init__(self) -> None:
        self.meter = WorkMeter()

    # -- what the tree is rewritten to ------------------------------------------------------------------------------

    def loop(self, values: Any) -> Iterator[Any]:
        return self.meter.each(values)

    def printed(self, value: Any) -> str:
        return self.meter.text(value)

    def concat(self, values: list[Any]) -> str:
        return "".join([self.meter.text(value) for value in values])

    def slice(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        if isinstance(value, str):
            self.meter.charge(len(value))
            return marked_text.sliced(str(value), start, stop, step)
        if isinstance(value, list | tuple):
            self.meter.charge(len(range(*slice(start, stop, step).indices(len(value)))))
        return value[start:stop:step]

    def key(self, value: Any) -> Any:
        return scalar(value)

    def compare(self, left: Any, *rest: Any) -> Any:
        """`left`, then pairs of an operator's name and what is on its right."""
        result: Any = True
        for name, right in zip(rest[::2], rest[1::2], strict=True):
            result = self._holds(name, left, right)
            if not result:
                break
            left = right
        return result

    def _holds(self, name: str, left: Any, right: Any) -> Any:
        self.meter.charge()
        if name in _ORDERS:
            return _ORDERS[name](self.meter.plain(left), self.meter.plain(right))
        return self._contains(right, left) == (name == "in")

    def _contains(self, container: Any, value: Any) -> bool:
        if isinstance(container, str):
            if not isinstance(value, str):
                return str(value) in container if isinstance(value, Undefined) else value in container
            return self.meter.plain(value) in self.meter.plain(container)
        if isinstance(container, dict):
            return scalar(value) in container
        value = self.meter.plain(value)
        if isinstance(container, range):
            return value in container
        return any(value == self.meter.plain(item) for item in self.meter.each(container))

    # -- operators --------------------------------------------------------------------------------------------------

    def check_operator(self, name: str, left: Any, right: Any) -> None:
        """Charge a binary operator before it runs. Raises TemplateRefused for numbers that grow without bound."""
        small(left)
        small(right)
        if name == "*":
            for value, times in ((left, right), (right, left)):
                if isinstance(times, int) and hasattr(value, "__len__"):
                    self.meter.charge(len(value) * max(times, 0))
        elif name == "+" and hasattr(left, "__len__") and hasattr(right, "__len__"):
            self.meter.charge(len(left) + len(right))
        elif name == "**" and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * max(right, 1)
            if bits > INTEGER_BITS_MAX:
                raise TemplateRefused(f"a whole number of more than {INTEGER_BITS_MAX} bits")
        self.meter.charge(1)

    def percent(self, text: str, values: Any, **named: Any) -> str:
        """`text % values`, for directives without width but for numbers."""
        self.meter.charge(len(text))
        left = _PERCENT.sub("", text)
        if "%" in left:
            raise TemplateRefused("formatting with % knows %s, and %d, %f and the like with a width of two digits")
        values = named or values
        for value in values if isinstance(values, tuple) else (values,):
            self.meter.text(value)
        return f"{str(text) % values}"

    # -- tests ------------------------------------------------------------------------------------------------------

    def is_lower(self, value: Any) -> bool:
        return marked_text.plain(self.meter.text(value)).islower()

    def is_upper(self, value: Any) -> bool:
        return marked_text.plain(self.meter.text(value)).isupper()

    def is_same(self, value: Any, other: Any) -> bool:
        """Identity, where it does not depend on how Python keeps values: for None, true, false and undefined."""
        if isinstance(value, str | int | float):
            return type(value) is type(other) and bool(self._holds("eq", value, other))
        return value is other

    # -- functions --------------------------------------------------------------------------------------------------

    def mapping(self, *values: Any, **named: Any) -> dict[Any, Any]:
        """`dict(…)`."""
        found: dict[Any, Any] = {}
        for value in values:
            pairs = value.items() if isinstance(value, dict) else value
            for key, item in self.meter.each(pairs):
                found[scalar(key)] = item
        return found | named
