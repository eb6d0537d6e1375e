"""Notes of a writer in its journal: the versions that execute a run, and where its models and tools are."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

from turnwise._version import __version__
from turnwise.core.canonical import canonical
from turnwise.inference.plans.endpoint_spec import EndpointSpec
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.journal import Journal
from turnwise.journal.file.errors import damaged
from turnwise.journal.file.stored_json import stored_object
from turnwise.orchestrator.model_hosts import Spec
from turnwise.orchestrator.tool_servers import (
    NotedTools,
    tools_info,
)
from turnwise.sandbox.build.installed import interpreter_hash

NO_TOOLS: Final = NotedTools()


def info_of(specs: Sequence[Spec], tools: NotedTools = NO_TOOLS) -> str:
    """Canonical JSON of where models lie, and how they are loaded, and of how tools are started."""
    models = {
        spec.name: {
            "path": str(spec.path),
            "provider": spec.provider,
            "require": spec.require,
            "variant": spec.variant,
            "task": spec.task,
            "accuracy_level": spec.accuracy_level,
            "context_tokens_max": spec.context_tokens_max,
            "batching": spec.batching,
            "reproducible": spec.reproducible,
            "multiplications_max": spec.multiplications_max,
            "kv_window": spec.kv_window,
        }
        for spec in specs
        if isinstance(spec, ModelSpec)
    }
    endpoints = {
        spec.name: {
            "url": spec.url,
            "model": spec.model,
            "task": spec.task,
            "key": spec.key,
            "seconds_max": spec.seconds_max,
            "requests_at_once": spec.requests_at_once,
            "reply_bytes_max": spec.reply_bytes_max,
        }
        for spec in specs
        if isinstance(spec, EndpointSpec)
    }
    found = {"models": models} | ({"endpoints": endpoints} if endpoints else {})
    return canonical(found | tools_info(tools))


def versions_of(models: Mapping[str, ModelInfo]) -> str:
    """Canonical JSON of all that executes a run here: what the execution digest begins with."""
    return canonical(
        {
            "turnwise": __version__,
            "wasmtime": version("wasmtime"),
            "interpreter": interpreter_hash(),
            "machine": platform.machine(),
            "system": platform.system(),
            "models": {
                name: {
                    "provider": info.provider,
                    "nodes": info.nodes,
                    "form": info.form,
                    "numeric": asdict(info.numeric) if info.numeric else None,
                    "versions": info.versions,
                }
                for name, info in models.items()
            },
        }
    )


def specs_of(file: Journal, paths: Mapping[str, Path]) -> list[ModelSpec]:
    """Return the journal's models that are loaded, where they were, or where `paths` says."""
    info = stored_object(file.header.info, "info of a writer", file.path)
    models, endpoints = info.get("models"), info.get("endpoints", {})
    try:
        replaced = [ModelSpec(name, paths[name]) for name in endpoints if name in paths]
        return replaced + [
            ModelSpec(
                name,
                paths.get(name, Path(place["path"])),
                place["provider"],
                place["require"],
                place.get("variant"),
                place.get("task"),
                place.get("accuracy_level"),
                place.get("context_tokens_max"),
                place.get("batching"),
                place.get("reproducible", True),
                place.get("multiplications_max"),
                place.get("kv_window", False),
            )
            for name, place in models.items()  # type: ignore[union-attr]  # what is none is caught below
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise damaged(file.path, f"info of a writer does not say where models are: {error}") from error


def endpoints_of(file: Journal, paths: Mapping[str, Path]) -> list[EndpointSpec]:
    """Return the journal's models behind URLs, but for those that `paths` replaces by folders."""
    endpoints = stored_object(file.header.info, "info of a writer", file.path).get("endpoints", {})
    try:
        return [
            EndpointSpec(name, **place)
            for name, place in endpoints.items()  # what is none is caught below
            if name not in paths
        ]
    except (AttributeError, TypeError) as error:
        raise damaged(file.path, f"info of a writer does not say where models are: {error}") from error
