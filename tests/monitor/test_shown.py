"""Which files are runs of the monitor, and which can never be asked for."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

import turnwise
from tests.monitor.conftest import Monitor
from turnwise import JournalError, UsageError
from turnwise.monitor.answers.listing import Listing
from turnwise.monitor.shown import FileWatch, ShownRuns


def test_journals_of_a_folder_and_of_those_in_it_are_listed_the_latest_first(runs_folder: Path) -> None:
    files, more = ShownRuns(runs_folder).files()
    assert {file.name for file in files} == {"lively.journal", "other.journal", "sweep/evil.journal", "broken.journal"}
    assert [file.changed_us for file in files] == sorted([file.changed_us for file in files], reverse=True)
    assert not more


def test_one_file_is_the_only_run(runs_folder: Path) -> None:
    shown = ShownRuns(runs_folder / "lively.journal")
    assert [file.name for file in shown.files()[0]] == ["lively.journal"]
    with pytest.raises(UsageError, match="no such run"):
        shown.reader("other.journal")


@pytest.mark.parametrize(
    "name", ["../outside.journal", "/etc/passwd", "notes.txt", "sweep/../../outside.journal", "", "link.journal", "x"]
)
def test_no_other_file_can_be_asked_for(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    (tmp_path / "outside.journal").write_bytes(b"secret")
    (folder / "notes.txt").write_bytes(b"secret")
    (folder / "link.journal").symlink_to(tmp_path / "outside.journal")
    with pytest.raises(UsageError, match="no such run"):
        ShownRuns(folder).reader(name)


def test_a_place_that_is_not_there_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        ShownRuns(tmp_path / "missing")


def test_the_list_has_the_runs_and_says_why_a_file_is_none(monitor: Monitor) -> None:
    rows = {row["name"]: row for row in monitor.ask("runs")["runs"]}
    assert rows["lively.journal"]["world"] == "lively"
    assert rows["lively.journal"]["seed"] == 3
    assert rows["lively.journal"]["last_round"] == 4
    assert rows["broken.journal"]["error"] is not None
    assert rows["sweep/evil.journal"]["status"] == "finished"


def test_a_parent_that_was_moved_is_looked_for_where_the_monitor_is_told(runs_folder: Path, tmp_path: Path) -> None:
    folder, away = tmp_path / "runs", tmp_path / "away"
    folder.mkdir()
    away.mkdir()
    parent = Path(shutil.copy(runs_folder / "lively.journal", away / "parent.journal"))
    turnwise.fork(parent, 2, journal=folder / "fork.journal", seed=9, workers=1).result().close()
    parent.rename(away / "moved.journal")
    for parents, answers in (((), False), ((away,), True)):
        runs = ShownRuns(folder, parents)
        (row,) = Listing(runs).rows()["runs"]
        assert (row["error"] is None) == answers
        if answers:
            assert asyncio.run(runs.reader("fork.journal").ask(lambda journal: journal.rounds.last_round)) > 2
        else:
            with pytest.raises(JournalError, match="a journal with head"):
                asyncio.run(runs.reader("fork.journal").ask(lambda journal: journal.rounds.last_round))
        runs.close()


def test_a_write_within_the_same_step_of_the_clock_as_the_one_before_it_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(b"one")
    watch = FileWatch(path)
    assert watch.due()
    time_of_both = path.stat().st_mtime_ns
    path.write_bytes(b"two")
    os.utime(path, ns=(time_of_both, time_of_both))
    assert watch.due()


def test_a_file_that_was_left_alone_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(b"one")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    watch = FileWatch(path)
    assert [watch.due(), watch.due()] == [True, False]
    watch.forget()
    assert watch.due()
    os.utime(path, (1_000_000_001, 1_000_000_001))
    assert [watch.due(), watch.due()] == [True, False]


def test_the_list_sees_a_second_write_within_the_same_step_of_the_clock(runs_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    shutil.copy(runs_folder / "lively.journal", path)
    listing = Listing(ShownRuns(path))
    assert listing.rows()["runs"][0]["world"] == "lively"
    time_of_both = path.stat().st_mtime_ns
    shutil.copyfile(runs_folder / "sweep" / "evil.journal", path)
    os.utime(path, ns=(time_of_both, time_of_both))
    assert listing.rows()["runs"][0]["world"].startswith("evil")
