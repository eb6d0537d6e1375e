"""The models that are served, as the API tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from turnwise.core.canonical import canonical
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import Task
from turnwise.inference.requests.fields import shown
from turnwise.serving.api_error import ApiError
from turnwise.serving.parameters import Parameters

OWNER = "turnwise"


def read_model(members: Parameters, models: Mapping[str, ModelInfo], task: Task) -> ModelInfo:
    """Read which model is asked. Raises ApiError: 404 for one that is not served."""
    info = find_model(members.required_text("model"), models)
    if info.task != task:
        raise ApiError(400, f"the model {shown(info.name)} is there to {info.task}, not to {task}", "model")
    return info


def find_model(name: str, models: Mapping[str, ModelInfo]) -> ModelInfo:
    """Find a model by name. Raises ApiError 404."""
    info = models.get(name)
    if info is None:
        served = ", ".join(models)
        raise ApiError(404, f"the model {shown(name)} is not served here: {served}", "model", "model_not_found")
    return info


def model_object(info: ModelInfo, created_s: int) -> dict[str, Any]:
    """Describe a model; what the API does not know stands below `turnwise`."""
    return {
        "id": info.name,
        "object": "model",
        "created": created_s,
        "owned_by": OWNER,
        "turnwise": {
            "task": info.task,
            "sha256": info.sha256,
            "context_length": info.context_length or None,
            "numeric_class": None if info.numeric is None else info.numeric.numeric_class,
            "provider": info.provider,
            "system_fingerprint": fingerprint(info),
        },
    }


def fingerprint(info: ModelInfo) -> str:
    """Return what two answers must have in common to have the same bits: model, numeric class, and all that runs it."""
    numeric = info.numeric
    name = "tensors" if numeric is None else numeric.numeric_class
    runs = canonical(
        {
            "provider": info.provider,
            "providers": list(info.providers),
            "versions": info.versions,
            "form": info.form,
            "threads": None if name == "batch-invariant" else info.threads,
            "batching": None if numeric is None else numeric.batching,
        }
    )
    return f"{info.sha256[:16]}-{name}-{sha256(runs.encode()).hexdigest()[:8]}"
