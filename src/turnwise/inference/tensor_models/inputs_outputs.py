"""Inputs and outputs of any graph: names, types and dimensions, and whether given tensors fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from turnwise.errors import ModelError
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import ELEMENT_BYTES, OUTPUT_BYTES_MAX, TENSORS_COUNT_MAX, Tensor

_TYPES: Final = {f"tensor({name})": name for name in ELEMENT_BYTES} | {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
}

Dim = int | str | None
"""A number, a symbol (the same number wherever it stands), or open."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a graph.

    - `name`: in the graph
    - `dtype`: one of `ELEMENT_BYTES`
    - `dims`: empty for a single number, and where the graph says nothing of the shape
    """

    name: str
    dtype: str
    dims: tuple[Dim, ...]

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join('?' if dim is None else str(dim) for dim in self.dims)}]"


def tensor_specs(items: Sequence[Any], where: Path, what: str) -> tuple[TensorSpec, ...]:
    """Read a session's inputs or outputs. Raises ModelError for what is no tensor of numbers."""
    if len(items) > TENSORS_COUNT_MAX:
        raise ModelError(
            f"the graph has {len(items)} {what}s, at most {TENSORS_COUNT_MAX} are allowed",
            where=str(where),
            expected=TENSORS_COUNT_MAX,
            actual=len(items),
        )
    specs = []
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
        specs.append(TensorSpec(item.name, dtype, tuple(dim if isinstance(dim, int | str) else None for dim in dims)))
    return tuple(specs)


def check(specs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors fit the inputs: all there, of the right type and shape, symbols consistent. Raises Refusal.

    Where symbols tell how large outputs become, those that are too large are refused here, and not computed.
    """
    known = [spec.name for spec in specs]
    unknown = sorted(tensors.keys() - set(known))
    if unknown:
        raise Refusal("refused", f"the graph has no input {unknown[0]!r}: it has {_all(specs)}")
    sizes: dict[str, tuple[int, str]] = {}
    for spec in specs:
        tensor = tensors.get(spec.name)
        if tensor is None:
            raise Refusal("refused", f"the input {spec.name!r} is missing: the graph takes {_all(specs)}")
        if tensor.dtype != spec.dtype:
            raise Refusal("refused", f"the input {spec.name!r} is {tensor.dtype}, and the graph takes {spec}")
        _check_shape(spec, tensor.shape, sizes)
    known_sizes = {symbol: size for symbol, (size, _) in sizes.items()}
    told = [(spec, shape) for spec in outputs if (shape := _told_shape(spec, known_sizes)) is not None]
    check_output_bytes([spec for spec, _ in told], [shape for _, shape in told], OUTPUT_BYTES_MAX)


def _told_shape(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """Return the shape of an output, if numbers and symbols of the inputs tell it."""
    shape = [dim if isinstance(dim, int) else sizes.get(dim or "") for dim in spec.dims]
    return tuple(size for size in shape if size is not None) if None not in shape else None


def check_output_bytes(specs: Sequence[TensorSpec], shapes: Sequence[Sequence[int]], bytes_max: int) -> None:
    """Raises Refusal if outputs of these shapes have more bytes in all."""
    size = sum(ELEMENT_BYTES[spec.dtype] * prod(shape) for spec, shape in zip(specs, shapes, strict=True))
    if size > bytes_max:
        raise Refusal("refused", f"the outputs have {size:,} bytes in all, at most {bytes_max:,} are allowed")


def _check_shape(spec: TensorSpec, shape: tuple[int, ...], sizes: dict[str, tuple[int, str]]) -> None:
    if not spec.dims:
        return
    fits = len(shape) == len(spec.dims) and all(
        size == dim for size, dim in zip(shape, spec.dims, strict=True) if isinstance(dim, int)
    )
    if not fits:
        raise Refusal("refused", f"the input {spec.name!r} has shape {list(shape)}, and the graph takes {spec}")
    for size, dim in zip(shape, spec.dims, strict=True):
        if isinstance(dim, str):
            known, name = sizes.setdefault(dim, (size, spec.name))
            if known != size:
                message = (
                    f"the dimension {dim!r} is {known} in {name!r} and {size} in {spec.name!r}: it must be one number"
                )
                raise Refusal("refused", message)


def batch_symbol(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str | None:
    """Return the symbol that is the first dimension of every input and output and stands nowhere else, or None."""
    first = {spec.dims[0] if spec.dims else None for spec in (*inputs, *outputs)}
    symbol = first.pop() if len(first) == 1 else None
    if not inputs or not isinstance(symbol, str) or any(symbol in spec.dims[1:] for spec in (*inputs, *outputs)):
        return None
    return symbol


def _all(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name!r} ({spec})" for spec in specs) or "no inputs"
