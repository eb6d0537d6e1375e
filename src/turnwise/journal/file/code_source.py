"""Sources of agents, kept so that a run can go on or be executed again without the world's folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeSource:
    """The files behind one code hash of the plan, as they were when the run began.

    `carrier` is the carrier of the ABI ("component" or "module"), `entry` the name of the file that is executed,
    `files` pairs names (with `/` between folders) with contents, the entry's among them. `interpreter` is the SHA-256
    (hex) of the component that executes the files when they are sources, as Python's are, else None: the interpreter
    comes with the installation and is not stored.
    """

    carrier: str
    entry: str
    files: tuple[tuple[str, bytes], ...]
    interpreter: str | None = None
