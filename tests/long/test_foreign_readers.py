"""Inspect reads the logs that are exported, and the protocol buffers of OpenTelemetry the spans.

Both live in an environment of their own, since they bring much along. TURNWISE_FOREIGN_PYTHON names its interpreter:

    python -m venv foreign && foreign/bin/pip install inspect-ai opentelemetry-proto
    TURNWISE_FOREIGN_PYTHON=foreign/bin/python pytest -m foreign tests/long
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.history.test_verify import writers
from tests.inference import toy

pytestmark = pytest.mark.foreign
ROOT = Path(__file__).resolve().parents[2]

READ_EVAL = """
import json, sys
from inspect_ai.log import read_eval_log
log = read_eval_log(sys.argv[1])
header = read_eval_log(sys.argv[1], header_only=True)
assert header.eval.task == log.eval.task
print(json.dumps({
    "status": log.status,
    "task": log.eval.task,
    "samples": {
        sample.id: [message.text for message in sample.messages if message.role == "assistant"]
        for sample in log.samples
    },
    "tokens": sum(usage.output_tokens for usage in log.stats.model_usage.values()),
}))
"""

READ_CALLS = """
import json, sys
from inspect_ai.log import read_eval_log
log = read_eval_log(sys.argv[1])
print(json.dumps({
    sample.id: [[event.function, event.error is not None] for event in sample.events if event.event == "tool"]
    for sample in log.samples
}))
"""

LIST_EVALS = """
import sys
from inspect_ai.log import list_eval_logs
print(len(list_eval_logs(sys.argv[1])))
"""

READ_SPANS = """
import base64, json, sys
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NAMES = "traceId", "spanId", "parentSpanId"

def ids(value):  # OTLP/JSON has ids in hex where protocol buffers have base64
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in NAMES else ids(item)
            for key, item in value.items()
        }
    return [ids(item) for item in value] if isinstance(value, list) else value

count = 0
for line in open(sys.argv[1], encoding="utf-8"):
    message = ParseDict(ids(json.loads(line)), ExportTraceServiceRequest())
    for span in message.resource_spans[0].scope_spans[0].spans:
        assert len(span.trace_id) == 16 and len(span.span_id) == 8
        count += 1
print(count)
"""


@pytest.fixture(scope="module")
def python() -> str:
    found = os.environ.get("TURNWISE_FOREIGN_PYTHON")
    if found is None:
        pytest.skip("TURNWISE_FOREIGN_PYTHON names no interpreter")
    return found


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    turnwise.run(writers(toy.write_attention_folder(folder / "model")), journal=folder / "w.journal").close()
    return folder / "w.journal"


def said(python: str, program: str, *arguments: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.check_output([python, "-c", program, *arguments], text=True, env=environment)


def test_inspect_reads_the_log(python: str, journal: Path, tmp_path: Path) -> None:
    turnwise.export(journal, tmp_path / "run.eval", "inspect")
    found = json.loads(said(python, READ_EVAL, tmp_path / "run.eval"))
    with turnwise.open(journal) as run:
        replies: dict[str, list[dict[str, object]]] = {agent.name: [] for agent in run.agents}
        for turn in run.turns:
            for effect in turn.effects:
                reply = json.loads(effect.reply)
                if "ok" in reply:
                    replies[turn.agent].append(reply["ok"])
        assert (found["status"], found["task"]) == ("success", run.world_name)
    assert found["samples"] == {name: [one["text"] for one in of] for name, of in replies.items()}
    assert found["tokens"] == sum(int(str(one["tokens"])) for of in replies.values() for one in of)
    assert said(python, LIST_EVALS, tmp_path) == "1\n"


def test_the_protocol_reads_the_spans(python: str, journal: Path, tmp_path: Path) -> None:
    turnwise.export(journal, tmp_path / "run.otlp.jsonl", "otel", content=True)
    with turnwise.open(journal) as run:
        spans = 1 + sum(1 + len(turn.effects) for turn in run.turns)
    assert said(python, READ_SPANS, tmp_path / "run.otlp.jsonl") == f"{spans}\n"


def test_inspect_reads_calls_of_tools_and_what_people_approved(python: str, tmp_path: Path) -> None:
    desk = shutil.copytree(ROOT / "examples" / "support-desk", tmp_path / "desk")
    with turnwise.start(desk, journal=tmp_path / "a.journal", workers=1) as live:
        while live.step() or live.questions():
            for asked in live.questions():
                assert live.answer(asked.id, asked.id == 1)
        live.result().close()
    turnwise.export(tmp_path / "a.journal", tmp_path / "run.eval", "inspect")
    found = json.loads(said(python, READ_CALLS, tmp_path / "run.eval"))
    with turnwise.open(tmp_path / "a.journal") as run:
        calls: dict[str, list[list[Any]]] = {agent.name: [] for agent in run.agents}
        for part in (*run.turns, *run.parks):
            for effect in part.effects:
                if effect.kind == "call":
                    failed = "error" in json.loads(effect.reply)
                    calls[part.agent].append([json.loads(effect.request)["tool"], failed])
    assert sum(map(len, calls.values())) > 8
    assert any(failed for _, failed in calls["billing"])
    assert {name: sorted(of) for name, of in found.items() if of} == {
        name: sorted(of) for name, of in calls.items() if of
    }
