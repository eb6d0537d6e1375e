"""Spans are those of the run, their ids follow from the head, and texts are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.schemas import Schemas

import turnwise
from tests.orchestrator.worlds import calling_run
from turnwise.exports.otel import ATTRIBUTES, OPERATIONS, SCHEMA


def spans(journal: Path, out: Path, *, content: bool = False) -> list[dict[str, Any]]:
    turnwise.export(journal, out, "otel", content=content)
    found = []
    for line in out.read_text("utf-8").splitlines():
        [resource] = json.loads(line)["resourceSpans"]
        [scope] = resource["scopeSpans"]
        assert resource["schemaUrl"] == scope["schemaUrl"] == SCHEMA
        found += scope["spans"]
    return found


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def test_the_spans_form_one_tree(written: Path, tmp_path: Path) -> None:
    found = spans(written, tmp_path / "a.jsonl")
    with turnwise.open(written) as run:
        head = run.head
        turns, effects = len(run.turns), sum(len(turn.effects) for turn in run.turns)
    ids = {span["spanId"] for span in found}
    assert len(ids) == len(found) == 1 + turns + effects
    assert {span["traceId"] for span in found} == {head[:32]}
    assert all(len(span["spanId"]) == 16 for span in found)
    roots = [span for span in found if "parentSpanId" not in span]
    assert len(roots) == 1
    assert all(span["parentSpanId"] in ids for span in found if span not in roots)
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in found)
    assert all(link["spanId"] in ids for span in found for link in span.get("links", ()))


def test_the_same_run_has_the_same_ids(written: Path, lived: Path, tmp_path: Path) -> None:
    one = [span["spanId"] for span in spans(written, tmp_path / "a.jsonl")]
    assert one == [span["spanId"] for span in spans(written, tmp_path / "b.jsonl")]
    assert not set(one) & {span["spanId"] for span in spans(lived, tmp_path / "c.jsonl")}


def test_attributes_are_those_of_the_conventions(written: Path, tmp_path: Path) -> None:
    known = set(ATTRIBUTES.values())
    found = spans(written, tmp_path / "a.jsonl")
    for span in found:
        assert all(name in known or name.startswith("turnwise.") for name in attributes(span))
    chats = [attributes(span) for span in found if span["name"].startswith("chat ")]
    assert {"gen_ai.usage.output_tokens" in chat for chat in chats} == {True, False}  # answers, and a refusal
    for chat in chats:
        assert {"gen_ai.operation.name", "gen_ai.request.model"} <= chat.keys()
        assert ("gen_ai.usage.output_tokens" in chat) != ("error.type" in chat)
        assert not {"gen_ai.input.messages", "gen_ai.output.messages"} & chat.keys()
    with_texts = [attributes(span) for span in spans(written, tmp_path / "b.jsonl", content=True)]
    [first, *_] = [one for one in with_texts if "gen_ai.output.messages" in one]
    assert json.loads(first["gen_ai.output.messages"])[0]["role"] == "assistant"


def test_names_are_in_the_published_registry_of_the_pinned_version() -> None:
    published = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    assert {name for name in ATTRIBUTES.values() if name.startswith("gen_ai.")} <= published
    assert set(ATTRIBUTES.values()) - published == {"error.type"}
    operations = {one.value for one in gen_ai_attributes.GenAiOperationNameValues}
    assert {*OPERATIONS.values(), "invoke_agent"} <= operations
    assert list(Schemas)[-1].value == SCHEMA


def test_sampling_settings_are_doubles_and_counts_are_integers(written: Path, tmp_path: Path) -> None:
    types: dict[str, set[str]] = {}
    for span in spans(written, tmp_path / "a.jsonl"):
        for one in span["attributes"]:
            types.setdefault(one["key"], set()).update(one["value"])
    assert types["gen_ai.request.temperature"] == {"doubleValue"}
    assert types["gen_ai.request.max_tokens"] == types["gen_ai.usage.output_tokens"] == {"intValue"}
    assert types["gen_ai.response.finish_reasons"] == {"arrayValue"}


def test_failed_turns_are_errors(lived: Path, tmp_path: Path) -> None:
    with turnwise.open(lived) as run:
        failed = [str(turn.failure.kind) for turn in run.turns if turn.failure is not None]
    found = spans(lived, tmp_path / "a.jsonl")
    errors = [attributes(span)["error.type"] for span in found if span.get("status", {}).get("code") == 2]
    assert errors == failed


def test_a_question_lasts_from_its_asking_to_where_the_turn_goes_on(answered: Path, tmp_path: Path) -> None:
    found = spans(answered, tmp_path / "a.jsonl")
    assert len({span["spanId"] for span in found}) == len(found)
    asked = [span for span in found if span["name"] == "ask"]
    parts = {
        attributes(span)["turnwise.round"]: span
        for span in found
        if span["name"] == "invoke_agent clerk"
    }  # fmt: skip
    assert {round_: attributes(span).get("turnwise.waits") for round_, span in parts.items()} == {
        "2": True, "5": True, "8": True, "9": None,
    }  # fmt: skip
    for span, (before, after) in zip(asked, (("2", "5"), ("5", "8"), ("8", "9")), strict=True):
        assert span["startTimeUnixNano"] == parts[before]["endTimeUnixNano"]
        assert span["endTimeUnixNano"] == parts[after]["startTimeUnixNano"]
        assert span["parentSpanId"] == parts[after]["spanId"]
    assert [attributes(span).get("turnwise.default") for span in asked] == [None, True, None]
    (handles,) = [attributes(span)["turnwise.contents.sent"] for span in found if "office" in span["name"]]
    assert handles == attributes(parts["2"])["turnwise.contents.read"]
    assert "bridge" not in (tmp_path / "a.jsonl").read_text("utf-8")
    told = [attributes(span).get("turnwise.question") for span in spans(answered, tmp_path / "b.jsonl", content=True)]
    assert [text for text in told if text] == ["A bridge over the river?", "Why?", "Sign <b>here</b>"]


def test_calls_that_a_model_asks_for_are_parts_of_what_it_says(tmp_path: Path) -> None:
    found = spans(calling_run(tmp_path), tmp_path / "a.jsonl", content=True)
    said = [
        json.loads(told["gen_ai.output.messages"])
        for told in map(attributes, found)
        if "gen_ai.output.messages" in told
    ]
    assert said[0][0]["parts"] == [
        {"type": "text", "content": ""},
        {"type": "tool_call", "id": None, "name": "stop", "arguments": {}},
    ]
    assert [part["type"] for part in said[1][0]["parts"]] == ["text"]
