from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world.conftest import MINIMAL, Write, only_problem, problems_of
from turnwise.core.canonical import canonical
from turnwise.world import World
from turnwise.world.meaning.table import Table, read_table

TABLE = MINIMAL + 'table = "people.csv"\n'


def read(text: str, required: Sequence[str] = ()) -> Table:
    faults: list[tuple[str, str]] = []
    table = read_table(text, "people.csv", required, lambda message, hint: faults.append((message, hint)))
    assert table is not None, faults
    return table


def test_rows_are_agents_and_columns_are_args(write: Write) -> None:
    folder = write(TABLE, {"people.csv": "budget,mood\n10,sad\n20,glad\n"})
    agents = World.read(folder).resolve().agents
    assert [(agent.name, agent.args) for agent in agents] == [
        ("a-1", '{"budget":10,"mood":"sad"}'),
        ("a-2", '{"budget":20,"mood":"glad"}'),
    ]


def test_a_column_of_names_names_the_agents(write: Write) -> None:
    folder = write(TABLE, {"people.csv": "budget,name\n10,ann\n20,bob\n"})
    agents = World.read(folder).resolve().agents
    assert [(agent.name, agent.args) for agent in agents] == [("ann", '{"budget":10}'), ("bob", '{"budget":20}')]


def test_names_alone_are_enough(write: Write) -> None:
    folder = write(TABLE + "args = { x = 1 }\n", {"people.csv": "name\nann\nbob\n"})
    assert [agent.args for agent in World.read(folder).resolve().agents] == ['{"x":1}', '{"x":1}']


def test_rows_go_over_the_args_of_the_kind(write: Write) -> None:
    folder = write(TABLE + 'args = { mood = "calm", z = [1] }\n', {"people.csv": "budget,mood\n10,\n,glad\n"})
    resolved = World.read(folder).resolve()
    assert [agent.args for agent in resolved.agents] == [
        '{"budget":10,"mood":"calm","z":[1]}',
        '{"mood":"glad","z":[1]}',
    ]
    assert resolved.kinds[0].args == '{"mood":"calm","z":[1]}'


def test_rows_go_over_args_given_one_by_one(write: Write) -> None:
    folder = write(TABLE + "args = [{ x = 1 }, { y = 2 }]\n", {"people.csv": "x\n5\n6\n"})
    resolved = World.read(folder).resolve()
    assert [agent.args for agent in resolved.agents] == ['{"x":5}', '{"x":6,"y":2}']
    assert resolved.kinds[0].args == "{}"


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["1", "2.5", "-1e3", ""], [1, 2.5, -1000.0, None]),
        (["1", "two"], ["1", "two"]),
        (["007", "1"], ["007", "1"]),
        (["+1"], ["+1"]),
        (["1_000"], ["1_000"]),
        ([".5"], [".5"]),
        (["1."], ["1."]),
        ([" 1"], [" 1"]),
        (["٣"], ["٣"]),
        (["NaN", "1"], ["NaN", "1"]),
        (["1e999"], ["1e999"]),
        ([str(2**63 - 1), str(-(2**63))], [2**63 - 1, -(2**63)]),
        ([str(2**63)], [str(2**63)]),
        (["9" * 5000, "1.5"], ["9" * 5000, "1.5"]),
        (["true", "false", ""], [True, False, None]),
        (["true", "yes"], ["true", "yes"]),
        (["True"], ["True"]),
    ],
)
def test_a_column_has_one_type(cells: list[str], values: list[object]) -> None:
    table = read("x,y\n" + "".join(f"{cell},-\n" for cell in cells))
    assert list(table.columns["x"]) == values
    assert [type(value) for value in table.columns["x"]] == [type(value) for value in values]


def test_csv_from_elsewhere_is_read() -> None:
    table = read('\na,b\r\n"x, ""y""",é\r\n"two\nlines",3\r\n\r\n')
    assert dict(table.columns) == {"a": ['x, "y"', "two\nlines"], "b": ["é", "3"]}
    assert table.lines == [3, 5]


def test_a_byte_order_mark_is_no_part_of_the_first_column(write: Write) -> None:
    folder = write(TABLE, {"people.csv": b"\xef\xbb\xbfx\n1\n"})
    assert World.read(folder).resolve().agents[0].args == '{"x":1}'


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", '"people.csv" is empty', "The first line names the columns"),
        ("\n\n", '"people.csv" is empty', "The first line names the columns"),
        ("x,y\n", '"people.csv" has no rows', "Add a row for each agent"),
        ("x,y\n1\n", '"people.csv" line 2 has 1 instead of 2 cells', "a cell for each column"),
        ("x,y\n1,2\n1,2,3\n", '"people.csv" line 3 has 3 instead of 2 cells', "double quotes"),
        ("x,\n1,2\n", '"people.csv" line 1: column 2 has no name', "Name every column"),
        ("x, y\n1,2\n", '"people.csv" line 1: the column " y" has spaces around its name', "Remove them"),
        ("x,x\n1,2\n", '"people.csv" line 1: the column "x" is there twice', "Rename or remove one"),
        ("x;y\n1;2\n", '"people.csv" separates its columns by semicolons', "commas"),
        ('x\n"1" 2\n', '"people.csv" line 2 is not CSV', "in quotes"),
        ('x\n"1\n2\n', '"people.csv" line 3 is not CSV', "in quotes"),
        ("x\n" + "y" * 200_000 + "\n", '"people.csv" line 2 is not CSV', "in quotes"),
        ("name,x\nann,1\n,2\n", '"people.csv" line 3 has nothing in the column "name"', "Fill in the cell"),
        ("name\nann\nann\n", 'has two agents named "ann"', "a name of its own"),
        ("name\nann\noutside\n", 'line 3: the name "outside" is reserved', "Choose another name"),
        ("name\nAnna Müller\n", 'line 2: the name "Anna Müller" is not a name', "all of them ASCII"),
        ("name\n1st\n", 'line 2: the name "1st" is not a name', "A name is a letter, then"),
    ],
)
def test_a_bad_table_is_said_with_file_key_and_line(write: Write, text: str, message: str, hint: str) -> None:
    folder = write(TABLE, {"people.csv": text})
    problem = only_problem(folder)
    assert problem.where == f"{folder}/world.toml: agents.a.table"
    assert message in problem.message
    assert hint in problem.hint


def test_a_required_column_that_is_missing(write: Write) -> None:
    folder = write(TABLE + 'columns = ["budget", "mood"]\n', {"people.csv": "Budget,mood\n1,sad\n"})
    problem = only_problem(folder)
    assert problem.where == f"{folder}/world.toml: agents.a.table"
    assert problem.message == '"people.csv" lacks the column "budget", which `columns` requires'
    assert problem.hint.startswith('Did you mean "Budget"? Add it, or take it out of `columns`.')


def test_a_required_column_has_a_value_in_every_row(write: Write) -> None:
    folder = write(TABLE + 'columns = ["x"]\n', {"people.csv": "x,y\n1,\n,2\n"})
    assert only_problem(folder).message == '"people.csv" line 3 has nothing in the column "x"'
    (folder / "people.csv").write_text("x,y\n1,\n3,2\n")
    assert [agent.args for agent in World.read(folder).resolve().agents] == ['{"x":1}', '{"x":3,"y":2}']


def test_all_bad_lines_are_said(write: Write) -> None:
    folder = write(TABLE, {"people.csv": "x,y\n1\n1,2\n3\n"})
    assert [problem.message.split(" has ")[0] for problem in problems_of(folder)] == [
        '"people.csv" line 2',
        '"people.csv" line 4',
    ]


@pytest.mark.parametrize(
    ("toml", "key", "message"),
    [
        ("count = 2\n", "agents.a.count", "is there together with table"),
        ("args = [{}]\n", "agents.a.args", "has 1 tables, and there are 2 agents"),
        ('args = { x = "' + "y" * 1_048_560 + '" }\n', "agents.a.table", "has a row that is too long"),
    ],
)
def test_what_does_not_go_with_a_table(write: Write, toml: str, key: str, message: str) -> None:
    problem = only_problem(write(TABLE + toml, {"people.csv": "y\n1000000\n2\n"}))
    assert problem.where.endswith(f": {key}")
    assert message in problem.message


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("missing.csv", None, 'there is no file "missing.csv"', "correct the path"),
        ("../people.csv", "x\n1\n", 'the file "../people.csv" is outside the world\'s folder', "Copy it into"),
        (".", None, '"." is not a file', "Name a regular file"),
        ("people.csv", b"x\n\xff\n", 'the file "people.csv" is not UTF-8: byte 0xff at offset 2 (line 2)', "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_had(
    write: Write, name: str, content: str | bytes | None, message: str, hint: str
) -> None:
    toml = MINIMAL + f'table = "{name}"\n'
    folder = write() / "world"
    files = {"world/world.toml": toml, "world/a.py": ""}
    if content is not None:
        files[f"world/{name}"] = content  # type: ignore[assignment]
    write(files=files)
    problem = only_problem(folder)
    assert problem.where == f"{folder}/world.toml: agents.a.table"
    assert problem.message == message
    assert hint in problem.hint


def test_a_table_that_is_too_large(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(TABLE, {"people.csv": "x\n1\n2\n3\n"})
    monkeypatch.setattr("turnwise.world.meaning.table.AGENTS_MAX", 2)
    assert "has more than 2 rows" in problems_of(folder)[0].message
    monkeypatch.setattr("turnwise.world.meaning.agents.TABLE_BYTES_MAX", 5)
    assert "is too large" in only_problem(folder).message


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5)
CELLS = TEXTS | st.integers(-(2**64), 2**64).map(str) | st.floats().map(repr) | st.sampled_from(["true", "false", ""])


@given(st.data(), st.lists(TEXTS.filter(str.strip), min_size=2, max_size=4, unique=True))
def test_the_texts_are_those_of_the_rows(data: st.DataObject, header: list[str]) -> None:
    header = [*dict.fromkeys(column.strip() for column in header if column.strip() != "name"), "last column"]
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), min_size=1, max_size=4))
    base_keys = st.sampled_from([*header, "b", "a"])
    bases = data.draw(
        st.lists(st.dictionaries(base_keys, st.integers()), min_size=len(rows), max_size=len(rows))
        | st.lists(st.dictionaries(base_keys, st.integers()), min_size=1, max_size=1)
    )
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    table = read(out.getvalue())
    for text, index in zip(table.texts_over(bases), range(len(rows)), strict=True):
        base: Mapping[str, Any] = bases[index] if len(bases) > 1 else bases[0]
        row = {column: cells[index] for column, cells in table.columns.items() if cells[index] is not None}
        assert text == canonical({**base, **row})
        assert json.loads(text).keys() == {**base, **row}.keys()
        for column, cell in zip(header, rows[index], strict=True):
            assert (column in row) == (cell != "")
            if isinstance(row.get(column), str):
                assert row[column] == cell
