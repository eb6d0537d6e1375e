"""Calls of tools, and their approval by people, are told where effects are: on the page and in exports."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import turnwise
from tests.exports.test_otel import attributes, spans
from tests.monitor.conftest import Monitor
from tests.orchestrator.test_calls import world
from turnwise.journal.journal import Journal
from turnwise.world import CallGrant, Grants

SOURCE = """
    def turn(t):
        sum = t.call("own.add", {"a": 1, "b": 2}).data["sum"]
        try:
            t.call("own.fail")
        except EffectError as error:
            t.log(error.kind)
        t.finish(t.call("own.note", {"what": f"the sum is {sum}"}).text)
"""


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a call, one that fails, and one that a person approves."""
    folder = tmp_path_factory.mktemp("called")
    grants = Grants(call=["own.add", "own.fail", CallGrant(tool="own.note")], finish=True)
    with turnwise.start(world(folder, SOURCE, grants=grants), journal=folder / "a.journal", workers=1) as live:
        while not live.questions():
            live.step()
        assert live.answer(live.questions()[0].id, True)
        with live.result() as run:
            assert run.result == "noted the sum is 3"
    return folder / "a.journal"


@pytest.fixture(scope="module")
def shown(called: Path) -> Iterator[Monitor]:
    found = Monitor(called.parent)
    yield found
    found.close()


def test_a_turn_has_its_calls_and_the_approval(shown: Monitor, called: Path) -> None:
    with turnwise.open(called) as run:
        last = next(turn.round for turn in run.turns if turn.agent == "agent")
    turn = shown.ask("turn", run="a.journal", agent="agent", round=last)
    calls = [(one["tool"], one["text"]["text"]) for one in turn["effects"]]
    assert calls[0] == ("own.add", '{"sum": 3}')
    assert (calls[1][0], "no" in calls[1][1]) == ("own.fail", True)
    assert calls[2] == ("own.note", "noted the sum is 3")
    (asked,) = turn["asked"]
    assert (asked["fate"], asked["answer"]["text"]) == ("answered", "true")
    assert "own.note" in asked["text"]["text"]


def test_a_conversation_has_each_call_and_the_question_before_it(shown: Monitor) -> None:
    turns = shown.ask("conversation", run="a.journal", agent=["agent"])["turns"]
    calls = [(call["tool"], call["failed"]) for turn in turns for call in turn.get("calls", ())]
    assert calls == [("own.add", False), ("own.fail", True), ("own.note", False)]
    assert [len(turn.get("asked", ())) for turn in turns if turn.get("asked")] == [1]
    assert [len(turn["replies"]) for turn in turns if turn.get("replies")] == [1]


def test_why_has_the_results_among_the_causes(shown: Monitor, called: Path) -> None:
    with turnwise.open(called) as run:
        last = next(turn.round for turn in run.turns if turn.agent == "agent")
    tree = shown.ask("why", run="a.journal", agent="agent", round=last)
    assert any("noted the sum is 3" in cause["text"]["text"] for cause in tree["causes"])


def test_traces_name_the_tools(called: Path, tmp_path: Path) -> None:
    found = spans(called, tmp_path / "a.jsonl")
    assert len({span["spanId"] for span in found}) == len(found)
    tools = [attributes(span)["gen_ai.tool.name"] for span in found if span["name"].startswith("execute_tool ")]
    assert tools == ["own.add", "own.fail", "own.note"]
    (waits,) = [span for span in found if attributes(span).get("turnwise.waits")]
    (noted,) = [span for span in found if span["name"] == "execute_tool own.note"]
    assert noted["startTimeUnixNano"] == waits["endTimeUnixNano"]
    assert "the sum is" not in (tmp_path / "a.jsonl").read_text("utf-8")
    turnwise.export(called, tmp_path / "a.json", "perfetto")
    events = json.loads((tmp_path / "a.json").read_text("utf-8"))["traceEvents"]
    begins = [one["name"] for one in events if one["ph"] == "b"]
    assert sorted(begins) == ["ask 1", "own.add", "own.fail", "own.note"]
    assert sum(one["ph"] == "e" for one in events) == len(begins)


def test_inspect_has_calls_as_those_of_tools(called: Path, tmp_path: Path) -> None:
    turnwise.export(called, tmp_path / "a.eval", "inspect")
    with zipfile.ZipFile(tmp_path / "a.eval") as file:
        sample = json.loads(file.read("samples/agent_epoch_1.json"))
    calls = [one for one in sample["events"] if one["event"] == "tool"]
    assert [(one["function"], one["arguments"], one["error"] is None) for one in calls] == [
        ("own.add", {"a": 1, "b": 2}, True), ("own.fail", {}, False), ("own.note", {"what": "the sum is 3"}, True),
    ]  # fmt: skip
    told = [one["source"] for one in sample["events"] if "people" in str(one.get("source"))]
    assert told == ["asks people, and waits", "answer of people"]


def test_by_the_clock_a_call_is_a_wait_for_its_tool(shown: Monitor, called: Path) -> None:
    found = shown.ask("spans", run="a.journal", first=1, last=20)["spans"]
    waited = [(kind, name) for *_, effects, _ in found for _, _, kind, name in effects]
    assert waited[:2] == [("tool", "own.add"), ("tool", "own.fail")]


def test_a_slow_call_is_a_wait_over_rounds(tmp_path: Path) -> None:
    source = """
        def turn(t):
            t.call("own.slow", {"what": "late"})
    """
    with turnwise.start(
        world(tmp_path, source, park_after_ms=0, grants=Grants(call=["own.slow"])),
        journal=tmp_path / "a.journal",
        workers=1,
    ) as live:
        while live.progress().round < 3:
            live.step()
        (tmp_path / "go").touch()
        live.result().close()
    with Journal.open(tmp_path / "a.journal") as journal:
        (wait,), _ = journal.rounds.parks.waits(1, 100, range(10), 10)
        assert (wait.people, wait.asked) == (False, 1)
        assert wait.until is not None
