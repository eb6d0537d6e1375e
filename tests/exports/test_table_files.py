"""Tables hold what the run holds, in every form alike."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

import turnwise
from turnwise import UsageError
from turnwise.core.turn import TurnOutput
from turnwise.journal.run_rows import Rows
from turnwise.journal.tables import TABLES, markdown

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_all_forms_hold_the_same(lived: Path, written: Path, answered: Path, tmp_path: Path) -> None:
    for journal in (lived, written, answered):
        out = tmp_path / journal.stem
        out.mkdir()
        for kind in ("csv", "jsonl", "parquet"):
            files = turnwise.export(journal, out / kind, kind)
            assert [path.name for path in files] == [f"{name}.{kind}" for name in TABLES]
        for name, table in TABLES.items():
            lines = (out / "jsonl" / f"{name}.jsonl").read_text("utf-8").splitlines()
            rows = [json.loads(line) for line in lines]
            assert parquet.read_table(out / "parquet" / f"{name}.parquet").to_pylist() == rows
            with (out / "csv" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
                found = list(csv.DictReader(file))
            names = [column.name for column in table.columns]
            assert [list(row) for row in rows] == [names] * len(rows)
            texts = [{key: "" if cell is None else str(cell) for key, cell in row.items()} for row in rows]
            assert found == texts


def test_tables_have_the_rows_of_the_run(written: Path, tmp_path: Path) -> None:
    turnwise.export(written, tmp_path / "out", "jsonl", tables=["turns", "effects", "messages"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "effects.jsonl",
        "messages.jsonl",
        "turns.jsonl",
    ]
    rows = {path.stem: path.read_text("utf-8").splitlines() for path in (tmp_path / "out").iterdir()}
    with turnwise.open(written) as run:
        assert len(rows["turns"]) == len(run.turns)
        assert len(rows["messages"]) == len(run.messages)
        effects = [(turn.agent, effect.reply) for turn in run.turns for effect in turn.effects]
    assert [(row["agent"], row["reply"]) for row in map(json.loads, rows["effects"])] == effects


def test_data_frames(lived: Path) -> None:
    with turnwise.open(lived) as run:
        frames = run.to_pandas()
        assert list(frames) == list(TABLES)
        records = run.to_pandas("records")
        assert len(records) == len(run.records) > 0
        assert list(records["agent"]) == [record.agent for record in run.records]
        assert str(frames["turns"]["fuel"].dtype) == "Int64"
        with pytest.raises(UsageError, match="no table 'x'"):
            run.to_pandas("x")


def test_the_page_lists_all_columns() -> None:
    assert markdown().strip() in (DOCS / "journal.md").read_text("utf-8")


def test_the_page_lists_all_members_of_objects(lived: Path, answered: Path) -> None:
    page = (DOCS / "journal.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    told = {name: (kind, re.findall(r"`(\w+)`", members)) for name, kind, members in rows}
    with turnwise.open(lived) as run, turnwise.open(answered) as with_people:
        iterables = {name: value for name, value in vars(run).items() if isinstance(value, Rows)}
        assert told.keys() >= iterables.keys() >= {"agents", "rounds", "turns", "messages", "records", "timings"}
        for name, rows_of in iterables.items():
            kind, members = told[name]
            if name == "failures":
                assert (kind, members) == ("Turn", ["turns"])
                continue
            first = next(iter(rows_of), None) or next(iter(getattr(with_people, name)))
            assert type(first).__name__ == kind
            assert members == [field.name for field in fields(first)]
    output = re.search(r"^`output` of a turn has what it left: (.*?);", page, re.MULTILINE)
    assert output is not None
    assert set(re.findall(r"`(\w+)`", output[1])) == {field.name for field in fields(TurnOutput)}


def test_the_example_of_the_page_runs(lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(lived, tmp_path / "run.journal")
    example = re.search(r"```python\n(.*?to_pandas.*?)```", (DOCS / "journal.md").read_text("utf-8"), re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}
    exec(example[1], names)
    with turnwise.open(lived) as run:
        assert dict(names["fuel"]) == {
            agent.name: sum(turn.fuel for turn in run.turns if turn.agent == agent.name)
            for agent in run.agents
            if any(turn.agent == agent.name for turn in run.turns)
        }
        assert len(names["read"]) == sum(len(turn.inbox) for turn in run.turns) > 0


def test_nothing_is_overwritten_and_wrong_names_are_named(lived: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        turnwise.export(lived, tmp_path, "csv")
    with pytest.raises(UsageError, match="no table"):
        turnwise.export(lived, tmp_path / "a", "csv", tables=["nothing"])
    with pytest.raises(UsageError, match="no format"):
        turnwise.export(lived, tmp_path / "a", "xml")
    with pytest.raises(UsageError, match="has no tables"):
        turnwise.export(lived, tmp_path / "a", "otel", tables=["turns"])
    assert list(tmp_path.iterdir()) == []


def test_questions_answers_and_what_came_with_messages_are_in_the_tables(answered: Path, tmp_path: Path) -> None:
    turnwise.export(answered, tmp_path / "out", "jsonl")
    rows = {
        path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in (tmp_path / "out").iterdir()
    }
    assert [(row["round"], row["agent"], row["turn"], row["questions"]) for row in rows["parks"]] == [
        (2, "clerk", 1, "[1]"), (5, "clerk", 1, "[2]"), (8, "clerk", 1, "[3]"),
    ]  # fmt: skip
    assert [(row["id"], row["round"], row["deadline"], row["answered"], row["reply"]) for row in rows["questions"]] == [
        (1, 2, None, 5, '{"ok":{"answer":true}}'), (2, 5, 8, None, None), (3, 8, None, 9, '{"ok":{"answer":"B"}}'),
    ]  # fmt: skip
    assert [(row["round"], row["question"]) for row in rows["answers"]] == [(5, 1), (9, 3)]
    asked = [(row["round"], row["kind"]) for row in rows["effects"] if row["agent"] == "clerk"]
    assert asked == [(2, "generate"), (5, "ask"), (8, "ask"), (9, "ask")]
    assert [row["attach"] is not None for row in rows["messages"]] == [True, False]
    with turnwise.open(answered) as run:
        assert [(one.id, one.text, one.answered) for one in run.asked] == [
            (1, "A bridge over the river?", 5), (2, "Why?", None), (3, "Sign <b>here</b>", 9),
        ]  # fmt: skip
        assert [(one.round, one.agent, one.value) for one in run.answers] == [(5, "clerk", True), (9, "clerk", "B")]
        assert [(one.round, one.questions) for one in run.parks] == [(2, (1,)), (5, (2,)), (8, (3,))]
        assert (len(run.parks), len(run.asked), len(run.answers)) == (3, 3, 2)
        assert [message.attach for message in run.messages] == [row["attach"] for row in rows["messages"]]
        assert run.questions == []
