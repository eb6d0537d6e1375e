"""The options of `run`, `start`, `resume` and `check`, as keyword arguments with one definition each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypedDict

from turnwise.demo import model_folder
from turnwise.errors import UsageError
from turnwise.orchestrator.settings import Settings
from turnwise.sharedmem import Transport
from turnwise.system.paths import StrPath
from turnwise.world import Overrides


class _Models(TypedDict, total=False):
    models: Mapping[str, StrPath] | None
    """Folders of models by name, in place of those that the world or the journal names."""


class _Patience(TypedDict, total=False):
    patience_s: float | None
    """Seconds that a run waits for an answer of a person before the round in which its deadline passes (unless given,
    0); None: for as long as it takes."""


class _Serve(TypedDict, total=False):
    serve: bool
    """True: a run in which nobody has anything left to do waits for messages, instead of ending (unless given, no)."""


class ExecutionOptions(TypedDict, total=False):
    """Options of how turns are executed, which change nothing that a run computes."""

    workers: int | None
    """Sandbox processes; None: as many as `TURNWISE_WORKERS` says, or one a core."""
    transport: Transport
    """The transport between processes: "auto" (unless given), "memfd" or "portable"."""
    telemetry: bool
    """True, unless given: other processes of this user may watch the run live. A sweep is not watched live."""


class _Written(_Models, total=False):
    schedule: str | None
    """Another schedule: "rounds" or "sequential"."""
    rounds: int | None
    """Another bound `rounds_max`."""
    overrides: Sequence[str]
    """`KEY.PATH=VALUE` for any other key of the world file; the value is TOML, or else text."""


class WorldOptions(_Written, total=False):
    """Options that replace what a world says."""

    seed: int | None
    """Another seed."""


class SweepOptions(_Written, ExecutionOptions, total=False):
    """Options of `sweep`, the same for all its runs."""


class ResumeOptions(_Models, ExecutionOptions, _Patience, _Serve, total=False):
    """Options of `resume`. The content of other model folders must be what the run has used."""

    accept_tools: bool
    """True: tools that are others than those that the run is pinned to are taken from here on, and that is recorded."""


class RunOptions(WorldOptions, ExecutionOptions, _Patience, _Serve, total=False):
    """Options of `run` and `start`."""

    journal: StrPath | None
    """A file that does not exist yet. None: `runs/WORLD-SEED.journal` below the current folder, or with the first
    number behind it that is free."""


def playing_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `Live` takes of some options."""
    return {"patience_s": options.get("patience_s", 0.0), "serve": bool(options.get("serve", False))}


def check_names(function: str, options: Mapping[str, Any], known: type) -> None:
    """Raise TypeError for an option that a function does not have, as Python does for its own keywords."""
    names: Collection[str] = known.__annotations__
    for name in options:
        if name not in names:
            meant = get_close_matches(name, names, 1)
            hint = f". Did you mean {meant[0]!r}?" if meant else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def overrides_of(options: Mapping[str, Any]) -> Overrides:
    """Return the changes of a world that some options ask for."""
    settings = options.get("overrides") or ()
    if isinstance(settings, str):
        raise UsageError(
            "overrides are a list of texts, not one text",
            where="overrides",
            actual=settings,
            hint=f"Write overrides=[{settings!r}].",
        )
    return Overrides(
        settings=tuple(settings),
        seed=options.get("seed"),
        schedule=options.get("schedule"),
        rounds=options.get("rounds"),
        models=options.get("models") or {},
    )


def settings_of(options: Mapping[str, Any], *, models: bool = False) -> Settings:
    """Return the settings of a run by some options; with `models` also the folders of a journal's models."""
    folders: Mapping[str, StrPath] = (options.get("models") or {}) if models else {}
    return Settings(
        workers=options.get("workers"),
        transport=options.get("transport", "auto"),
        telemetry=options.get("telemetry", True),
        accept_tools=options.get("accept_tools", False),
        models={name: Path(model_folder(folder)).absolute() for name, folder in folders.items()},
    )
