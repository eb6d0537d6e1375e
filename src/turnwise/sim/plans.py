"""A plan for the simulator, from a world: what stands in for sources and models has a hash of its name."""

from __future__ import annotations

from hashlib import sha256

from turnwise.core.plan import Plan
from turnwise.world import World


def plan_of(world: World) -> Plan:
    """Return the plan of a world whose agents are played by Python functions, and whose models by one.

    Sources need not compile and models need not be there; everything else of the world is checked. Raises WorldError.
    """
    resolved = world.resolve()
    codes = {kind.name: _hash("behaviour", kind.name) for kind in resolved.kinds}
    models = {model.name: _hash("model", model.name) for model in resolved.models}
    return world.plan(codes, models)


def _hash(what: str, name: str) -> str:
    return sha256(f"simulated {what} {name}".encode()).hexdigest()
