"""One file of an agent and its packages."""

from __future__ import annotations

from pathlib import Path

from turnwise.sources.build import BuiltSource, build_source
from turnwise.system.paths import StrPath


def build(
    agent: StrPath, *, requirements: StrPath | None = None, out: StrPath | None = None, fetch: bool = False
) -> BuiltSource:
    """Make one file of a Python agent and the packages that a requirements file asks for, which a `source` can name.

    `out` is its name (default: the agent's, with `.agent`). Packages are taken from this environment, or with `fetch`
    from where pip gets them. Raises `UsageError` for packages that cannot work in a sandbox, with the reason.
    """
    return build_source(
        Path(agent), None if requirements is None else Path(requirements), None if out is None else Path(out), get=fetch
    )
