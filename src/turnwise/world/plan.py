"""From a world to the core's plan: paths and providers are left behind, hashes take their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from turnwise.core.plan import Kind, Plan
from turnwise.core.run_python import RUNNER
from turnwise.core.tool_plan import ToolServerPlan
from turnwise.errors import InvariantError
from turnwise.world.meaning.resolve import Resolved

_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")


def build_plan(
    world: Resolved,
    codes: Mapping[str, str],
    models: Mapping[str, str],
    tools: tuple[ToolServerPlan, ...] = (),
) -> Plan:
    """Return the plan of a world, whose servers have listed these `tools`.

    `codes` maps each of `world.sources` to the hash of what it executes, `models` each model to that of its content;
    both SHA-256 in lower-case hex. Raises InvariantError if one is missing or is no such hash, since callers compute
    them.
    """
    kinds = tuple(
        Kind(
            name=kind.name,
            code=_hash(codes, kind.name, "code"),
            args=kind.args,
            state=kind.state,
            start=kind.start,
            groups=kind.groups,
            grants=kind.grants,
            limits=kind.limits,
            system=kind.system,
        )
        for kind in world.kinds
    )
    return Plan(
        name=world.name,
        seed=world.seed,
        kinds=kinds,
        agents=world.agents,
        schedule=world.schedule,
        rounds_max=world.rounds_max,
        agents_max=world.agents_max,
        on_failure=world.on_failure,
        messages=world.messages,
        models=tuple((name, _hash(models, name, "model")) for name in world.model_names),
        time_start_us=world.time_start_us,
        round_us=world.round_us,
        contents_bytes_max=world.contents_bytes_max,
        tools=tools,
        run_python=_hash(codes, RUNNER, "code") if RUNNER in world.sources else None,
    )


def _hash(hashes: Mapping[str, str], name: str, what: str) -> str:
    found = hashes.get(name)
    if found is None or not _SHA256_HEX.fullmatch(found):
        raise InvariantError(f"the {what} {name} has no hash", expected="SHA-256 in lower-case hex", actual=found)
    return found
