"""Journals as they are: opened for reading, and made whole."""

from __future__ import annotations

from collections.abc import Sequence

from turnwise.api.places import places
from turnwise.journal import Journal
from turnwise.journal.run import Run
from turnwise.system.paths import StrPath


def open(journal: StrPath, *, parents: Sequence[StrPath] = ()) -> Run:  # noqa: A001 - turnwise.open, like gzip.open
    """Open a journal for reading. Raises `JournalError` for what is not one.

    `parents` are files, and folders, in which to look for what a fork goes on from, if that was moved.
    """
    return Run.open(journal, parents=places(parents))


def detach(journal: StrPath, *, parents: Sequence[StrPath] = ()) -> int:
    """Make a fork whole: copy into its journal what it has of those that it goes on from. Returns how many they were.

    `parents` are files, and folders, in which to look for those that were moved. The head stays.
    """
    return Journal.detach(journal, parents=places(parents))
