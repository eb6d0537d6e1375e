"""A writer that is killed at any moment leaves exactly the rounds that it had committed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.journal.records import create, simple
from turnwise.errors import JournalError
from turnwise.journal import Journal

ROOT = Path(__file__).parents[2]


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "tests" / "journal" / "programs" / program), *map(str, arguments)]


def environment() -> dict[str, str]:
    paths = [str(ROOT), *(path for path in sys.path if path)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


@contextmanager
def writer(path: Path, agents: int, size: int) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    with subprocess.Popen(
        python("commit_until_killed.py", path, agents, size), stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process, process.stdout
        finally:
            process.kill()


@pytest.mark.parametrize(("agents", "size"), [(3, 20), (200, 600)])
def test_killed_between_and_within_commits(tmp_path: Path, agents: int, size: int) -> None:
    path = tmp_path / "run.journal"
    chance = random.Random(agents)
    promised = 0
    for _ in range(4):
        with writer(path, agents, size) as (process, output):
            # How far it gets beyond the last round that it told of, and where within a commit it dies, nobody knows.
            for _ in range(chance.randrange(1, 15)):
                promised = int(output.readline())
            process.send_signal(signal.SIGKILL)
            for line in output:
                promised = int(line)
        with Journal.open(path) as journal:
            last = journal.rounds.last_round
            assert last in (promised, promised + 1)  # committed, and killed before it could say so
            promised = last
            assert journal.check() == last
            assert journal.rounds.round(last) == simple(last, agents, size)
    with Journal.open(path, write=True) as journal:
        journal.writer.commit(simple(last + 1, agents, size))
        for record in journal.rounds.between():
            assert record == simple(record.round, agents, size)
    assert list(tmp_path.iterdir()) == [path]


def test_another_process_is_named_while_it_lives_and_forgotten_when_killed(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with writer(path, 3, 20) as (process, output):
        assert output.readline() == "1\n"
        with pytest.raises(JournalError, match=f"in use by another run \\(process {process.pid}\\)"):
            Journal.open(path, write=True)
        with Journal.open(path) as journal:
            assert journal.rounds.round(1) == simple(1, 3, 20)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Journal.open(path, write=True) as journal:
            assert journal.check() == journal.rounds.last_round


def test_killed_while_it_is_opened_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        journal.writer.commit(simple(1))
    program = f"""
import sys
from turnwise.journal import Journal
print("ready", flush=True)
while True:
    Journal.open({str(path)!r}, write=True).close()
"""
    chance = random.Random(5)
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment()
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            sum(range(chance.randrange(2_000_000)))  # let it get somewhere
            process.kill()
        with Journal.open(path) as journal:
            assert list(journal.rounds.between()) == [simple(1)]
    with Journal.open(path, write=True) as journal:
        assert journal.check() == 1
    assert list(tmp_path.iterdir()) == [path]


def test_killed_while_it_begins(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from tests.journal.records import create
print("ready", flush=True)
number = 0
while True:
    create(Path(sys.argv[1]) / f"{number}.journal", 200).close()
    number += 1
"""
    chance = random.Random(6)
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True, env=environment()
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            sum(range(chance.randrange(2_000_000)))
            process.kill()
        whole = 0
        for path in folder.glob("*.journal"):
            try:
                with Journal.open(path) as journal:
                    assert len(list(journal.queries.agents())) == 200
                    whole += 1
            except JournalError as error:
                assert "not a journal" in error.message
        assert len(list(folder.glob("*.journal"))) - whole <= 1
