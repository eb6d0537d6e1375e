"""Inputs and outputs of any graph: names, types and dimensions, and whether given tensors fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from turnwise.errors import ModelError
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import ELEMENT_BYTES, TENSORS_COUNT_MAX, Tensor

_TYPES: Final = {f"tensor({name})": name for name in ELEMENT_BYTES} | {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
}

Dim = int | str | None
"""A number, a symbol (the same number wherever it stands), or open."""


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output. `dims` empty: a single number, or a graph that says nothing about the shape."""

    name: str
    dtype: str
    dims: tuple[Dim, ...]

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join('?' if dim is None else str(dim) for dim in self.dims)}]"


def ports_of(items: Sequence[Any], where: Path, what: str) -> tuple[Port, ...]:
    """The session's inputs or outputs. Raises ModelError for what is no tensor of numbers."""
    if len(items) > TENSORS_COUNT_MAX:
        raise ModelError(
            f"the graph has {len(items)} {what}s, at most {TENSORS_COUNT_MAX} are allowed",
            where=str(where),
            expected=TENSORS_COUNT_MAX,
            actual=len(items),
        )
    ports = []
    for item in items:
        dtype = _TYPES.get(item.type)
        if dtype is None:
            raise ModelError(
                f"the {what} {item.name!r} has type {item.type}",
                where=str(where),
                expected=sorted(_TYPES),
                actual=item.type,
                hint="Only tensors of numbers and booleans can be exchanged: export the graph without this one.",
            )
        dims = [dim if isinstance(dim, int) and dim >= 0 else dim or None for dim in item.shape]
        ports.append(Port(item.name, dtype, tuple(dim if isinstance(dim, int | str) else None for dim in dims)))
    return tuple(ports)


def check(ports: Sequence[Port], tensors: Mapping[str, Tensor]) -> None:
    """Whether tensors fit the inputs: all there, of the right type and shape, symbols consistent. Raises Refusal."""
    known = [port.name for port in ports]
    unknown = sorted(tensors.keys() - set(known))
    if unknown:
        raise Refusal("refused", f"the graph has no input {unknown[0]!r}: it has {_all(ports)}")
    sizes: dict[str, tuple[int, str]] = {}
    for port in ports:
        tensor = tensors.get(port.name)
        if tensor is None:
            raise Refusal("refused", f"the input {port.name!r} is missing: the graph takes {_all(ports)}")
        if tensor.dtype != port.dtype:
            raise Refusal("refused", f"the input {port.name!r} is {tensor.dtype}, and the graph takes {port}")
        _check_shape(port, tensor.shape, sizes)


def _check_shape(port: Port, shape: tuple[int, ...], sizes: dict[str, tuple[int, str]]) -> None:
    if not port.dims:
        return
    fits = len(shape) == len(port.dims) and all(
        size == dim for size, dim in zip(shape, port.dims, strict=True) if isinstance(dim, int)
    )
    if not fits:
        raise Refusal("refused", f"the input {port.name!r} has shape {list(shape)}, and the graph takes {port}")
    for size, dim in zip(shape, port.dims, strict=True):
        if isinstance(dim, str):
            known, name = sizes.setdefault(dim, (size, port.name))
            if known != size:
                message = (
                    f"the dimension {dim!r} is {known} in {name!r} and {size} in {port.name!r}: it must be one number"
                )
                raise Refusal("refused", message)


def batch_symbol(inputs: Sequence[Port], outputs: Sequence[Port]) -> str | None:
    """The symbol that is the first dimension of every input and output and stands nowhere else, or None."""
    first = {port.dims[0] if port.dims else None for port in (*inputs, *outputs)}
    symbol = first.pop() if len(first) == 1 else None
    if not inputs or not isinstance(symbol, str) or any(symbol in port.dims[1:] for port in (*inputs, *outputs)):
        return None
    return symbol


def _all(ports: Sequence[Port]) -> str:
    return ", ".join(f"{port.name!r} ({port})" for port in ports) or "no inputs"
