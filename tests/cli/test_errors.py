"""What is said when something went wrong, and the exit code it has."""

from __future__ import annotations

import io
import json
import re
import stat
from pathlib import Path

import pytest

from turnwise.cli.errors import as_json, json_line, report
from turnwise.cli.interrupts import Terminated
from turnwise.cli.output import Output
from turnwise.errors import (
    DifferenceFound,
    EnvironmentFailure,
    InvariantError,
    JournalError,
    Problem,
    RunFailed,
    TurnwiseError,
    UsageError,
    WorldError,
)

EVIL = "\x1b[2J\u202e"


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("TURNWISE_DEBUG", raising=False)


def said(error: BaseException) -> tuple[int, str]:
    stream = io.StringIO()
    return report(error, Output(stream)), stream.getvalue()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 2),
        (JournalError("no"), 2),
        (WorldError([Problem("world.toml", "no", "yes")]), 2),
        (RunFailed("no"), 1),
        (EnvironmentFailure("no"), 1),
        (DifferenceFound("no"), 3),
        (InvariantError("no"), 1),
        (TurnwiseError("no"), 1),
        (OSError(28, "No space left on device", "/x"), 1),
        (ZeroDivisionError("no"), 1),
        (MemoryError(), 1),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert said(error)[0] == code
    assert as_json(error, code)["exit"] == code


def test_where_what_and_what_to_do() -> None:
    error = UsageError(f"is {EVIL} wrong", where=f"a{EVIL}.toml: agents.x", hint="Do this.\nOr that.")
    assert said(error)[1] == ("error: a\\e[2J\\u202e.toml: agents.x: is \\e[2J\\u202e wrong\n  Do this.\n  Or that.\n")


def test_every_problem_of_a_world_is_said() -> None:
    problems = [Problem("w: a", "one", "fix one"), Problem("w: b", f"two{EVIL}", "fix two")]
    assert said(WorldError(problems))[1] == ("error: w: a: one\n  fix one\nerror: w: b: two\\e[2J\\u202e\n  fix two\n")
    listed = as_json(WorldError(problems), 2)["problems"]
    assert listed == [
        {"where": "w: a", "message": "one", "hint": "fix one"},
        {"where": "w: b", "message": f"two{EVIL}", "hint": "fix two"},
    ]


def test_a_difference_shows_both_sides() -> None:
    text = said(DifferenceFound("the head differs", expected="a" * 1000, actual="b"))[1]
    assert "expected  aaa" in text
    assert "(1,000 characters)" in text
    assert "found     b" in text


@pytest.mark.parametrize("error", [ZeroDivisionError(f"by {EVIL}"), InvariantError("a promise is broken")])
def test_a_defect_is_one_clear_line_and_a_file(error: Exception, tmp_path: Path) -> None:
    try:
        raise error
    except Exception as raised:
        _, text = said(raised)
    assert text.startswith("error: this is a defect in Turnwise, not your mistake: ")
    assert "Traceback" not in text
    named = re.search(r"traceback in (\S+)", text)
    assert named is not None
    file = Path(named[1])
    assert file.parent == tmp_path
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "test_a_defect_is_one_clear_line" in file.read_text()
    assert "\x1b" not in text + file.read_text()


def test_debug_shows_the_traceback_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TURNWISE_DEBUG", "1")
    assert "Traceback (most recent call last)" in _raised(ZeroDivisionError("by nothing"))
    assert "Traceback (most recent call last)" in _raised(OSError(5, "Input/output error"))
    assert list(tmp_path.iterdir()) == []


def _raised(error: Exception) -> str:
    try:
        raise error
    except Exception as raised:
        return said(raised)[1]


def test_no_place_for_the_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert "with the traceback that TURNWISE_DEBUG=1 shows" in _raised(ZeroDivisionError("x"))


def test_json_of_an_error_has_the_usual_keys() -> None:
    value = json.loads(json_line(UsageError("no", where="here", hint="do"), 2))
    assert value.keys() >= {"head", "rounds", "turns", "status", "result", "journal", "error"}
    assert value["status"] == "error"
    assert value["error"] == {"message": "no", "where": "here", "hint": "do", "exit": 2}
    interrupted = json.loads(json_line(KeyboardInterrupt(), 130))
    assert (interrupted["status"], interrupted["error"]["message"]) == ("interrupted", "it was interrupted")
    assert json.loads(json_line(Terminated(), 143))["status"] == "interrupted"
