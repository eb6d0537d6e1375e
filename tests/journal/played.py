"""Long runs for tests: the core plays them in this process, and writes the journal that sandboxes would have made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from turnwise.core.events import Advance, Commit, Execute, TurnEnded
from turnwise.core.turn import Completed, TurnOutput
from turnwise.journal import Journal

Plays = Callable[[Execute], TurnOutput]


def go_on(path: Path, last: int, plays: Plays) -> None:
    """Play an open run on to round `last`, each turn as `plays` says, and keep what is to be kept."""
    with Journal.open(path, write=True) as journal:
        machine = journal.machine.at()
        while machine.world.round < last:
            for action in machine.step(Advance()):
                assert isinstance(action, Execute), action
                for after in machine.step(TurnEnded(action.place, Completed(plays(action)), fuel=1)):
                    assert isinstance(after, Commit), after
                    journal.writer.commit(after.record, after.end, None, after.snapshot)
