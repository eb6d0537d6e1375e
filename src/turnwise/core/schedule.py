"""The schedule: which agents move in a round.

An agent is due when it has unread mail, or when its alarm has rung (`wake_in`; `start = true` is an alarm for the
agent's first round). An agent whose turn waits for an answer from outside is due when that turn goes on, and never for
mail, which waits with it. An agent has at most one alarm: a newer `wake_in` replaces it. Rounds in which nobody is due
are skipped, not committed: the next round is the first in which somebody is.

Both disciplines answer the same questions. They are told of mail and alarms when these come to be, never when they are
used up: what is no longer true is recognised by asking the agent (`Pending`), so nothing scans the idle.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Protocol


class Pending(Protocol):
    """An agent as the schedule sees it: its unread mail, and when it is due without any."""

    def has_unread(self, seq: int) -> bool: ...
    @property
    def unread_any(self) -> bool:
        """True if it has mail to move for: never while its turn waits."""

    @property
    def due_at(self) -> int | None:
        """The round of its alarm, or in which its turn that waits goes on; None for none that is known."""

    @property
    def is_waiting(self) -> bool:
        """True while its turn waits for an answer from outside."""


class Agents(Protocol):
    """Agents by place."""

    def __getitem__(self, place: int, /) -> Pending: ...


class Discipline(Protocol):
    def mail(self, place: int, seq: int, ready: int) -> None:
        """Message `seq` can be read by the agent at `place` from round `ready` on."""

    def backlog(self, place: int) -> None:
        """The agent at `place` has moved, or waits no more, and has mail left that it has been told of before."""

    def alarm(self, place: int, round_: int) -> None:
        """The agent at `place` is due in `round_`."""

    def next_round(self, after: int) -> int | None:
        """The first round later than `after` in which somebody is due, or None."""

    def take(self, round_: int) -> list[int]:
        """The places that move in `round_`, in order of place."""


class Rounds:
    """Schedule in which all agents that are due move in the same round."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._mailed: set[int] = set()
        self._alarms: dict[int, list[int]] = {}  # places by round
        self._rounds: list[int] = []  # the rounds of alarms, a heap

    def mail(self, place: int, seq: int, ready: int) -> None:
        self._mailed.add(place)

    def backlog(self, place: int) -> None:
        self._mailed.add(place)

    def alarm(self, place: int, round_: int) -> None:
        places = self._alarms.get(round_)
        if places is None:
            self._alarms[round_] = [place]
            heappush(self._rounds, round_)
        else:
            places.append(place)

    def next_round(self, after: int) -> int | None:
        if any(self._agents[place].unread_any for place in self._mailed):
            return after + 1
        self._mailed.clear()
        self._drop_silent()
        return max(after + 1, self._rounds[0]) if self._rounds else None

    def take(self, round_: int) -> list[int]:
        due = {place for place in self._mailed if self._agents[place].unread_any}
        self._mailed.clear()
        while self._rounds and self._rounds[0] <= round_:
            rung = heappop(self._rounds)
            due.update([place for place in self._alarms.pop(rung) if self._agents[place].due_at == rung])
        return sorted(due)

    def _drop_silent(self) -> None:
        """Drop what is no alarm any more, from the end of the first round's until there is one."""
        while self._rounds:
            first = self._rounds[0]
            places = self._alarms[first]
            while places and self._agents[places[-1]].due_at != first:
                places.pop()
            if places:
                return
            del self._alarms[heappop(self._rounds)]


class Sequential:
    """Schedule of one turn a round: of the agent whose oldest unread message, or alarm, is oldest.

    Alarms that ring in a round come before the mail that can be read from that round on.
    """

    _ALARM, _MAIL = 0, 1

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._queue: list[tuple[int, int, int, int]] = []
        self._aside: dict[int, list[tuple[int, int, int, int]]] = {}  # mail of agents whose turns wait, by place

    def mail(self, place: int, seq: int, ready: int) -> None:
        heappush(self._queue, (ready, self._MAIL, seq, place))

    def backlog(self, place: int) -> None:
        """Take the entries of messages that were not read: each has its own, in the queue, or aside for so long."""
        for entry in self._aside.pop(place, ()):
            heappush(self._queue, entry)

    def alarm(self, place: int, round_: int) -> None:
        heappush(self._queue, (round_, self._ALARM, place, place))

    def next_round(self, after: int) -> int | None:
        self._drop_stale()
        return max(after + 1, self._queue[0][0]) if self._queue else None

    def take(self, round_: int) -> list[int]:
        self._drop_stale()
        return [heappop(self._queue)[3]] if self._queue and self._queue[0][0] <= round_ else []

    def _drop_stale(self) -> None:
        while self._queue:
            ready, what, order, place = self._queue[0]
            agent = self._agents[place]
            if what == self._MAIL and agent.is_waiting:
                self._aside.setdefault(place, []).append(heappop(self._queue))
                continue
            if agent.has_unread(order) if what == self._MAIL else agent.due_at == ready:
                return
            heappop(self._queue)
