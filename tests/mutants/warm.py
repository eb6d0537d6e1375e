"""A process that has collected the tests of an area once, and forks for every mutant.

The fork replaces the code of the functions that the change is in and runs the tests that reach its lines, those first
that are likely to notice it. A change outside of functions, or in what runs while modules are imported, needs a process
that imports the module anew: `run.is_killed`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tests.mutants.changes import Mutant
from tests.mutants.reach import UNKNOWN, Line, Reach, Tracer, tracing
from tests.mutants.run import OPTIONS, silence, use_profile
from tests.mutants.swap import Place, replace, replacements

SECONDS_LEAST = 3.0
PATIENCE = 5.0
"""Times what a test takes without a change, in processor time; beyond that a change is taken to be noticed."""
WALL_PATIENCE = 6.0
"""Times what it takes by the clock, since the machine may be busy."""
WALL_SECONDS_LEAST = 30.0
OUT_OF_TIME = "a test computed for too long"
STOOD_STILL = "a test stood still"
ENDED = "a test ended the process"
ANEW = object()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a mutant; `anew` if it has to be tried in a process that imports its module anew."""

    killer: str | None
    anew: bool = False
    reached: int = 0
    """The number of tests that reach its lines."""


class Warm:
    """The process, as the one that starts it sees it. A context manager."""

    def __init__(
        self, tests: Sequence[str], paths: frozenset[str], test_seconds_max: float = 1e9, seconds_max: float = 1e9
    ) -> None:
        """Collect and try the tests. `test_seconds_max` leaves out single ones, `seconds_max` those that come last."""
        use_profile()
        self._pipe, other = Pipe()
        self._process = os.fork()
        if self._process == 0:
            try:
                silence()
                self._pipe.close()
                pytest.main([*OPTIONS, *tests], plugins=[_Server(other, paths, test_seconds_max, seconds_max)])
            finally:
                os._exit(1)
        other.close()
        try:
            self.seconds_by_test, self.failed = self._pipe.recv()
        except EOFError:
            self.seconds_by_test, self.failed = {}, "the tests cannot be collected"

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        os.waitpid(self._process, 0)

    @property
    def files(self) -> set[str]:
        """The files of tests."""
        return {test.partition("::")[0] for test in self.seconds_by_test}

    def tests_that_reach(self, mutant: Mutant, lines: set[Line], files: set[str]) -> list[str]:
        """Return the tests in some files or that reach one of these lines, the likeliest to notice a change first."""
        self._pipe.send((mutant, lines, files))
        return self._pipe.recv()  # type: ignore[no-any-return]

    def verdict(self, mutant: Mutant) -> Verdict:
        """Try a mutant."""
        self._pipe.send(mutant)
        return self._pipe.recv()  # type: ignore[no-any-return]


class _Server:
    """A plugin of pytest: in place of running tests, answers what becomes of mutants."""

    def __init__(self, pipe: Connection, paths: frozenset[str], test_seconds_max: float, seconds_max: float) -> None:
        self._pipe = pipe
        self._test_seconds_max = test_seconds_max
        self._seconds_max = seconds_max
        self._paths = paths
        self._at_import: list[set[Line]] = [set()]
        self._kills: dict[str, Counter[int]] = {}
        self._live: dict[str, list[FunctionType]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_load_initial_conftests(self) -> Generator[None, object, object]:
        with tracing(self._paths, self._at_import):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        with tracing(self._paths, self._at_import):
            return (yield)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = session.items
        self._files = [item.location[0] for item in session.items]
        self._reach = self._reached()
        by_test = {self._items[number].nodeid: seconds for number, seconds in self._reach.seconds.items()}
        failed = self._reach.failed if session.testsfailed == 0 else "the tests cannot be collected"
        self._pipe.send((by_test, failed))
        with contextlib.suppress(EOFError):
            while True:
                asked = self._pipe.recv()
                if isinstance(asked, Mutant):
                    self._pipe.send(self._verdict(asked))
                else:
                    self._pipe.send([self._items[number].nodeid for number in self._tests(*asked)])
        os._exit(0)

    def _reached(self) -> Reach:
        """Run all tests without a change, in a fork, and note what they reach."""
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            found = Path(folder) / "reach"
            child = os.fork()
            if child == 0:
                try:
                    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
                    tracer = Tracer(self._items, self._paths)
                    self._items[0].config.pluginmanager.register(tracer)
                    tracer.run()
                    found.write_bytes(pickle.dumps(tracer.reach))
                    os._exit(0)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            if status != 0:
                return Reach(failed="a process that runs the tests without any change ends")
            return pickle.loads(found.read_bytes())  # type: ignore[no-any-return]

    def _tests(self, mutant: Mutant, places: set[Line], files: Collection[str] = ()) -> list[int]:
        """Return the numbers of the tests in the files, or that reach a place, the likeliest to notice first."""
        places = places | {UNKNOWN}
        own = f"test_{mutant.module.rpartition('.')[2]}.py"
        kills = self._kills.setdefault(mutant.module, Counter())
        reached = [
            number
            for number, lines in self._reach.lines.items()
            if self._reach.seconds[number] <= self._test_seconds_max
            and (
                self._files[number] in files
                or not places.isdisjoint(lines)
                or not places.isdisjoint(self._reach.by_fixtures.get(self._files[number], ()))
            )
        ]
        seconds = self._reach.seconds
        reached.sort(
            key=lambda number: (
                seconds[number] / (1 + kills[number]) * (0.2 if Path(self._files[number]).name == own else 1.0)
            ),
        )
        ends = accumulate(seconds[number] for number in reached)
        return [number for number, end in zip(reached, ends, strict=True) if end <= self._seconds_max]

    def _verdict(self, mutant: Mutant) -> Verdict:
        live = self._functions(mutant)
        places = {(str(mutant.path), line) for line in mutant.lines}
        if live is None or not places.isdisjoint(self._at_import[0]):
            return Verdict(None, anew=True)
        codes = replacements(mutant)
        if codes is None:
            return Verdict(None, anew=True)
        numbers = self._tests(mutant, places)
        if not numbers:
            return Verdict(None)
        killer = self._killer(live, codes, numbers)
        if killer is ANEW:
            return Verdict(None, anew=True)
        if isinstance(killer, int):
            self._kills[mutant.module][killer] += 1
            return Verdict(self._items[killer].nodeid, reached=len(numbers))
        return Verdict(killer, reached=len(numbers))  # type: ignore[arg-type]

    def _functions(self, mutant: Mutant) -> list[FunctionType] | None:
        """Return the functions of a mutant's module as they are loaded; None if it cannot be.

        Tests run in forks. So a module that only they import is not here: it would be imported by them as it is, and
        the change would be nowhere.
        """
        if mutant.module not in self._live:
            try:
                with tracing(self._paths, self._at_import):
                    importlib.import_module(mutant.module)
            except Exception:  # then a process that imports everything anew is the one to try
                return None
            gc.unfreeze()  # what tests have set aside is not among the objects that the collector tells of
            self._live[mutant.module] = [
                found
                for found in gc.get_objects()
                if isinstance(found, FunctionType) and found.__code__.co_filename == str(mutant.path)
            ]
        return self._live[mutant.module]

    def _killer(self, live: list[FunctionType], codes: dict[Place, CodeType], numbers: list[int]) -> object:
        """Return the number of the test that fails, what ended the process, None if nothing did, or ANEW."""
        reader, writer = os.pipe()
        folder = tempfile.mkdtemp(prefix="mutants-")
        child = os.fork()
        if child == 0:
            os.close(reader)
            self._run_changed(live, codes, numbers, writer, folder)
        os.close(writer)
        try:
            _, status = os.waitpid(child, 0)
            said = os.read(reader, 20).decode()
        finally:
            os.close(reader)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)
        if said == "anew":
            return ANEW
        if said:
            return int(said)
        if status == 0:
            return None
        reasons: dict[int, str] = {signal.SIGXCPU: OUT_OF_TIME, signal.SIGALRM: STOOD_STILL}
        return reasons.get(os.WTERMSIG(status), ENDED) if os.WIFSIGNALED(status) else ENDED

    def _run_changed(
        self,
        live: list[FunctionType],
        codes: dict[Place, CodeType],
        numbers: list[int],
        writer: int,
        folder: str,
    ) -> None:
        """In the child: put the change in place, run the tests up to the first that fails, and never return."""
        try:
            os.setsid()
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
            if not replace(live, codes):
                os.write(writer, b"anew")
                os._exit(0)
            ends = _EndsAtFailure(writer)
            self._items[0].config.pluginmanager.register(ends)
            items = [self._items[number] for number in numbers]
            for number, item, after in zip(numbers, items, [*items[1:], None], strict=True):
                ends.number = number
                limit_time(self._reach.seconds[number], self._reach.wall_seconds[number])
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            os._exit(0)
        finally:
            os._exit(1)


class _EndsAtFailure:
    """A plugin of pytest: the process ends as soon as a test fails, and says which."""

    def __init__(self, writer: int) -> None:
        self.number = 0
        self._writer = writer

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self._writer, str(self.number).encode())
            os._exit(1)


def limit_time(seconds: float, wall_seconds: float) -> None:
    """Have the kernel end this process when its next test takes many times as long as without a change."""
    used = time.process_time()
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + PATIENCE * seconds + SECONDS_LEAST) + 1, hard))
    signal.setitimer(signal.ITIMER_REAL, WALL_PATIENCE * wall_seconds + WALL_SECONDS_LEAST)
