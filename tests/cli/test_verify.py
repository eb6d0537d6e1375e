"""`turnwise verify`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command
from tests.history.test_verify import lied_to, writers
from tests.inference import toy
from turnwise.cli.commands.verify import _show, rounds_of
from turnwise.cli.output import Output
from turnwise.core.compare import Difference
from turnwise.errors import UsageError
from turnwise.history.nearness import Nearness
from turnwise.history.verify import ModelVerification, Verification


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_attention_folder(tmp_path_factory.mktemp("steady") / "model")


def test_an_equal_run_and_the_level_of_its_model(steady: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "a.journal"
    with turnwise.run(writers(steady), journal=path) as run:
        head = run.head
    ended = command("verify", path, "--workers", 2)
    assert (ended.code, ended.out) == (
        0,
        f"equal: 4 rounds, 12 turns, 36 replies of models, head {head}\nL2 model: 36 of 36 replies compared\n",
    )
    ended = command("verify", path, "--rounds", "2..3", "--agent", "writer-1", "--json")
    assert ended.code == 0
    value = json.loads(ended.out)
    assert (value["equal"], value["rounds"], value["replies"], value["journal"]) == (True, 2, 6, str(path))
    [model] = value["models"]
    assert (model["name"], model["level"], model["requests"], model["compared"]) == ("model", "L2", 6, 6)
    assert "not proved: replies to other agents than writer-1" in ended.err


def test_a_reply_that_no_model_gave_is_named_and_marked(
    steady: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    path = lied_to(writers(steady), tmp_path / "a.journal", monkeypatch, 1)
    ended = command("verify", path)
    assert ended.code == 3
    lines = ended.out.splitlines()
    assert lines[0].startswith("difference: round 1, agent writer-")
    assert lines[0].endswith(": effect 0: reply of model, text")
    column = lines[3].index("^")
    assert lines[1][column] == "!" != lines[2][column]
    assert "L0 model: " in ended.out
    ended = command("verify", path, "--json")
    assert (ended.code, json.loads(ended.out)["equal"]) == (3, False)


@pytest.mark.parametrize(
    ("text", "rounds"),
    [(None, (1, None)), ("2..3", (2, 3)), ("2..", (2, None)), ("..3", (1, 3)), ("4", (4, 4)), ("007", (7, 7))],
)
def test_rounds_that_can_be_named(text: str | None, rounds: tuple[int, int | None]) -> None:
    assert rounds_of(text) == rounds


@pytest.mark.parametrize("text", ["", "..", "a", "1-2", "1..2..3", "-1", "²", "9" * 40])
def test_what_names_no_rounds_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no rounds"):
        rounds_of(text)


def test_rounds_that_are_not_there(steady: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "a.journal"
    turnwise.run(writers(steady), journal=path).close()
    ended = command("verify", path, "--rounds", "3..9")
    assert ended.code == 2
    assert "there are no rounds 3 to 9" in ended.err


def test_a_level_can_be_required(steady: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "a.journal"
    turnwise.run(writers(steady), journal=path).close()
    for options, code in ((("--require", "L2"), 0), (("--require", "L1"), 0), (("--tolerant", "--require", "L1"), 3)):
        ended = command("verify", path, *options)
        assert ended.code == code
        assert ("less than required: model (L0), and --require L1" in ended.err) == (code == 3)
    assert command("verify", path, "--require", "L0").code == 2


def test_a_tolerant_check_says_how_near_the_answers_are(steady: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "a.journal"
    turnwise.run(writers(steady), journal=path).close()
    ended = command("verify", path, "--tolerant")
    assert ended.code == 0
    assert "distance: 0 of " in ended.out
    assert "not computed again" in ended.out
    other = toy.write_attention_folder(tmp_path / "other")
    (other / "model.onnx").write_bytes(toy.attention_graph(seed=1).model())
    ended = command("verify", path, "--tolerant", "--model", f"model={other}")
    assert ended.code == 3
    assert "token 0 of the answer: expected " in ended.out
    value = json.loads(command("verify", path, "--tolerant", "--json", "--model", f"model={other}").out)
    assert value["token"]["index"] == 0
    assert value["models"][0]["nearness"]["others"] > 0


def test_lines_fit_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    long = "a reason for which nothing more is claimed, told with all that belongs to it, and that is a lot"
    difference = Difference(3, "writer-1", "effect 0: reply", "expected " * 40, "expected " * 30)
    for found in (None, difference):
        model = ModelVerification("model", "L0", 1_000, 999, "ab" * 32, (long, long), Nearness())
        verified = Verification(1_000, 100_000, 999, "cd" * 32, found, (model,), (long,), (long,))
        stream = Terminal()
        _show(verified, Output(stream, colour=False))
        lines = stream.getvalue().split("\n")
        assert len(lines) > 8
        assert max(map(len, lines)) <= 80
        assert " ".join(stream.getvalue().split()).count(long) == 4
