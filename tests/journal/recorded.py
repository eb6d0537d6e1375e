"""The run that the recorded journals hold; never changed, since the files are not.

`python -m tests.journal.recorded FILE` records it with the current format, which is done once for each new format.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tests.journal.records import chain
from turnwise.core.records import (
    AgentRecord,
    AnswerRecord,
    ChangeRecord,
    EffectRecord,
    EndRecord,
    MessageRecord,
    ParkRecord,
    QuestionRecord,
    RoundRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.snapshot import Snapshot
from turnwise.core.turn import Failure, FailureClass, Log, Record, Send, Spawn, TurnOutput
from turnwise.journal import CodeSource, Journal, RoundTimes, Span
from turnwise.journal.file.format import FORMAT

LONG = "once upon a time there was a dog with a red ball; " * 40

SNAPSHOT = Snapshot(2, 5, (2, 2, 2, 0), (2, 2, 2, 0), (5, 0, 0, 0), (1,), ((0, (4,)),))


def recorded_run(format_: int = FORMAT) -> tuple[tuple[AgentRecord, ...], list[RoundRecord], EndRecord]:
    """Its agents, its rounds and its end, as far as a format holds them."""
    beginning = (
        AgentRecord(0, "editor", "editor", '{"mood":"gay"}', "", 0, None, ("editor",)),
        AgentRecord(1, "narrator-1", "narrator", "{}", LONG, 0, None, ("narrator",)),
        AgentRecord(2, "narrator-2", "narrator", "{}", "", 0, None, ("narrator",)),
    )
    request = '{"effect":"generate","model":"storyteller","prompt":"A dog"}'
    generated = EffectRecord(
        0, "generate", "storyteller", request, '{"ok":{"finish":"stop","prompt_tokens":2,"text":"runs","tokens":1}}'
    )
    asked = EffectRecord(1, "ask", None, '{"effect":"ask"}', '{"error":{"kind":"denied","message":"no"}}')
    body = "tell me " + LONG
    first = RoundRecord(
        1,
        (
            TurnRecord(
                0,
                1,
                (0,),
                TurnOutput(
                    "é \0 \U0001f600",
                    (Send("writers", body), Send("nobody", "lost")),
                    (Log("info", "begun"), Log("warning", LONG)),
                    (Record("price", 1.5), Record("price", 3), Record("mood", "gay"), Record("huge", 2**70)),
                    wake_in=4,
                    spawn=(Spawn("narrator", "child", '{"a":1}', None),),
                ),
                None,
                (generated, asked),
                "printed\n",
                123_456,
                2,
            ),
            TurnRecord(1, 1, (), TurnOutput(LONG), None, (), "", 7, 1),
            TurnRecord(2, 1, (), None, Failure(FailureClass.RAISED, "Traceback\n" + LONG), (generated,), "", 9, 2),
        ),
        (MessageRecord(0, 0, None, "editor", "A dog finds a red ball.", (0,)),),
        (MessageRecord(1, 1, 0, "writers", body, (1, 2)), MessageRecord(2, 1, 0, "nobody", "lost", ())),
        (AgentRecord(3, "child", "narrator", '{"a":1}', "", 1, 0, ("narrator", "editor")),),
        (),
        chain("head", 1),
        chain("execution", 1),
    )
    second = RoundRecord(
        2,
        (
            TurnRecord(0, 2, (3,), TurnOutput("", record=(Record("price", -0.0),)), None, (), "", 1, 1),
            TurnRecord(1, 2, (1,), TurnOutput(LONG, (Send("editor", body),)), None, (), "", 8, 1),
            TurnRecord(2, 2, (1,), TurnOutput("", stop=("narrator-1",)), None, (), "", 8, 1),
        ),
        (MessageRecord(3, 1, None, "editor", "from outside", (0,)),),
        (MessageRecord(4, 2, 1, "editor", body, (0,)),),
        (),
        (1,),
        chain("head", 2),
        chain("execution", 2),
    )
    fifth = RoundRecord(
        5,
        (TurnRecord(0, 3, (4,), TurnOutput("", finish='{"story":"the end"}'), None, (), "", 1, 1),),
        (),
        (),
        (),
        (),
        chain("head", 5),
        chain("execution", 5),
    )
    if format_ >= 2:
        plan = '{"batching":"free","rows_max":2,"threads":1,"what":"' + LONG + '"}'
        waves = (WaveRecord(1, "storyteller", ((0, 0),), "{}"), WaveRecord(2, "storyteller", ((2, 0),), plan))
        first = replace(first, waves=waves)
    rounds = [first, second, fifth]
    end = EndRecord("finished", 5, '{"story":"the end"}', "told")
    if format_ >= 3:
        first = replace(first, turns=tuple([_with_tokens(turn) for turn in first.turns]))
        rounds = [first, second, fifth]
        rounds = [replace(round_, outcome=chain("outcome", round_.round)) for round_ in rounds]
        rounds[-1] = replace(rounds[-1], changes=(ChangeRecord("args", 2, '{"mood":"grim"}'),))
        rounds[1] = replace(rounds[1], state=chain("state", 2))
        question = '{"deadline":3,"default":{"a":[1]},"effect":"ask","question":"' + LONG + '"}'
        questions = (
            QuestionRecord(1, 1, "ask", '{"effect":"ask","question":"well?"}'),
            QuestionRecord(2, 2, "ask", question, 8),
        )
        waits = ParkRecord(2, 3, (), 1, (generated,), questions, ((1, False), (2, True)), 131_200, 70, 2)
        rounds[-1] = replace(rounds[-1], parks=(waits,))
        rounds.append(
            replace(
                rounds[-1],
                round=6,
                turns=(),
                inputs=(),
                messages=(),
                spawned=(),
                stopped=(),
                changes=(),
                parks=(),
                answers=(AnswerRecord(2, '{"ok":{"answer":"' + LONG + '"}}'),),
            )
        )
        end = replace(end, round=6)
        end = replace(end, head=chain("end"))
    return beginning, rounds, end


def _with_tokens(turn: TurnRecord) -> TurnRecord:
    """The turn with the tokens of its answers: of a failed one so many that they are not kept in place."""
    tokens = (7, 50_000, 2) if turn.failure is None else tuple(range(1_000, 1_300))
    kept = [replace(effect, tokens=tokens) if effect.kind == "generate" else effect for effect in turn.effects]
    return replace(turn, effects=tuple(kept))


def record(path: Path) -> None:
    """Write it as a journal."""
    codes = {
        "aa" * 32: CodeSource("module", "a.wat", (("a.wat", b"(module)"),)),
        "bb" * 32: CodeSource("component", "b.py", (("b.py", b"pass\n"), ("lib/c.py", b"x = 1\n")), "cc" * 32),
    }
    beginning, rounds, end = recorded_run()
    plan = '{"name":"recorded"}'
    with Journal.create(path, plan=plan, info="{}", versions="{}", codes=codes, agents=beginning) as journal:
        for round_ in rounds:
            spans = {turn.place: Span(10 * turn.place, 100) for turn in round_.turns}
            effects = {(place, effect.index): Span(20, 50) for place, effect in round_.effects()}
            waves = {wave.wave: Span(25, 40) for wave in round_.waves}
            began_us = 1_795_000_000_000_000 + 1_000 * round_.round
            times = RoundTimes(round_.round, began_us, 130, spans, effects, waves)
            journal.writer.commit(round_, None, times, SNAPSHOT if round_.round == SNAPSHOT.round else None)
        journal.writer.end(end)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:  # a fork has them from its beginning
        for round_ in rounds:
            for nr, change in enumerate(round_.changes):
                row = (round_.round, nr, change.what, change.target, change.text)
                connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", row)


if __name__ == "__main__":
    record(Path(sys.argv[1]))
