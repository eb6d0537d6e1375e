"""Many runs of one world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from turnwise import world as worlds
from turnwise.api.playing import world_of
from turnwise.exports.sweep_table import check_table, write_sweep_table
from turnwise.history.replay import OnProgress
from turnwise.orchestrator.run_options import (
    SweepOptions,
    check_names,
    overrides_of,
    settings_of,
)
from turnwise.sweeps.sweep import Sweep
from turnwise.sweeps.sweep import sweep as sweep_worlds
from turnwise.sweeps.variables import checked_seeds, combinations, written
from turnwise.system.paths import StrPath


def sweep(
    world: worlds.World | StrPath,
    *,
    seeds: Iterable[int],
    variables: Mapping[str, Sequence[Any]] | None = None,
    journals: StrPath | None = None,
    table: StrPath | None = None,
    jobs: int | None = None,
    progress: OnProgress | None = None,
    **options: Unpack[SweepOptions],
) -> Sweep:
    """Run a world with each seed and each combination of values, on one pool of workers and one inference process.

    `variables` maps keys of the world file (`agents.narrator.args.mood`) to the values that each is given. `journals`
    is a folder for the journals, from which runs are taken up that it has; `table` a new .csv or .parquet file with a
    row a run; `jobs` how many runs are played at once. A run that fails is a row, and does not end the sweep. Each head
    is that of `run` with the same seed and overrides.
    """
    check_names("sweep", options, SweepOptions)
    settings = settings_of(options)
    chosen, values = checked_seeds(seeds), written(variables or {})
    found = combinations(values, len(chosen))
    if table is not None:
        check_table(Path(table))
    changes = overrides_of(options)
    varied = []
    for combination in found:
        added = tuple([f"{key}={value}" for key, value in combination])
        varied.append((combination, world_of(world, replace(changes, settings=(*changes.settings, *added)))))
    folder = None if journals is None else Path(journals)
    swept = sweep_worlds(varied, chosen, settings, journals=folder, jobs=jobs, progress=progress)
    if table is not None:
        write_sweep_table(swept.runs, Path(table))
    return swept
