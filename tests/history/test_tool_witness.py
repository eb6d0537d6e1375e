"""A verification calls pure tools again, and says of others that it did not."""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

import turnwise
from turnwise import Agent, Grants, Tools, World
from turnwise.core.calling import CALL

PURE = """
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}

def turn(t):
    if t.args.get("list"):
        t.finish({"tools": [{"name": "double", "input_schema": SCHEMA}]})
    else:
        t.finish({"text": str(2 * t.args["args"]["n"])})
"""

OWN = '''
from pathlib import Path

def note(what: str) -> str:
    """Note something."""
    with open(Path(__file__).with_name("noted"), "a") as file:
        file.write(what)
    return what
'''

AGENT = """
def turn(t):
    several = t.call_all([("pure.double", {"n": n}) for n in (1, 2)])
    t.finish([str(one) for one in several] + [str(t.call("own.note", {"what": "it"}))])
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    for name, text in (("pure.py", PURE), ("own.py", OWN), ("agent.py", AGENT)):
        (tmp_path / name).write_text(text)
    world = World(
        "pure",
        tools={"pure": Tools("wasm", {"path": "pure.py"}), "own": Tools("python", {"path": "own.py"})},
        agents={"agent": Agent("agent.py", start=True, grants=Grants(call=["*"], finish=True))},
        folder=tmp_path,
    )
    path = tmp_path / "run.journal"
    with turnwise.run(world, journal=path, workers=1) as run:
        assert run.result == ["2", "4", "it"]
        assert [effect.kind for turn in run.turns for effect in turn.effects] == [CALL] * 3
    return path


def test_pure_tools_are_called_again_and_others_are_not(journal: Path, tmp_path: Path) -> None:
    found = turnwise.verify(journal, workers=1)
    assert found.difference is None
    own, pure = found.tools
    assert (own.name, own.level, own.calls, own.compared) == ("own.note", "L0", 1, 0)
    assert "not pure" in own.reasons[0]
    assert (pure.name, pure.level, pure.calls, pure.compared, pure.reasons) == ("pure.double", "L2", 2, 2, ())
    assert (tmp_path / "noted").read_text() == "it"
    assert "1 result of tools was taken from the journal" in found.unproved


def test_a_pure_tool_that_gives_another_result_is_a_difference(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "pure.py").write_text(PURE.replace("2 * t.args", "3 * t.args"))
    found = turnwise.verify(journal, workers=1)
    assert found.difference is not None
    assert found.difference.what == "effect 0: result of pure.double"
    assert (found.difference.expected, found.difference.actual) == ('{"ok":{"text":"2"}}', '{"ok":{"text":"3"}}')
    assert found.tools[-1].level == "L0"


def test_a_pure_tool_that_is_not_there_is_said_so(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "pure.py").unlink()
    found = turnwise.verify(journal, workers=1)
    assert found.difference is None
    assert found.tools[-1].level == "L0"
    assert "pure.py" in found.tools[-1].reasons[0]
    assert "3 results of tools were taken from the journal" in found.unproved


def test_no_server_is_started_that_could_do_more_than_compute(journal: Path, tmp_path: Path) -> None:
    """A journal may say of any server that it is pure: that is believed of none but the sandboxed kinds."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        (info,) = connection.execute("SELECT info FROM writers").fetchone()
        if isinstance(info, int):
            select = "SELECT sqlar_uncompress(data, size) FROM blobs WHERE id = ?"
            connection.create_function("sqlar_uncompress", 2, uncompressed)
            (info,) = connection.execute(select, (info,)).fetchone()
        noted = json.loads(info)
        noted["tools"]["pure"] |= {"kind": "python", "settings": {"path": "evil.py"}}
        connection.execute("UPDATE writers SET info = ?", (json.dumps(noted),))
    (tmp_path / "evil.py").write_text("open(__file__ + '.done', 'w')")
    found = turnwise.verify(journal, workers=1)
    assert "outside of the sandbox" in found.tools[-1].reasons[0]
    assert not (tmp_path / "evil.py.done").exists()


def uncompressed(data: bytes, size: int) -> bytes:
    return data if len(data) == size else zlib.decompress(data)
