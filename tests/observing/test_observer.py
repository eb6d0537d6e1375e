"""A run as its operators see it: the spans, metrics and lines are those of what happened, and change nothing of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import turnwise
from tests.cli.conftest import uninstall
from tests.observing.collector import attributes, collector
from turnwise import Agent, EnvironmentFailure, Grants, InitialMessage, Model, UsageError, World
from turnwise.demo import BUILTIN_DEMO
from turnwise.exports.otel import SCHEMA
from turnwise.observing.observer import Observer, Wanted

SOURCE = """
def turn(t):
    for message in t.inbox:
        t.log(f"heard {message.body}", level="warning")
        if message.body == "fail":
            raise ValueError("as was wanted")
        text = t.generate("m", messages=[{"role": "user", "content": "I offer 5."}], tokens_max=4).text
        t.send("other", "a secret body")
"""


def world() -> World:
    return turnwise.World(
        name="observed",
        seed=7,
        models={"m": Model(BUILTIN_DEMO)},
        agents={
            "a": Agent(SOURCE, grants=Grants(generate=["m"], send=["other"])),
            "other": Agent("def turn(t):\n    pass\n"),
        },
        messages=[InitialMessage("a", "hello"), InitialMessage("a", "again")],
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("observed") / "a.journal"
    with world().start(journal=path, workers=1) as live:
        while live.step():
            pass
        live.send("a", "fail")
        live.result().close()
    return path


def scraped(address: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples that a Prometheus would read, by name and labels."""
    with urllib.request.urlopen(address) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_those_of_the_run(played: Path) -> None:
    with Observer(played, Wanted(metrics=0), after=0) as observer:
        observer.run()
        assert observer.address is not None
        found = scraped(observer.address)
    with turnwise.open(played) as run:
        turns, failed = len(run.turns), len(run.failures)
        rounds, last = len(run.rounds), run.last_round
        tokens = sum(json.loads(one.reply)["ok"]["tokens"] for turn in run.turns for one in turn.effects)
    assert found["turnwise_run_info", (("journal", "a.journal"), ("seed", "7"), ("world", "observed"))] == 1
    assert found["turnwise_rounds_total", ()] == rounds
    assert found["turnwise_round", ()] == last
    assert found["turnwise_turns_total", (("outcome", "failed"),)] == failed == 1
    assert found["turnwise_turns_total", (("outcome", "completed"),)] == turns - failed
    assert found["turnwise_messages_total", (("origin", "outside"),)] == 3
    assert found["turnwise_effects_total", (("kind", "generate"), ("outcome", "ok"))] == 2
    assert found["turnwise_tokens_total", (("model", "m"), ("type", "output"))] == tokens
    assert found["turnwise_turn_seconds_count", ()] == turns
    assert found["turnwise_effect_seconds_count", (("kind", "generate"),)] == 2
    assert found["turnwise_playing", ()] == 0
    assert found["turnwise_rounds_skipped_total", ()] == 0


def test_metrics_are_told_to_this_machine_by_its_name_only(played: Path) -> None:
    with Observer(played, Wanted(metrics=0)) as observer:
        assert observer.address is not None
        assert observer.address.startswith("http://127.0.0.1:")
        for headers, path, status in (({"Host": "evil.example"}, "", 421), ({}, "x", 404)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(observer.address + path, headers=headers))
            assert refused.value.code == status
        port = int(observer.address.split(":")[2].split("/")[0])
        with pytest.raises(EnvironmentFailure, match="cannot be served"):
            Observer(played, Wanted(metrics=port))


def test_spans_are_those_of_the_conventions_without_texts(played: Path) -> None:
    with collector() as far:
        with Observer(played, Wanted(otlp=far.url), after=0) as observer:
            observer.run()
        spans = far.spans
        around = far.requests[0].resource_spans[0]
    assert around.schema_url == around.scope_spans[0].schema_url == SCHEMA
    resource = {one.key: one.value.string_value for one in around.resource.attributes}
    assert resource.items() >= {"service.name": "turnwise", "turnwise.world": "observed", "turnwise.seed": "7"}.items()
    with turnwise.open(played) as run:
        rounds, turns = len(run.rounds), len(run.turns)
    by_name: dict[str, list[Any]] = {}
    for span in spans:
        by_name.setdefault(span.name.split()[0], []).append(span)
    assert {name: len(of) for name, of in by_name.items()} == {"round": rounds, "invoke_agent": turns, "chat": 2}
    assert len({span.span_id for span in spans}) == len(spans)
    roots = {span.span_id: span.trace_id for span in by_name["round"]}
    assert len(set(roots.values())) == rounds  # each round is a trace
    assert all(roots[span.parent_span_id] == span.trace_id for span in by_name["invoke_agent"])
    of_turns = {span.span_id: span.trace_id for span in by_name["invoke_agent"]}
    assert all(of_turns[span.parent_span_id] == span.trace_id for span in by_name["chat"])
    links = [link for span in by_name["invoke_agent"] for link in span.links]
    assert links
    assert all(of_turns[link.span_id] == link.trace_id for link in links)
    chat = attributes(by_name["chat"][0])
    assert (chat["gen_ai.operation.name"], chat["gen_ai.request.model"]) == ("chat", "m")
    assert chat["gen_ai.usage.output_tokens"] > 0
    assert len({attributes(span)["gen_ai.conversation.id"] for span in by_name["round"]}) == 1
    (failed,) = [span for span in by_name["invoke_agent"] if span.status.code == 2]
    assert attributes(failed)["error.type"] == "raised"
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    text = b"".join(span.SerializeToString() for span in spans)
    assert b"secret" not in text
    assert b"I offer" not in text


def test_lines_tell_what_happened(played: Path) -> None:
    out = StringIO()
    with Observer(played, Wanted(log=out), after=0) as observer:
        observer.run()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert all(line.keys() >= {"time", "level", "event", "run"} for line in lines)
    events = [line["event"] for line in lines]
    with turnwise.open(played) as run:
        assert events.count("round") == len(run.rounds)
        assert [line["head"] for line in lines if line["event"] == "round"][-1] == list(run.rounds)[-1].head.hex()
    logs = [(line["agent"], line["level"], line["text"]) for line in lines if line["event"] == "log"]
    assert logs == [("a", "warning", "heard hello"), ("a", "warning", "heard again")]
    (failed,) = [line for line in lines if line["event"] == "turn_failed"]
    assert (failed["level"], failed["agent"], failed["reason"]) == ("warning", "a", "raised")
    assert events[-1] == "run_ended"
    assert lines[-1]["reason"] == "quiet"
    assert "secret" not in out.getvalue()


def test_a_process_beside_a_run_tells_of_it_and_the_head_is_the_same(tmp_path: Path, played: Path) -> None:
    path, log = tmp_path / "a.journal", tmp_path / "log"
    with collector() as far, turnwise.observe(path, metrics=0, otlp=far.url, log=log, from_start=True) as observer:
        with world().start(journal=path, workers=1) as live:
            while live.step():
                pass
            address = observer.address
            assert address is not None
            while scraped(address)["turnwise_playing", ()] != 1:
                assert not live.wait(0.05)
            live.send("a", "fail")
            live.result().close()
        observer.close()
        spans = far.spans
    with turnwise.open(path) as run, turnwise.open(played) as other:
        assert run.head == other.head
        assert sum(span.name.startswith("round") for span in spans) == len(run.rounds)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1]["event"] == "run_ended"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_run_takes_no_notice_of_what_becomes_of_it(tmp_path: Path, played: Path) -> None:
    path = tmp_path / "a.journal"
    with turnwise.observe(path, metrics=0, otlp="http://127.0.0.1:1", from_start=True) as observer:
        with world().start(journal=path, workers=1) as live:
            live.step()
            assert observer.address is not None
            os.kill(observer.pid, signal.SIGSTOP)
            while live.step():
                pass
            os.kill(observer.pid, signal.SIGKILL)
            live.send("a", "fail")
            live.result().close()
        assert observer.news() == "What observes the run has ended. The run goes on."
    with turnwise.open(path) as run, turnwise.open(played) as other:
        assert run.head == other.head


def test_nothing_to_tell_and_nothing_installed(played: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="nothing is to be told"):
        turnwise.observe(played)
    uninstall("prometheus_client", monkeypatch)
    with pytest.raises(UsageError, match=r"turnwise\[otel\]") as refused:
        turnwise.observe(played, metrics=0)
    assert "prometheus_client is missing" in str(refused.value)
