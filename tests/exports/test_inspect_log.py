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


def test_the_same_journal_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    for name in ("a.eval", "b.eval"):
        turnwise.export(written, tmp_path / name, "inspect")
    assert (tmp_path / "a.eval").read_bytes() == (tmp_path / "b.eval").read_bytes()
