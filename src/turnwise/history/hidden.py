"""Turns behind others that an answer does not tell: counted in one pass over the rounds, from the last to the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Final

from turnwise.core.records import AgentRecord, RoundRecord, TurnRecord
from turnwise.journal import Journal

TurnKey = tuple[int, int]
"""Round and place of a turn."""

_ROUNDS_READ: Final = 256
"""Rounds that are in memory at once."""


def hidden_turns(
    journal: Journal, agents: Sequence[AgentRecord], cut: Sequence[TurnKey], told: Set[TurnKey]
) -> dict[TurnKey, int]:
    """Count the turns behind each turn of `cut` that are neither in `cut` nor in `told`.

    A turn that is behind several of them is counted once, for the first of them in their order.
    """
    if not cut:
        return {}
    counting = _Counting(agents, cut, told)
    for record in _backwards(journal, max(round_ for round_, _ in cut)):
        counting.take(record)
    return dict(zip(cut, counting.counts, strict=True))


def _backwards(journal: Journal, last: int) -> Iterator[RoundRecord]:
    while last > 0:
        first = max(1, last - _ROUNDS_READ + 1)
        yield from reversed(list(journal.rounds.between(first, last)))
        last = first - 1


class _Counting:
    """A pass over the rounds: places and messages that are wanted, each for a turn of `cut` by its number."""

    def __init__(self, agents: Sequence[AgentRecord], cut: Sequence[TurnKey], told: Set[TurnKey]) -> None:
        self.counts = [0] * len(cut)
        self._numbers = {key: number for number, key in enumerate(cut)}
        self._told = told
        self._places: dict[int, int] = {}
        self._messages: dict[int, int] = {}
        self._born: dict[int, list[AgentRecord]] = {}
        for agent in agents:
            if agent.parent is not None:
                self._born.setdefault(agent.born, []).append(agent)

    def take(self, record: RoundRecord) -> None:
        """Find the turns of a round that are wanted, and what they want of the rounds before."""
        wanted: dict[int, int] = {}
        for message in record.messages:
            number = self._messages.pop(message.seq, None)
            if number is not None and message.sender is not None:
                _least(wanted, message.sender, number)
        for agent in self._born.get(record.round, ()):
            number = self._places.pop(agent.place, None)
            if number is not None and agent.parent is not None:
                _least(wanted, agent.parent, number)
        for turn in record.turns:
            if (number := self._places.pop(turn.place, None)) is not None:
                _least(wanted, turn.place, number)
        for turn in record.turns:
            self._turn((record.round, turn.place), turn, wanted.get(turn.place))

    def _turn(self, key: TurnKey, turn: TurnRecord, number: int | None) -> None:
        own = self._numbers.get(key)
        if key in self._told or (own is None and number is None):
            return
        if own is None and number is not None:
            self.counts[number] += 1
        number = min([found for found in (own, number) if found is not None])
        _least(self._places, turn.place, number)
        for seq in turn.inbox:
            _least(self._messages, seq, number)


def _least(found: dict[int, int], key: int, number: int) -> None:
    found[key] = min(number, found.get(key, number))
