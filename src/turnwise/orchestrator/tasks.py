"""A world's models: what is asked of inference, and whether those who may ask a model ask it for what it does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from turnwise.core.grants import is_pattern
from turnwise.errors import Problem
from turnwise.inference.folders.task import task_of
from turnwise.inference.plans.endpoint_spec import EndpointSpec
from turnwise.inference.plans.model_spec import ModelSpec, Task
from turnwise.world import Resolved, World

_TASKS: Final[tuple[Task, ...]] = ("generate", "infer", "embed")


def specs_of_world(world: Resolved) -> list[ModelSpec]:
    """Return the models as inference takes them."""
    return [ModelSpec(**asdict(model)) for model in world.models]


def endpoints_of_world(world: Resolved) -> list[EndpointSpec]:
    """Return the models behind URLs as inference takes them."""
    return [EndpointSpec(**asdict(endpoint)) for endpoint in world.endpoints]


def tasks_of(world: Resolved) -> dict[str, Task]:
    """Return what each model of a world is there for, by its name."""
    tasks: dict[str, Task] = {spec.name: task_of(spec) for spec in specs_of_world(world)}
    return tasks | {endpoint.name: endpoint.task for endpoint in world.endpoints}


def wrong_tasks(world: World) -> list[Problem]:
    """Grants that name a model of another task, which would refuse each request. Patterns are left alone."""
    resolved = world.resolve()
    tasks = tasks_of(resolved)
    problems = []
    for kind, agent in world.agents.items():
        for effect in _TASKS:
            for index, name in enumerate(getattr(agent.grants, effect)):
                if is_pattern(name) or tasks[name] == effect:
                    continue
                problems.append(
                    Problem(
                        resolved.where("agents", kind, "grants", effect, index),
                        f"the model {name} is there to {tasks[name]}, and does not {effect}",
                        f'Write {tasks[name]} = ["{name}"], name another model, or state task = "{effect}" in '
                        f"[models.{name}] if that is what it is for.",
                    )
                )
    return problems
