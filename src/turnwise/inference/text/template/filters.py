"""The filters of chat templates, each counted before it does its work.

They are jinja2's by name and result. Each takes time and memory in proportion to what it charges, and its result
depends on its arguments alone. Texts keep their marks (`special_tokens`), and are looked at without them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from jinja2 import Undefined

from turnwise.inference.text import marked_text
from turnwise.inference.text.special_tokens import MARK
from turnwise.inference.text.template.meter import TemplateRefused, WorkMeter, scalar, small
from turnwise.inference.text.template.operations import Operations

INDENT_MAX: Final = 256
JSON_INDENT_MAX: Final = 16
SEPARATOR_CHARS_MAX: Final = 16
DIGITS_MAX: Final = 77
"""Of a text that becomes a whole number."""
PRECISION_MAX: Final = 15

_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}


class Filters:
    """The filters, by `table`; each is a method `do_…`."""

    def __init__(self, operations: Operations, getitem: Callable[[Any, Any], Any]) -> None:
        """`getitem` finds an attribute of a value as the template's environment does."""
        self._operations = operations
        self._getitem = getitem

    @property
    def meter(self) -> WorkMeter:
        return self._operations.meter

    def equal(self, left: Any, right: Any) -> bool:
        """True if two values are equal; texts are compared without their marks."""
        return bool(self._operations.compare(left, "eq", right))

    def table(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by the names that templates call them by."""
        found = {name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")}
        aliases = {"count": "length", "d": "default", "e": "escape", "safe": "string"}
        return found | {alias: found[name] for alias, name in aliases.items()}

    def do_abs(self, value: Any) -> Any:
        return abs(small(value))

    def do_batch(self, values: Any, linecount: int, fill_with: Any = None) -> Iterator[list[Any]]:
        row: list[Any] = []
        for value in self.meter.each(values):
            if len(row) == linecount:
                yield row
                row = []
            row.append(value)
        if row:
            if fill_with is not None and len(row) < linecount:
                self.meter.charge(linecount)
                row += [fill_with] * (linecount - len(row))
            yield row

    def do_capitalize(self, value: Any) -> str:
        return marked_text.recased(self.meter.text(value), str.capitalize)

    def do_default(self, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
        return default_value if isinstance(value, Undefined) or (boolean and not value) else value

    def do_dictsort(
        self, value: Mapping[Any, Any], case_sensitive: bool = False, by: str = "key", reverse: bool = False
    ) -> list[tuple[Any, Any]]:
        if by not in ("key", "value"):
            raise TemplateRefused('dictsort takes by="key" or by="value"')
        place = 0 if by == "key" else 1
        items = list(self.meter.each(value.items()))
        return self._sorted(items, lambda item: (self._key(item[place], case_sensitive),), reverse)

    def do_escape(self, value: Any) -> str:
        text = self.meter.text(value)
        return "".join([_ESCAPES.get(letter, letter) for letter in text])

    def do_first(self, values: Any) -> Any:
        return next(self.meter.each(values), Undefined("no first item, the sequence was empty"))

    def do_last(self, values: Any) -> Any:
        if isinstance(values, str):
            return marked_text.item(str(values), -1) if values else Undefined("no last item, the sequence was empty")
        return next(reversed(values), Undefined("no last item, the sequence was empty"))

    def do_float(self, value: Any, default: float = 0.0) -> Any:
        try:
            return float(self.meter.plain(value))
        except (TypeError, ValueError, OverflowError):
            return default

    def do_format(self, value: Any, *values: Any, **named: Any) -> str:
        return self._operations.percent(self.meter.text(value), values, **named)

    def do_indent(self, value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        margin = width if isinstance(width, str) else " " * min(max(width, 0), INDENT_MAX)
        lines = marked_text.splitlines(self.meter.text(value) + "\n")
        self.meter.charge(sum(len(line) + len(margin) for line in lines))
        rest = [margin + line if blank or line else line for line in lines[1:]]
        return (margin if first else "") + "\n".join([lines[0], *rest])

    def do_int(self, value: Any, default: Any = 0, base: int = 10) -> Any:
        value = self.meter.plain(value)
        try:
            if isinstance(value, str):
                if len(value) > DIGITS_MAX:
                    raise TemplateRefused(f"a whole number of more than {DIGITS_MAX} characters")
                return int(value, base)
            return int(value)
        except (TypeError, ValueError, OverflowError):
            try:
                return int(float(value))
            except (TypeError, ValueError, OverflowError):
                return default

    def do_items(self, value: Any) -> Iterator[Any]:
        if isinstance(value, Undefined):
            return iter(())
        if not isinstance(value, Mapping):
            raise TypeError("items")
        return self.meter.each(value.items())

    def do_join(self, values: Any, d: Any = "", attribute: str | int | None = None) -> str:
        glue = self.meter.text(d)
        texts = []
        for value in self.meter.each(values):
            texts.append(self.meter.text(self._attribute(value, attribute)))
            self.meter.charge(len(glue))
        return glue.join(texts)

    def do_length(self, value: Any) -> int:
        if isinstance(value, str):
            self.meter.charge(len(value))
            return len(marked_text.plain(value))
        return len(value)

    def do_list(self, values: Any) -> list[Any]:
        return list(self.meter.each(values))

    def do_lower(self, value: Any) -> str:
        return marked_text.recased(self.meter.text(value), str.lower)

    def do_max(self, values: Any, case_sensitive: bool = False, attribute: str | int | None = None) -> Any:
        return self._extreme(max, values, case_sensitive, attribute)

    def do_min(self, values: Any, case_sensitive: bool = False, attribute: str | int | None = None) -> Any:
        return self._extreme(min, values, case_sensitive, attribute)

    def do_replace(self, value: Any, old: Any, new: Any, count: int | None = None) -> str:
        text, old, new = self.meter.text(value), marked_text.plain(self.meter.text(old)), self.meter.text(new)
        times = marked_text.plain(text).count(old)
        self.meter.charge((times if count is None or count < 0 else min(times, count)) * len(new))
        return marked_text.replace(text, old, new, -1 if count is None else count)

    def do_reverse(self, values: Any) -> Any:
        if isinstance(values, str):
            return "".join(reversed(list(self.meter.each(values))))
        return reversed(list(self.meter.each(values)))

    def do_round(self, value: Any, precision: int = 0, method: str = "common") -> Any:
        small(value)
        if not -PRECISION_MAX <= precision <= PRECISION_MAX:
            raise TemplateRefused(f"round takes a precision from -{PRECISION_MAX} to {PRECISION_MAX}")
        if method == "common":
            return round(value, precision)
        if method not in ("ceil", "floor"):
            raise TemplateRefused("round takes the methods common, ceil and floor")
        return (math.ceil if method == "ceil" else math.floor)(value * 10**precision) / 10**precision

    def do_sort(
        self, values: Any, reverse: bool = False, case_sensitive: bool = False, attribute: str | int | None = None
    ) -> list[Any]:
        paths = attribute.split(",") if isinstance(attribute, str) else [attribute]
        items = list(self.meter.each(values))
        return self._sorted(
            items,
            lambda item: tuple([self._key(self._attribute(item, path), case_sensitive) for path in paths]),
            reverse,
        )

    def do_sum(self, values: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
        total = start
        for value in self.meter.each(values):
            term = self._attribute(value, attribute)
            self._operations.check_operator("+", total, term)
            total = total + term
        return small(total)

    def do_string(self, value: Any) -> str:
        return self.meter.text(value)

    def do_title(self, value: Any) -> str:
        return marked_text.title(self.meter.text(value))

    def do_tojson(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        before = self.meter.left
        self.meter.check_shown(value)
        if indent is not None:
            indent = min(max(indent, 0), JSON_INDENT_MAX)
            self.meter.charge((before - self.meter.left) * indent)
        if separators is not None and any(len(text) > SEPARATOR_CHARS_MAX for text in separators):
            raise TemplateRefused(f"tojson takes separators of at most {SEPARATOR_CHARS_MAX} characters")
        text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys)
        if ensure_ascii:
            text = _ascii(text)
        self.meter.charge(len(text))
        return text

    def do_trim(self, value: Any, chars: str | None = None) -> str:
        return marked_text.strip(self.meter.text(value), chars)

    def do_unique(self, values: Any, case_sensitive: bool = False, attribute: str | int | None = None) -> Iterator[Any]:
        seen = set()
        for value in self.meter.each(values):
            key = self._key(self._attribute(value, attribute), case_sensitive)
            if key not in seen:
                seen.add(key)
                yield value

    def do_upper(self, value: Any) -> str:
        return marked_text.recased(self.meter.text(value), str.upper)

    def do_wordcount(self, value: Any) -> int:
        return len(re.findall(r"\w+", marked_text.plain(self.meter.text(value))))

    # -- shared ----------------------------------------------------------------------------------------------------

    def _attribute(self, value: Any, path: str | int | None) -> Any:
        if path is None:
            return value
        for part in path.split(".") if isinstance(path, str) else [path]:
            value = self._getitem(value, int(part) if isinstance(part, str) and part.isdigit() else part)
        return value

    def _key(self, value: Any, case_sensitive: bool) -> Any:
        key = scalar(value)
        if not isinstance(key, str):
            return key
        self.meter.charge(len(key))
        return key if case_sensitive else key.lower()

    def _sorted(self, items: list[Any], key: Callable[[Any], tuple[Any, ...]], reverse: bool) -> list[Any]:
        before = self.meter.left
        keys = [key(item) for item in items]
        self.meter.charge((before - self.meter.left + len(items)) * len(items).bit_length())
        places = sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)
        return [items[place] for place in places]

    def _extreme(self, choose: Any, values: Any, case_sensitive: bool, attribute: str | int | None) -> Any:
        items = list(self.meter.each(values))
        if not items:
            return Undefined("no aggregated item, sequence was empty.")
        return choose(items, key=lambda item: self._key(self._attribute(item, attribute), case_sensitive))


def _ascii(text: str) -> str:
    r"""JSON text whose characters beyond ASCII are written `\uXXXX`; marks stay."""

    def escaped(match: re.Match[str]) -> str:
        return "".join(
            f"\\u{unit:04x}" for unit in memoryview(match.group().encode("utf-16", "surrogatepass")[2:]).cast("H")
        )

    return re.sub(rf"[^\x00-\x7f{MARK}]", escaped, text)
