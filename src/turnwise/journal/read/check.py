"""A whole journal, read to see whether it can be."""

from __future__ import annotations

from turnwise.journal.file.errors import damaged
from turnwise.journal.read.ahead import AheadReader
from turnwise.journal.read.queries import QueryReader
from turnwise.journal.read.query import Query
from turnwise.journal.read.rounds import RoundReader
from turnwise.journal.read.snapshots import SnapshotReader
from turnwise.journal.read.world import WorldReader


def check(
    query: Query,
    rounds: RoundReader,
    queries: QueryReader,
    world: WorldReader,
    snapshots: SnapshotReader,
    ahead: AheadReader,
) -> int:
    """Read everything, and raise JournalError at the first thing that cannot be; else the number of rounds.

    SQLite's own structure is checked, every row is decoded, and rounds, places, turns and messages must count on.
    Whether the chains hold `ChainReader` says.
    """
    for (problem,) in query.rows("PRAGMA quick_check(1)"):
        if problem != "ok":
            raise damaged(query.path, str(problem))
    turns: dict[int, int] = {}
    agents = len([agent.place for agent in queries.agents(0)])
    seq_last = -1
    question_last = 0
    answered: set[int] = set()
    count = 0
    for summary in rounds.summaries():
        count += 1
        number = summary.round
        agents += summary.spawned
        if summary.agents != agents:
            what = f"the agents of round {number} do not count on"
            raise damaged(query.path, what, expected=agents, actual=summary.agents)
        record = rounds.round(number)
        for turn in record.turns:
            turns[turn.place] = turns.get(turn.place, 0) + 1
            if not 0 <= turn.place < agents or turn.turn != turns[turn.place]:
                raise damaged(query.path, f"the turns of place {turn.place} do not count on in round {number}")
        for park in record.parks:
            if not 0 <= park.place < agents or park.turn != turns.get(park.place, 0) + 1:
                raise damaged(query.path, f"the turns of place {park.place} do not count on in round {number}")
            for asked in park.questions:
                if asked.id != question_last + 1:
                    raise damaged(query.path, f"question {asked.id} of round {number} does not count on")
                question_last = asked.id
        for answer in record.answers:
            if not 0 < answer.question <= question_last or answer.question in answered:
                raise damaged(query.path, f"the answer to question {answer.question} in round {number} is to none")
            answered.add(answer.question)
        for message in (*record.inputs, *record.messages):
            if message.seq <= seq_last or any(place >= agents for place in message.recipients):
                raise damaged(query.path, f"message {message.seq} of round {number} does not count on")
            seq_last = message.seq
    for place, agent in enumerate(queries.agents()):
        if agent.place != place:
            raise damaged(query.path, "a place is missing", expected=place, actual=agent.place)
    world.check_mail()
    for _ in snapshots.all():
        pass
    known = ahead.rows()
    if known and rounds.end_record is not None:
        raise damaged(query.path, "something is known ahead of a run that has ended", actual=known[0].key)
    return count
