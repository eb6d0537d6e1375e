"""The coder: programs that a model has written, that were executed, and on which tests have decided."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import turnwise
from tests.examples.played import play_with_kills

WORLD = Path(__file__).resolve().parents[2] / "examples" / "coder"


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coder") / "whole.journal"
    turnwise.run(WORLD, journal=path, workers=1).close()
    return path


def test_the_programs_do_what_the_tests_say(journal: Path) -> None:
    with turnwise.open(journal) as run:
        assert (run.status, len(run.failures)) == ("finished", 0)
        assert run.result == {
            "programs": {
                "distance": "def distance(a, b):\n    return abs(b - a)\n",
                "larger": "def larger(a, b):\n    return max(a, b)\n",
                "rest": "def rest(a, b):\n    return a - b\n",
            },
            "sent_back": 1,
        }
        for name, code in run.result["programs"].items():
            names: dict[str, object] = {}
            exec(code, names)
            program = names[name]
            assert callable(program)
            for a, b in ((1, 2), (2, 1), (-3, 4), (0, 0)):
                assert program(a, b) == {"distance": abs(a - b), "larger": max(a, b), "rest": a - b}[name]
    assert turnwise.replay(journal).difference is None


def test_a_wrong_program_is_sent_back_with_a_test_that_it_fails(journal: Path) -> None:
    """The one example leaves room for it, and only tests that the coder does not know of can tell."""
    with turnwise.open(journal) as run:
        tasks = [json.loads(message.body) for message in run.messages if message.to == "coder"]
    assert [len(task["examples"]) for task in tasks].count(1) == 3
    assert max(len(task["examples"]) for task in tasks) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="kills processes")
def test_it_survives_kill_9(journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    assert play_with_kills(WORLD, path, 5) >= 3
    with turnwise.open(path) as run, turnwise.open(journal) as whole:
        assert (run.head, run.result) == (whole.head, whole.result)
    assert turnwise.replay(path).difference is None
