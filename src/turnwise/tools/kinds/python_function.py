"""A Python function as a tool: its schemas from type hints, its words from its docstring.

Types are those of `msgspec`: texts, numbers, booleans, None, lists, tuples, dicts, `Literal`, unions, enums,
`TypedDict`, dataclasses, named tuples, dates and times. Arguments arrive as these types; a result leaves as JSON.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

DESCRIPTION_CHARS_MAX: Final = 16_384


class FunctionError(Exception):
    """A function that cannot be a tool; the text says which, and why."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function that is a tool."""

    name: str
    """Name."""
    call: Callable[..., Any]
    """The function itself."""
    is_async: bool
    """True if it is a coroutine function."""
    description: str
    """Description: the docstring without what it says of parameters and results."""
    input_schema: dict[str, Any]
    """Schema of its arguments."""
    output_schema: dict[str, Any] | None
    """Schema of its result; None if it gives text, or nothing is known."""
    arguments: type[msgspec.Struct]
    """Type of the arguments."""
    positional: tuple[str, ...]
    """Parameters that can be given by their place only."""

    def convert(self, args: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments by place and by name, as the types that the function wants. Raises `ValueError`.

        Those that are not given are left to the function's own defaults.
        """
        found = msgspec.convert(dict(args), self.arguments)
        given = {
            field.encode_name: getattr(found, field.name)
            for field in msgspec.structs.fields(self.arguments)
            if getattr(found, field.name) is not msgspec.UNSET
        }
        places: list[Any] = []
        for name in self.positional:
            if name not in given:
                break
            places.append(given.pop(name))
        return places, {name: value for name, value in given.items() if name not in self.positional}


def read_function(name: str, function: Callable[..., Any]) -> Function:
    """Return `function` as a tool. Raises `FunctionError`."""
    try:
        signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError, ValueError, AttributeError) as error:
        raise FunctionError(f"`{name}`: its type hints cannot be read: {error}") from None
    words, parameter_words = read_docstring(inspect.getdoc(function) or "")
    fields: list[tuple[str, Any, Any] | tuple[str, Any]] = []
    renamed: dict[str, str] = {}
    positional = []
    for number, parameter in enumerate(signature.parameters.values()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise FunctionError(f"`{name}`: a tool's parameters have names; `{parameter}` has none")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(parameter.name)
        hint = hints.get(parameter.name, Any)
        field = f"p{number}"  # names of parameters may be names that the type itself has
        renamed[field] = parameter.name
        if parameter.default is parameter.empty:
            fields.append((field, hint))
        else:
            fields.append((field, Any if hint is Any else Union[hint, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
    try:
        arguments = msgspec.defstruct(
            "Arguments", fields, kw_only=True, frozen=True, forbid_unknown_fields=True, rename=renamed
        )
        input_schema = schema_of(arguments)
        wanted = hints.get("return", Any)
        output_schema = None if wanted in (str, None, type(None), Any) else schema_of(wanted)
    except (TypeError, ValueError) as error:
        raise FunctionError(f"`{name}`: {error}") from None
    input_schema.pop("title", None)
    for parameter in signature.parameters.values():
        about = input_schema["properties"][parameter.name]
        said = _annotated_words(hints.get(parameter.name)) or parameter_words.get(parameter.name)
        if said:
            about.setdefault("description", said)
        if parameter.default is not parameter.empty and "default" not in about:
            with_default = _json_or_none(parameter.default)
            if with_default is not None:
                about["default"] = with_default[0]
    return Function(
        name,
        function,
        inspect.iscoroutinefunction(function),
        words[:DESCRIPTION_CHARS_MAX],
        input_schema,
        output_schema,
        arguments,
        tuple(positional),
    )


def functions_of_file(path: Path) -> list[str] | None:
    """Return names under which a file defines functions, by reading it; None where that cannot be said.

    Names that are given to what is computed are among them, since it may be a function.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names: list[str] = []
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.append(name)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                if name == "__all__":
                    return None
                if not isinstance(value, _NO_FUNCTION):
                    names.append(name)
            case ast.ImportFrom(names=imported) if any(one.name == "*" for one in imported):
                return None
            case ast.ClassDef() | ast.Import() | ast.ImportFrom() | ast.Expr():
                pass
            case _:  # a condition, say, below which functions are defined
                return None
    return [name for name in names if not name.startswith("_")]


_NO_FUNCTION: Final = (ast.Constant, ast.Dict, ast.List, ast.Set, ast.Tuple, ast.JoinedStr, ast.BinOp, type(None))
"""Expressions whose values are no functions; None: there is no value."""


def schema_of(wanted: Any) -> dict[str, Any]:
    """Return the JSON schema of a type, without a reference at its top. Raises `TypeError` for types without one."""
    (schema,), parts = msgspec.json.schema_components([wanted], ref_template="#/$defs/{name}")
    reference = schema.get("$ref")
    if reference is not None:
        schema = parts[reference.removeprefix("#/$defs/")]
    used = json.dumps([schema, parts])
    kept = {name: part for name, part in sorted(parts.items()) if part is not schema or f'"#/$defs/{name}"' in used}
    return {**schema, "$defs": kept} if kept else dict(schema)


_SECTION: Final = re.compile(r"(?P<title>[A-Z][A-Za-z ]*):\s*$")
_PARAMETERS: Final = ("args", "arguments", "parameters", "params", "keyword args", "keyword arguments")
_OTHER_SECTIONS: Final = ("returns", "return", "raises", "yields", "example", "examples", "note", "notes")
_FIELD: Final = re.compile(
    r":(?P<kind>param|parameter|arg|returns?|rtype|raises?|type)\b(?P<rest>[^:]*):\s*(?P<text>.*)"
)
_ITEM: Final = re.compile(r"(?P<name>\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)")


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return the words before the first section of a docstring, and what it says of each parameter.

    Sections are those of Google's style (`Args:`), fields those of Sphinx (`:param name:`).
    """
    words: list[str] = []
    about: dict[str, list[str]] = {}
    section: str | None = None
    item: list[str] | None = None
    item_indent = 0
    for line in text.splitlines():
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        title = _SECTION.fullmatch(line)
        if title and title["title"].lower() in (*_PARAMETERS, *_OTHER_SECTIONS):
            section, item, item_indent = title["title"].lower(), None, 0
        elif match := _FIELD.match(stripped):
            section, item, item_indent = "fields", None, indent
            if match["kind"] in ("param", "arg") and match["rest"].strip():
                item = about.setdefault(match["rest"].split()[-1], [])
                item.append(match["text"])
        elif section is None:
            words.append(line)
        elif not stripped:
            continue
        elif section in _PARAMETERS:
            found = _ITEM.fullmatch(stripped)
            if indent == 0:
                section = "over"
            elif found and (not item_indent or indent <= item_indent):
                item_indent = indent
                item = about.setdefault(found["name"].lstrip("*"), [])
                item.append(found["text"])
            elif item is not None:
                item.append(stripped)
        elif section == "fields" and item is not None and indent > item_indent:
            item.append(stripped)
    return "\n".join(words).strip(), {name: " ".join(filter(None, lines)) for name, lines in about.items()}


def _annotated_words(hint: Any) -> str | None:
    """Return the text of `Annotated[T, "text"]`."""
    if get_origin(hint) is not Annotated:
        return None
    return next((extra for extra in get_args(hint)[1:] if isinstance(extra, str)), None)


def _json_or_none(value: Any) -> tuple[Any] | None:
    """Return a default as JSON has it, in a tuple; None for one that JSON has not."""
    try:
        return (json.loads(json.dumps(msgspec.to_builtins(value), allow_nan=False)),)
    except (TypeError, ValueError, RecursionError):
        return None
