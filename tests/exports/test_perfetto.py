from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import turnwise
from tests.monitor.petitions import petition


def events(journal: Path, out: Path, **options: bool) -> list[dict[str, object]]:
    turnwise.export(journal, out, "perfetto", **options)  # type: ignore[arg-type]
    found = json.loads(out.read_text("utf-8"))["traceEvents"]
    assert isinstance(found, list)
    return found


def test_each_agent_has_a_track_and_each_turn_an_event(lived: Path, tmp_path: Path) -> None:
    found = events(lived, tmp_path / "a.json")
    with turnwise.open(lived) as run:
        names = [agent.name for agent in run.agents]
        turns = Counter(turn.agent for turn in run.turns)
    tracks = {one["tid"]: one["args"]["name"] for one in found if one["name"] == "thread_name" and one["pid"] == 1}  # type: ignore[index]
    assert list(tracks.values()) == names
    assert Counter(tracks[one["tid"]] for one in found if one.get("cat") == "turn") == turns
    assert all(one["dur"] >= 1 and one["ts"] >= 0 for one in found if one["ph"] == "X")  # type: ignore[operator]


def test_messages_flow_from_a_turn_to_a_turn(lived: Path, tmp_path: Path) -> None:
    found = events(lived, tmp_path / "a.json")
    begun = {one["id"]: one for one in found if one["ph"] == "s"}
    read = [one for one in found if one["ph"] == "f"]
    assert read
    spans = [one for one in found if one.get("cat") == "turn"]
    for one in [*begun.values(), *read]:
        inside = [s for s in spans if s["tid"] == one["tid"] and s["ts"] <= one["ts"] <= s["ts"] + s["dur"]]  # type: ignore[operator]
        assert inside, one


def test_what_models_were_asked_is_on_their_track_and_texts_are_left_out(written: Path, tmp_path: Path) -> None:
    found = events(written, tmp_path / "a.json")
    with turnwise.open(written) as run:
        effects = sum(len(turn.effects) for turn in run.turns)
        bodies = [message.body for message in run.messages if len(message.body) > 20]
    assert sum(one.get("ph") == "b" for one in found) == sum(one.get("ph") == "e" for one in found) == effects > 0
    text = (tmp_path / "a.json").read_text("utf-8")
    assert "state" not in text
    assert not any(body in text for body in bodies)
    events(written, tmp_path / "b.json", content=True)
    assert "state" in (tmp_path / "b.json").read_text("utf-8")


def test_a_turn_that_waits_and_its_questions_are_events(answered: Path, tmp_path: Path) -> None:
    found = events(answered, tmp_path / "a.json")
    clerk = next(one["tid"] for one in found if one["name"] == "thread_name" and one["args"] == {"name": "clerk"})
    own = [one for one in found if one.get("tid") == clerk and one["pid"] == 1]
    parts = [(one["name"], one["args"].get("questions")) for one in own if one["ph"] == "X"]  # type: ignore[attr-defined]
    assert parts == [
        ("round 2, waits", [1]), ("round 5, waits", [2]), ("round 8, waits", [3]), ("round 9", None),
    ]  # fmt: skip
    begins = {one["id"]: one["ts"] for one in own if one.get("cat") == "question" and one["ph"] == "b"}
    ends = {
        one["id"]: (one["ts"], one["args"]["default"])
        for one in own
        if one.get("cat") == "question" and one["ph"] == "e"
    }  # type: ignore[index]
    assert list(begins) == list(ends) == ["question 1", "question 2", "question 3"]
    assert [default for _, default in ends.values()] == [False, True, False]
    assert all(begins[id_] <= ends[id_][0] for id_ in begins)  # type: ignore[operator]
    assert sum(one["ph"] == "f" and one["tid"] == clerk for one in found if "tid" in one) == 1
    sent = [one["args"] for one in found if one["ph"] == "s"]
    assert ["attach" in args for args in sent] == [True, False]  # type: ignore[operator]
    assert "bridge" not in (tmp_path / "a.json").read_text("utf-8")
    events(answered, tmp_path / "b.json", content=True)
    assert "A bridge over the river?" in (tmp_path / "b.json").read_text("utf-8")


def test_a_question_that_waits_ends_with_the_trace(tmp_path: Path) -> None:
    petition(tmp_path / "open.journal")
    found = events(tmp_path / "open.journal", tmp_path / "a.json")
    ends = [one["args"] for one in found if one.get("cat") == "question" and one["ph"] == "e"]
    assert ends == [{"default": False}, {"default": True}, {"waits": True}]
