"""The schedule of rounds beside the plainest one that is right: everybody is asked before every round."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turnwise.core.schedule import Rounds

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
