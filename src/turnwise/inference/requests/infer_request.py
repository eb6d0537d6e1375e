"""The `infer` effect: a request that a graph runs on named tensors, its check, and its reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.inference.requests.fields import Fields, refuse, shown
from turnwise.inference.requests.parcels import Parcel
from turnwise.inference.requests.tensors import (
    INPUT_BYTES_MAX,
    NAME_CHARS_MAX,
    TENSORS_COUNT_MAX,
    Data,
    declared_bytes,
    from_json,
    is_content,
    to_json,
)

_KEYS: Final = frozenset({"effect", "model", "inputs"})


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request of one turn, as it came: see `GenerateRequest` for `id` and `body`.

    - `contents`: those that tensors of the request name, by handle; they are not copied
    """

    id: int
    model: str
    body: str
    contents: Mapping[str, Data] = field(default_factory=dict)


def parcel_of(request: InferRequest) -> Parcel:
    """Check a request and read its tensors, none before all are known to be allowed. Raises Refusal that says why."""
    fields = Fields(request.body)
    fields.check_known(_KEYS, "an infer request has model and inputs")
    inputs = fields.value("inputs")
    if not isinstance(inputs, dict):
        refuse("inputs must be an object of tensors by name")
    if len(inputs) > TENSORS_COUNT_MAX:
        refuse(f"inputs has {len(inputs)} tensors, at most {TENSORS_COUNT_MAX} are allowed")
    if max(map(len, inputs), default=0) > NAME_CHARS_MAX:
        refuse(f"an input's name is longer than {NAME_CHARS_MAX} characters")
    items = [(name, item, f"inputs[{shown(name)}]") for name, item in sorted(inputs.items())]
    contents = request.contents
    data_bytes = sum(declared_bytes(item, where) for _, item, where in items if not is_content(item))
    if data_bytes > INPUT_BYTES_MAX:
        refuse(f"inputs has {data_bytes:,} bytes in all, at most {INPUT_BYTES_MAX:,} are allowed")
    return Parcel(request.id, request.model, {name: from_json(item, where, contents) for name, item, where in items})


def reply_body(parcel: Parcel) -> str:
    """Make the reply from a parcel of results, as canonical JSON text."""
    tensors = {name: to_json(tensor) for name, tensor in parcel.tensors.items()}
    return canonical({"ok": tensors if parcel.label == "vectors" else {"outputs": tensors}})
