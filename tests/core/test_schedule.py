"""Both schedules beside the plainest ones that are right: everybody is asked before every round."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turnwise.core.schedule import Rounds, Sequential

AGENTS = 4


class Agent:
    """An agent, as far as a schedule asks for it."""

    def __init__(self) -> None:
        self.mail = 0
        self.alarm: int | None = None
        self.is_waiting = False

    @property
    def unread_any(self) -> bool:
        return self.mail > 0 and not self.is_waiting

    @property
    def due_at(self) -> int | None:
        return None if self.is_waiting else self.alarm

    def has_unread(self, seq: int) -> bool:
        return self.mail > 0


def plain_next(agents: list[Agent], after: int) -> int | None:
    if any(agent.unread_any for agent in agents):
        return after + 1
    alarms = [agent.due_at for agent in agents if agent.due_at is not None]
    return max(after + 1, min(alarms)) if alarms else None


def plain_due(agents: list[Agent], round_: int) -> list[int]:
    return [
        place
        for place, agent in enumerate(agents)
        if agent.unread_any or (agent.due_at is not None and agent.due_at <= round_)
    ]


PLACES = st.integers(0, AGENTS - 1)
CHANGES = st.lists(
    st.tuples(PLACES, st.sampled_from(("mail", "silent", "wait", "go on")), st.just(0))
    | st.tuples(PLACES, st.just("alarm"), st.integers(1, 4)),
    max_size=12,
)


@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_those_are_due_who_say_so_when_they_are_asked(rounds: list[list[tuple[int, str, int]]]) -> None:
    agents = [Agent() for _ in range(AGENTS)]
    schedule = Rounds(agents)
    now = 0
    for changes in rounds:
        for place, what, number in changes:
            agent = agents[place]
            if what == "mail":
                agent.mail += 1
                schedule.mail(place, agent.mail, now + 1)
            elif what == "silent":
                agent.alarm = None
            elif what == "alarm":
                agent.alarm = now + number
                schedule.alarm(place, agent.alarm)
            elif what == "wait":
                agent.is_waiting = True
            else:
                agent.is_waiting = False
                schedule.backlog(place)
                if agent.alarm is not None:
                    schedule.alarm(place, agent.alarm)
        found = schedule.next_round(now)
        assert found == plain_next(agents, now)
        assert schedule.next_round(now) == found  # to ask changes nothing
        if found is None:
            continue
        now = found
        expected = plain_due(agents, now)
        assert schedule.take(now) == expected
        for place in expected:
            agents[place].mail = 0
            agents[place].alarm = None


def test_the_alarms_of_one_round_are_looked_at_once_however_many_are_silent() -> None:
    class Counted(Agent):
        asked = 0

        @property
        def due_at(self) -> int | None:
            Counted.asked += 1
            return self.alarm

    agents = [Counted() for _ in range(1_000)]
    schedule = Rounds(agents)
    for place in range(len(agents)):
        schedule.alarm(place, 50)
    agents[0].alarm = 50
    for now in range(40):
        assert schedule.next_round(now) == 50
    assert Counted.asked < 1_100
    assert schedule.take(50) == [0]


class Reader(Agent):
    """An agent whose letters are told apart: number, and the round from which on it can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: list[tuple[int, int]] = []

    def has_unread(self, seq: int) -> bool:
        return bool(self.letters) and self.letters[0][0] <= seq


def plain_order(agents: list[Reader]) -> list[tuple[int, int, int, int]]:
    """Everything for which somebody is due, the first first: its round, alarms before mail, and what breaks ties."""
    mail = [
        (agent.letters[0][1], 1, agent.letters[0][0], place)
        for place, agent in enumerate(agents)
        if agent.letters and not agent.is_waiting
    ]
    alarms = [(agent.due_at, 0, place, place) for place, agent in enumerate(agents) if agent.due_at is not None]
    return sorted([*mail, *alarms])


@given(st.lists(st.tuples(CHANGES, st.integers(0, 3), st.booleans()), min_size=1, max_size=10))
def test_the_one_whose_mail_or_alarm_is_oldest_moves_alone(
    rounds: list[tuple[list[tuple[int, str, int]], int, bool]],
) -> None:
    agents = [Reader() for _ in range(AGENTS)]
    schedule = Sequential(agents)
    now = seq = 0
    for changes, left, waits in rounds:
        for place, what, number in changes:
            agent = agents[place]
            if what == "mail":
                agent.letters.append((seq, now + 1))
                schedule.mail(place, seq, now + 1)
                seq += 1
            elif what == "alarm":
                agent.alarm = now + number
                schedule.alarm(place, agent.alarm)
            elif what == "go on" and agent.is_waiting:
                agent.is_waiting = False
                schedule.backlog(place)
                if agent.alarm is not None:
                    schedule.alarm(place, agent.alarm)
            elif what == "silent":
                agent.alarm = None
        order = plain_order(agents)
        found = schedule.next_round(now)
        assert found == (max(now + 1, order[0][0]) if order else None)
        assert schedule.next_round(now) == found
        if found is None:
            continue
        now = found
        assert schedule.take(now) == [order[0][3]]
        moved = agents[order[0][3]]
        moved.letters = moved.letters[max(1, len(moved.letters) - left) :]  # of many letters some may be left
        moved.alarm = None if moved.alarm is not None and moved.alarm <= now else moved.alarm
        moved.is_waiting = waits
