"""Worlds: what a person writes, checked, and turned into the core's plan.

From bottom to top: `bounds`, `problems`, `names`, `values`, `files`, `parts` (the types); `reader`, `document`,
`overrides`, `shape` (what is written); `table`, `imports`, `sources`, `cast`, `references`, `resolve` (what it means);
`plan`, `world`; and `template` beside them.
"""

from turnwise.world.overrides import Overrides
from turnwise.world.parts import Agent, Grants, Message, Model
from turnwise.world.resolve import Resolved, ResolvedKind, ResolvedModel
from turnwise.world.sources import SourceFiles
from turnwise.world.values import Json
from turnwise.world.world import World

__all__ = [
    "Agent",
    "Grants",
    "Json",
    "Message",
    "Model",
    "Overrides",
    "Resolved",
    "ResolvedKind",
    "ResolvedModel",
    "SourceFiles",
    "World",
]
