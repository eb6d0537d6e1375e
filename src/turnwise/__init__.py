"""Turnwise: run many agents on one machine, and run them again with the same bits.

::

    import turnwise

    run = turnwise.run("examples/market", seed=7)
    print(run.head, run.result)

`run` plays a world to its end; `start` gives a live run to step through and to send to; `open` reads a journal; `resume`
goes on with one; `replay` executes one again and compares; `check` says what is wrong with a world.
"""

from turnwise._version import __version__
from turnwise.api import World, check, open, replay, resume, run, start  # noqa: A004 - turnwise.open, like gzip.open
from turnwise.errors import (
    DifferenceFound,
    EnvironmentFailure,
    InvariantError,
    JournalError,
    ModelError,
    Problem,
    RunFailed,
    TurnwiseError,
    UsageError,
    WorldError,
)
from turnwise.history.replay import Replay
from turnwise.journal.run import Agent as AgentRow
from turnwise.journal.run import Run
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.progress import Progress
from turnwise.world import Agent, Grants, Message, Model

__all__ = [
    "Agent",
    "AgentRow",
    "DifferenceFound",
    "EnvironmentFailure",
    "Grants",
    "InvariantError",
    "JournalError",
    "Live",
    "Message",
    "Model",
    "ModelError",
    "Problem",
    "Progress",
    "Replay",
    "Run",
    "RunFailed",
    "TurnwiseError",
    "UsageError",
    "World",
    "WorldError",
    "__version__",
    "check",
    "open",
    "replay",
    "resume",
    "run",
    "start",
]
