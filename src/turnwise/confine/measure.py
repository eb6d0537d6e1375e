"""Needs of a confined process, and measures of its confinement with whether they hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessNeeds:
    """Abilities that a confined process keeps. By default: compute, and use the files that it has open.

    `threads`: start threads. `new_code`: make memory executable. `address_bytes_max`, `cpu_s_max`: bounds of address
    space and processor time, None for those of the parent. `files_max`: how many files may be open, None likewise.
    `locked_memory`: keep memory from being swapped out. `driver`: whatever a device's driver does within this process;
    only the calls that reach beyond it are denied.
    """

    threads: bool = False
    new_code: bool = False
    address_bytes_max: int | None = None
    cpu_s_max: int | None = None
    files_max: int | None = 64
    locked_memory: bool = False
    driver: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure and whether it holds; `detail` says how far, or why not."""

    name: str
    holds: bool
    detail: str


class Unavailable(Exception):
    """A measure that this system does not have; the text says why."""
