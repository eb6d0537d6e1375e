"""What the tests of an area reach of its code, line by line."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from types import FrameType

import pytest

Line = tuple[str, int]
UNKNOWN: Line = ("", 0)
"""Stands for any line."""


@dataclass(slots=True)
class Reach:
    """What tests reach of an area's code, by their number."""

    lines: dict[int, set[Line]] = field(default_factory=dict)
    by_fixtures: dict[str, set[Line]] = field(default_factory=dict)
    """Lines that fixtures with a scope wider than a function reach, by file of tests: all its tests depend on them."""
    seconds: dict[int, float] = field(default_factory=dict)
    """Processor time of this process."""
    wall_seconds: dict[int, float] = field(default_factory=dict)
    failed: str | None = None


@contextlib.contextmanager
def tracing(paths: frozenset[str], into: list[set[Line]]) -> Iterator[None]:
    """Note the lines that are executed of some files, in the set that is the last in `into`.

    An exception in the function that traces ends the tracing, and where the stack is exhausted there is one: that is
    noted as a line of no file.
    """

    def local(frame: FrameType, event: str, _: object) -> object:
        if event == "line":
            into[-1].add((frame.f_code.co_filename, frame.f_lineno))
        return local

    def called(frame: FrameType, event: str, _: object) -> object:
        if frame.f_code.co_filename not in paths:
            return None
        into[-1].add((frame.f_code.co_filename, frame.f_lineno))
        return local

    threading.settrace(called)  # type: ignore[arg-type]
    sys.settrace(called)  # type: ignore[arg-type]
    try:
        yield
    finally:
        if sys.gettrace() is None:
            into[-1].add(UNKNOWN)
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]


class Tracer:
    """A plugin of pytest that runs tests and notes what they reach, how long they take, and whether one fails."""

    def __init__(self, items: list[pytest.Item], paths: frozenset[str]) -> None:
        self.reach = Reach()
        self._items = items
        self._paths = paths
        self._into: list[set[Line]] = [set()]
        self._file = ""

    def run(self) -> None:
        for number, (item, after) in enumerate(zip(self._items, [*self._items[1:], None], strict=True)):
            self._into[0] = self.reach.lines[number] = set()
            self._file = item.location[0]
            began, wall_began = time.process_time(), time.monotonic()
            with tracing(self._paths, self._into):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            self.reach.seconds[number] = time.process_time() - began
            self.reach.wall_seconds[number] = time.monotonic() - wall_began

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        wide = fixturedef.scope != "function"
        if wide:
            self._into.append(self.reach.by_fixtures.setdefault(self._file, set()))
        try:
            return (yield)
        finally:
            if wide:
                self._into.pop()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.reach.failed = report.nodeid
