"""Turnwise: run many agents on one machine, and run them again with the same bits.

::

    import turnwise

    run = turnwise.run("examples/market", seed=7)
    print(run.head, run.result)

`run` plays a world to its end, `sweep` many times with other seeds and values; `start` gives a live run to step through
and to send to; `open` reads a journal; `resume` goes on with one; `fork` goes on from any round of one with something
changed, and `detach` makes such a fork whole; `replay` executes one again and compares; `verify` asks its models again,
too; `diff` compares two; `bundle` makes one file of one for somebody else, and `verify_bundle` checks it; `check` says
what is wrong with a world. `build` makes one file of an agent and its packages.

Names are imported when they are first used, since worker processes and `turnwise --help` need few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from turnwise._version import __version__

if TYPE_CHECKING:
    from turnwise.api.building import build
    from turnwise.api.checking import check
    from turnwise.api.comparing import diff, why
    from turnwise.api.exporting import export
    from turnwise.api.journals import detach, open  # noqa: A004 - as gzip.open
    from turnwise.api.observing import observe
    from turnwise.api.outside import answer, send
    from turnwise.api.playing import World, fork, resume, run, start
    from turnwise.api.proving import bundle, replay, verify, verify_bundle
    from turnwise.api.sweeping import sweep
    from turnwise.core.compare import Difference
    from turnwise.core.question import AskedQuestion
    from turnwise.core.records import EffectRecord, RoundRecord, WaveRecord
    from turnwise.core.turn import Failure, TurnOutput
    from turnwise.errors import (
        DifferenceFound,
        EnvironmentFailure,
        InvariantError,
        JournalError,
        ModelError,
        Problem,
        RunClosed,
        RunFailed,
        TurnwiseError,
        UsageError,
        WorldError,
    )
    from turnwise.evidence.bundle import Bundled
    from turnwise.evidence.verify import BundleVerification
    from turnwise.history.diff import Diff, TurnDiff
    from turnwise.history.replay import Replay
    from turnwise.history.verify import ModelVerification, Verification
    from turnwise.history.why import Cause
    from turnwise.journal.file.times import Span
    from turnwise.journal.run import Run
    from turnwise.journal.run_rows import Message, RecordedValue, RoundTiming, RunAgent, Turn
    from turnwise.orchestrator.live import Live
    from turnwise.orchestrator.logs import Logged
    from turnwise.orchestrator.no_round import NoRound
    from turnwise.orchestrator.progress import Progress
    from turnwise.orchestrator.run_options import ExecutionOptions, ResumeOptions, RunOptions, WorldOptions
    from turnwise.sources.build import BuiltPackage, BuiltSource
    from turnwise.sweeps.moves import VariableMove
    from turnwise.sweeps.row import RecordedSeries, SweptRun
    from turnwise.sweeps.sweep import Sweep
    from turnwise.world import Agent, CallGrant, Grants, InitialMessage, Model, Overrides, Tools

_MODULES = {
    "turnwise.api.building": ("build",),
    "turnwise.api.checking": ("check",),
    "turnwise.api.comparing": ("diff", "why"),
    "turnwise.api.exporting": ("export",),
    "turnwise.api.journals": ("detach", "open"),
    "turnwise.api.observing": ("observe",),
    "turnwise.api.outside": ("answer", "send"),
    "turnwise.api.playing": ("World", "fork", "resume", "run", "start"),
    "turnwise.api.proving": ("bundle", "replay", "verify", "verify_bundle"),
    "turnwise.api.sweeping": ("sweep",),
    "turnwise.errors": (
        "DifferenceFound",
        "EnvironmentFailure",
        "InvariantError",
        "JournalError",
        "ModelError",
        "Problem",
        "RunClosed",
        "RunFailed",
        "TurnwiseError",
        "UsageError",
        "WorldError",
    ),
    "turnwise.core.compare": ("Difference",),
    "turnwise.core.question": ("AskedQuestion",),
    "turnwise.core.records": ("EffectRecord", "RoundRecord", "WaveRecord"),
    "turnwise.core.turn": ("Failure", "TurnOutput"),
    "turnwise.evidence.bundle": ("Bundled",),
    "turnwise.evidence.verify": ("BundleVerification",),
    "turnwise.history.diff": ("Diff", "TurnDiff"),
    "turnwise.history.replay": ("Replay",),
    "turnwise.history.verify": ("ModelVerification", "Verification"),
    "turnwise.history.why": ("Cause",),
    "turnwise.journal.file.times": ("Span",),
    "turnwise.journal.run": ("Run",),
    "turnwise.journal.run_rows": ("Message", "RecordedValue", "RoundTiming", "RunAgent", "Turn"),
    "turnwise.orchestrator.live": ("Live",),
    "turnwise.orchestrator.no_round": ("NoRound",),
    "turnwise.orchestrator.logs": ("Logged",),
    "turnwise.orchestrator.progress": ("Progress",),
    "turnwise.orchestrator.run_options": ("ExecutionOptions", "ResumeOptions", "RunOptions", "WorldOptions"),
    "turnwise.sources.build": ("BuiltPackage", "BuiltSource"),
    "turnwise.sweeps.moves": ("VariableMove",),
    "turnwise.sweeps.row": ("RecordedSeries", "SweptRun"),
    "turnwise.sweeps.sweep": ("Sweep",),
    "turnwise.world": ("Agent", "CallGrant", "Grants", "InitialMessage", "Model", "Overrides", "Tools"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


__all__ = [
    "Agent",
    "AskedQuestion",
    "BuiltPackage",
    "BuiltSource",
    "BundleVerification",
    "Bundled",
    "CallGrant",
    "Cause",
    "Diff",
    "Difference",
    "DifferenceFound",
    "EffectRecord",
    "EnvironmentFailure",
    "ExecutionOptions",
    "Failure",
    "Grants",
    "InitialMessage",
    "InvariantError",
    "JournalError",
    "Live",
    "Logged",
    "Message",
    "Model",
    "ModelError",
    "ModelVerification",
    "NoRound",
    "Overrides",
    "Problem",
    "Progress",
    "RecordedSeries",
    "RecordedValue",
    "Replay",
    "ResumeOptions",
    "RoundRecord",
    "RoundTiming",
    "Run",
    "RunAgent",
    "RunClosed",
    "RunFailed",
    "RunOptions",
    "Span",
    "Sweep",
    "SweptRun",
    "Tools",
    "Turn",
    "TurnDiff",
    "TurnOutput",
    "TurnwiseError",
    "UsageError",
    "VariableMove",
    "Verification",
    "WaveRecord",
    "World",
    "WorldError",
    "WorldOptions",
    "__version__",
    "answer",
    "build",
    "bundle",
    "check",
    "detach",
    "diff",
    "export",
    "fork",
    "observe",
    "open",
    "replay",
    "resume",
    "run",
    "send",
    "start",
    "sweep",
    "verify",
    "verify_bundle",
    "why",
]
