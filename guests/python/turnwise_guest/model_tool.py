"""Tools as a model is told of them: a name, words, and the JSON schema of the arguments.

A function of the agent is one by itself: its name, its docstring, and its parameters by their type hints.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from turnwise_guest.jsontext import canonical
from turnwise_guest.tool import Tool

NAME_CHARS_MAX = 200
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")
_PLAIN: dict[Any, dict[str, Any]] = {
    Any: {},
    inspect.Parameter.empty: {},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    list: {"type": "array"},
    dict: {"type": "object"},
}


@dataclass(frozen=True, slots=True)
class ModelTool:
    """A tool that a model can be told of, and may call."""

    name: str
    """Name by which it is called: letters, digits, and `_`, `.`, `/`, `-`."""
    description: str = ""
    """Words for the model about what it does; empty for none."""
    parameters: Mapping[str, Any] | None = None
    """JSON schema of its arguments, which are an object; None for no arguments."""
    function: Callable[..., Any] | None = None
    """Function that is called with the arguments by name; None for a tool of the world (`Turn.call`)."""

    @classmethod
    def of(cls, function: Callable[..., Any]) -> ModelTool:
        """Make a tool of a function: its name, its docstring, and a schema of its parameters' type hints.

        Hints are `str`, `int`, `float`, `bool`, `None`, `Any`, `Literal`, lists, dicts with text keys, typed dicts,
        unions of these, and ``Annotated[hint, "words for the model"]`` or ``Annotated[hint, {"maxLength": 40}]``.
        Raises `TypeError` naming the parameter that has another.
        """
        return cls(function.__name__, inspect.getdoc(function) or "", parameters_of(function), function)

    def told(self) -> dict[str, Any]:
        """Return the tool as a request to a model has it. Raises `TypeError` or `ValueError` for what is none."""
        if not isinstance(self.name, str) or not 0 < len(self.name) <= NAME_CHARS_MAX or set(self.name) - _NAME_CHARS:
            raise ValueError(
                f"a tool's name has 1 to {NAME_CHARS_MAX} letters, digits, _, ., / and -, not {self.name!r}"
            )
        if not isinstance(self.description, str):
            raise TypeError(f"the description of {self.name} is a text, not {self.description!r}")
        schema = {"type": "object", "properties": {}, "additionalProperties": False}
        if self.parameters is not None:
            schema = json.loads(canonical(dict(self.parameters), f"the parameters of {self.name}"))
        told: dict[str, Any] = {"name": self.name, "parameters": schema}
        if self.description:
            told["description"] = self.description
        if self.function is None:
            told["strict"] = False  # whoever is called checks arguments, and its schema is not ours to change
        return told


def tool_of(value: Any) -> ModelTool:
    """Return what was given as a model is told of it. Raises `TypeError` for what is no tool."""
    if isinstance(value, ModelTool):
        return value
    if isinstance(value, Tool):
        return ModelTool(value.name, value.description, value.input_schema)
    if isinstance(value, Mapping):
        if "name" not in value or not value.keys() <= {"name", "description", "parameters"}:
            raise TypeError(f"a tool has name, description and parameters, not {sorted(value)}")
        return ModelTool(value["name"], value.get("description") or "", value.get("parameters"))
    if callable(value):
        return ModelTool.of(value)
    raise TypeError(
        f"a tool is a Tool, a ModelTool, a function, or a dict of name, description and parameters, not {value!r}"
    )


def parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the JSON schema of a function's parameters. Raises `TypeError` naming one that cannot have any."""
    hints = typing.get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        where = f"{name} of {function.__name__}"
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{where} cannot be given by its name, as a model gives arguments")
        properties[name] = _schema(hints.get(name, inspect.Parameter.empty), where)
        if parameter.default is parameter.empty:
            required.append(name)
    return _object(properties, required)


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _schema(hint: Any, where: str) -> dict[str, Any]:
    try:
        if hint in _PLAIN:
            return dict(_PLAIN[hint])
    except TypeError:  # a hint that has no hash is none of these
        pass
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(arguments, where)
    if origin is Literal:
        if all(isinstance(value, str | int | bool | None) for value in arguments):
            return {"enum": list(arguments)}
    elif origin in (Union, types.UnionType):
        return {"anyOf": [_schema(one, where) for one in arguments]}
    elif origin is list:
        return {"type": "array", "items": _schema(arguments[0], where)}
    elif origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": _schema(arguments[1], where)}
    elif typing.is_typeddict(hint):
        return _typed_dict(hint, where)
    raise TypeError(
        f"the type hint of {where} is {hint!r}, which has no JSON schema: give one as ModelTool(parameters=…)"
    )


def _typed_dict(hint: Any, where: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = []
    for name, member in typing.get_type_hints(hint, include_extras=True).items():
        needed = name in hint.__required_keys__
        if get_origin(member) in (NotRequired, Required):  # which no text of an annotation has told the class
            needed, (member,) = get_origin(member) is Required, get_args(member)
        properties[name] = _schema(member, f"{name} of {where}")
        if needed:
            required.append(name)
    return _object(properties, required)


def _annotated(arguments: tuple[Any, ...], where: str) -> dict[str, Any]:
    schema = _schema(arguments[0], where)
    for more in arguments[1:]:
        if isinstance(more, str):
            schema["description"] = more
        elif isinstance(more, Mapping):
            schema.update(more)
    return schema
