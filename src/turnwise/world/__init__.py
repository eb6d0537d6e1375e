"""Worlds: what a person writes, checked, and turned into the core's plan.

`written/` is what a world says: types, documents (TOML or Python), options, and the parser that makes types of a
document. `meaning/` is what it means: tables and sources read, agents listed, every name known. Both stand on
`limits`, `problems`, `names`, `json_values` and `files`; `plan` and `world` stand on both, and `template` beside
them.
"""

from turnwise.core.plan import InitialMessage
from turnwise.world.json_values import Json
from turnwise.world.meaning.resolve import Resolved, ResolvedKind, ResolvedModel, ResolvedTool
from turnwise.world.meaning.sources import SourceFiles
from turnwise.world.world import World
from turnwise.world.written.overrides import Overrides
from turnwise.world.written.types import Agent, CallGrant, Grants, Model, Tools

__all__ = [
    "Agent",
    "CallGrant",
    "Grants",
    "InitialMessage",
    "Json",
    "Model",
    "Overrides",
    "Resolved",
    "ResolvedKind",
    "ResolvedModel",
    "ResolvedTool",
    "SourceFiles",
    "Tools",
    "World",
]
