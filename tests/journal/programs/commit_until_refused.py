"""Commits rounds to the journal that is named until that fails, and says how: for disks that are full."""

import sys
from pathlib import Path

from tests.journal.records import create, simple
from turnwise.errors import TurnwiseError
from turnwise.journal import Journal

path = Path(sys.argv[1])
if len(sys.argv) > 2:
    import resource

    # Files of this process cannot grow beyond this: the write fails as on a full disk, with another error number.
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
with Journal.open(path, write=True) if path.exists() else create(path) as journal:
    try:
        for number in range(journal.rounds.last_round + 1, 10_000):
            journal.writer.commit(simple(number, size=400))
    except TurnwiseError as error:
        print(type(error).__name__, journal.rounds.last_round)
        print(error)
        again = journal.rounds.last_round + 1
        try:
            journal.writer.commit(simple(again, size=400))
        except TurnwiseError as second:
            print(type(second).__name__, journal.rounds.last_round)
