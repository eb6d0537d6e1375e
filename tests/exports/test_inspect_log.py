"""The log has the form that Inspect reads. That Inspect itself reads it is tried by a long test."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import turnwise


def test_a_sample_for_each_agent_with_its_conversation(written: Path, tmp_path: Path) -> None:
    turnwise.export(written, tmp_path / "a.eval", "inspect")
    with zipfile.ZipFile(tmp_path / "a.eval") as file, turnwise.open(written) as run:
        header = json.loads(file.read("header.json"))
        assert (header["version"], header["status"], header["eval"]["task"]) == (2, "success", run.world_name)
        names = [agent.name for agent in run.agents]
        assert [one["id"] for one in json.loads(file.read("summaries.json"))] == names
        for name in names:
            sample = json.loads(file.read(f"samples/{name}_epoch_1.json"))
            answers = [one["content"] for one in sample["messages"] if one["role"] == "assistant"]
            effects = [effect for turn in run.turns if turn.agent == name for effect in turn.effects]
            replies = [reply["ok"] for reply in (json.loads(effect.reply) for effect in effects) if "ok" in reply]
            assert answers == [reply["text"] for reply in replies]
            used = sum(usage["output_tokens"] for usage in sample["model_usage"].values())
            assert used == sum(reply["tokens"] for reply in replies)


def test_the_transcript_has_a_span_for_each_turn(written: Path, tmp_path: Path) -> None:
    turnwise.export(written, tmp_path / "a.eval", "inspect")
    with zipfile.ZipFile(tmp_path / "a.eval") as file, turnwise.open(written) as run:
        header = json.loads(file.read("header.json"))
        assert header["stats"]["started_at"] < header["stats"]["completed_at"]
        for agent in run.agents:
            sample = json.loads(file.read(f"samples/{agent.name}_epoch_1.json"))
            turns = [turn for turn in run.turns if turn.agent == agent.name]
            kinds = [event["event"] for event in sample["events"]]
            assert kinds.count("span_begin") == kinds.count("span_end") == len(turns)
            assert kinds.count("model") == sum(len(turn.effects) for turn in turns)
            asked = [event["input"] for event in sample["events"] if event["event"] == "model"]
            assert [one for messages in asked for one in messages] == [
                one for one in sample["messages"] if one["role"] != "assistant"
            ]
            sent = [event for event in sample["events"] if str(event.get("source")).startswith("message to ")]
            outputs = [turn.output for turn in turns if turn.output is not None]
            assert [event["data"] for event in sent] == [one.body for output in outputs for one in output.send]
            assert not turns or sample["total_time"] > 0


def test_the_same_journal_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    for name in ("a.eval", "b.eval"):
        turnwise.export(written, tmp_path / name, "inspect")
    assert (tmp_path / "a.eval").read_bytes() == (tmp_path / "b.eval").read_bytes()


def test_questions_answers_and_model_answers_before_them_are_in_the_transcript(answered: Path, tmp_path: Path) -> None:
    turnwise.export(answered, tmp_path / "a.eval", "inspect")
    with zipfile.ZipFile(tmp_path / "a.eval") as file:
        sample = json.loads(file.read("samples/clerk_epoch_1.json"))
        office = json.loads(file.read("samples/office_epoch_1.json"))
    events = sample["events"]
    assert [one["name"] for one in events if one["event"] == "span_begin"] == [f"round {nr}" for nr in (2, 5, 8, 9)]
    told = [(one["source"], one["data"]) for one in events if "people" in str(one.get("source"))]
    assert told == [
        ("asks people, and waits", {"number": 1, "question": "A bridge over the river?"}),
        ("answer of people", {"question": "A bridge over the river?", "answer": "true"}),
        ("asks people, and waits", {"number": 2, "question": "Why?"}),
        ("answer of people", {"question": "Why?", "answer": '"no reason", by default'}),
        ("asks people, and waits", {"number": 3, "question": "Sign <b>here</b>"}),
        ("answer of people", {"question": "Sign <b>here</b>", "answer": '"B"'}),
    ]
    assert sum(one["event"] == "model" for one in events) == 1
    assert [message["role"] for message in sample["messages"]] == ["user", "assistant"]
    assert sum(str(one.get("source")).startswith("message from office, with content ") for one in events) == 1
    assert sum(str(one.get("source")).startswith("message to clerk, with content ") for one in office["events"]) == 1
    assert (sample["metadata"]["turns"], sample["metadata"]["failed_turns"]) == (1, 0)
