"""Commits rounds to the journal that is named, and says the number of each that is on disk, until it is killed."""

import sys
from pathlib import Path

from tests.journal.records import create, simple
from turnwise.journal import Journal

path = Path(sys.argv[1])
agents, size = int(sys.argv[2]), int(sys.argv[3])
with Journal.open(path, write=True) if path.exists() else create(path, agents) as journal:
    print("open", flush=True)
    number = journal.rounds.last_round
    while True:
        number += 1
        journal.writer.commit(simple(number, agents, size))
        print(number, flush=True)
