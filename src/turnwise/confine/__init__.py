"""Confinement: a process gives up what it does not need, so that breaking out of WebAssembly gains little.

Four measures, each alone worth having: no new privileges, resource limits, Landlock (no files, no network), seccomp (an
allow-list of system calls; where a device's driver needs more than is known, a list of what reaches beyond the process
and is denied). Where the system lacks one, the others hold and the report says so.
"""

from turnwise.confine.confine import give_up_calls, give_up_files
from turnwise.confine.landlock import KeptFiles
from turnwise.confine.measure import Measure, ProcessNeeds

__all__ = ["KeptFiles", "Measure", "ProcessNeeds", "give_up_calls", "give_up_files"]
