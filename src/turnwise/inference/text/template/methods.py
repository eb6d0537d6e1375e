"""The methods that a chat template may call on texts, lists and mappings, each counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from turnwise.inference.text import marked_text
from turnwise.inference.text.template.filters import Filters
from turnwise.inference.text.template.meter import TemplateRefused, scalar

Method = Callable[..., Any]

_CUTTING: Final[Mapping[str, Method]] = {
    "lstrip": marked_text.lstrip, "removeprefix": marked_text.removeprefix, "removesuffix": marked_text.removesuffix,
    "rstrip": marked_text.rstrip, "strip": marked_text.strip, "partition": marked_text.partition,
    "rpartition": marked_text.rpartition, "rsplit": marked_text.rsplit, "split": marked_text.split,
    "splitlines": marked_text.splitlines,
}  # fmt: skip
_CASES: Final[Mapping[str, Callable[[str], str]]] = {
    "capitalize": str.capitalize, "casefold": str.casefold, "lower": str.lower, "swapcase": str.swapcase,
    "title": str.title, "upper": str.upper,
}  # fmt: skip
_LOOKING: Final = frozenset(
    {"count", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier"}
    | {"islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "rfind", "rindex", "startswith"}
)
TEXT: Final = frozenset({*_CUTTING, *_CASES, *_LOOKING, "join", "replace"})
SEQUENCE: Final = frozenset({"count", "index"})
MAPPING: Final = frozenset({"get", "items", "keys", "values"})


def names(value: object) -> frozenset[str]:
    """Return the methods of a value that a template may call."""
    if isinstance(value, str):
        return TEXT
    if isinstance(value, list | tuple):
        return SEQUENCE
    return MAPPING if isinstance(value, dict) else frozenset()


def call(filters: Filters, owner: Any, name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Call the method `name` of `owner`, which must be among its `names`."""
    if isinstance(owner, str):
        return _text(filters, owner, name, arguments, named)
    if isinstance(owner, dict):
        return _mapping(filters, owner, name, *arguments, **named)
    places = [place for place, item in enumerate(owner) if filters.equal(item, arguments[0])]
    if name == "index":
        if not places:
            raise TemplateRefused("index: it is not in the list")
        return places[0]
    return len(places)


def _text(filters: Filters, owner: str, name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    meter = filters.meter
    text = meter.text(owner)
    if name == "join":
        return filters.do_join(arguments[0], text)
    if name == "replace":
        return filters.do_replace(text, *arguments, **named)
    if name in _CASES:
        return marked_text.recased(text, _CASES[name])
    plain = [meter.plain(argument) for argument in arguments]
    if name in _CUTTING:
        return _CUTTING[name](text, *plain, **named)
    return getattr(marked_text.plain(text), name)(*plain, **named)


def _mapping(filters: Filters, owner: dict[Any, Any], name: str, *arguments: Any, **named: Any) -> Any:
    if name == "get":
        return owner.get(scalar(arguments[0]), *arguments[1:], **named)
    filters.meter.charge(len(owner))
    found: Iterator[Any] | Any = getattr(owner, name)()
    return found
