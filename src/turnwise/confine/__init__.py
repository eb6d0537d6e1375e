"""Giving up what a process does not need, so that breaking out of WebAssembly is not the end.

Four measures, each alone worth having: no new privileges, resource limits, Landlock (no files, no network), seccomp (an
allow-list of system calls). Where the system lacks one, the others hold and the report says so.
"""

from turnwise.confine.confine import give_up_calls, give_up_files
from turnwise.confine.measure import Measure, Needs

__all__ = ["Measure", "Needs", "give_up_calls", "give_up_files"]
