"""The `infer` effect: a graph run on named tensors. What the orchestrator checks, before a graph sees anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.inference.requests.parcels import Parcel
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import (
    INPUT_BYTES_MAX,
    NAME_CHARS_MAX,
    TENSORS_COUNT_MAX,
    Tensor,
    from_json,
    to_json,
)

_KEYS: Final = frozenset({"effect", "model", "inputs"})


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request of one turn. `body` is the effect request's canonical JSON text; `id` as in `GenerateRequest`."""

    id: int
    model: str
    body: str


def parcel_of(request: InferRequest) -> Parcel:
    """The request with its tensors as bytes. Raises Refusal naming what is wrong with it."""
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Refusal("refused", "the request is not JSON text") from error
    if not isinstance(value, dict):
        raise Refusal("refused", "the request must be a JSON object")
    unknown = sorted(value.keys() - _KEYS)
    if unknown:
        raise Refusal("refused", f"unknown key {_shown(unknown[0])}: an infer request has model and inputs")
    inputs = value.get("inputs")
    if not isinstance(inputs, dict):
        raise Refusal("refused", "inputs must be an object of tensors by name")
    if len(inputs) > TENSORS_COUNT_MAX:
        raise Refusal("refused", f"inputs has {len(inputs)} tensors, at most {TENSORS_COUNT_MAX} are allowed")
    tensors: dict[str, Tensor] = {}
    size = 0
    for name, item in sorted(inputs.items()):
        if len(name) > NAME_CHARS_MAX:
            raise Refusal("refused", f"an input's name is longer than {NAME_CHARS_MAX} characters")
        tensors[name] = from_json(item, f"inputs[{_shown(name)}]")
        size += len(tensors[name].data)
    if size > INPUT_BYTES_MAX:
        raise Refusal("refused", f"inputs has {size:,} bytes in all, at most {INPUT_BYTES_MAX:,} are allowed")
    return Parcel(request.id, request.model, tensors)


def reply_body(parcel: Parcel) -> str:
    """The reply that a parcel of results makes, as canonical JSON text."""
    tensors: Mapping[str, object] = {name: to_json(tensor) for name, tensor in parcel.tensors.items()}
    if parcel.label == "vectors":
        return canonical({"ok": tensors})
    return canonical({"ok": {"outputs": tensors}})


def _shown(text: str) -> str:
    return canonical(text if len(text) <= 60 else text[:59] + "…")
