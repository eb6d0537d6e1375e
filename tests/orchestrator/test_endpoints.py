"""Worlds whose models are behind URLs: recorded, of class none, and refused unless the world allows it."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.inference import graphs
from tests.inference.endpoints.hostile import Endpoint, body_of, endpoint, hangs, says
from tests.serving.servers import serving
from turnwise import (
    Agent,
    EnvironmentFailure,
    Grants,
    InitialMessage,
    JournalError,
    Model,
    UsageError,
    World,
    WorldError,
)
from turnwise.demo import BUILTIN_DEMO, model_folder
from turnwise.inference.endpoints import host as hosts
from turnwise.orchestrator.live import Live

ASKER = """
def turn(t):
    for message in t.inbox:
        try:
            said = [{"role": "user", "content": message.body}]
            answer = t.generate("far", messages=said, tokens_max=8, temperature=0.5)
            t.state[message.body] = answer.text
        except EffectError as error:
            t.state[message.body] = f"{error.kind}: {error}"

from turnwise_guest import EffectError
"""


def asking(url: str, *bodies: str, network: bool = True, **model: Any) -> World:
    return turnwise.World(
        name="asking",
        network=network,
        models={"far": Model(url=url, **{"model": "m", **model})},
        agents={"asker": Agent(ASKER, grants=Grants(generate=["far"]))},
        messages=[InitialMessage("asker", body) for body in bodies or ("hello",)],
    )


def said(run: turnwise.Run) -> dict[str, str]:
    return dict(json.loads(run.state("asker")))


def test_a_run_is_recorded_and_replays_with_the_endpoint_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with endpoint(says("good day")) as far:
        with asking(far.url).start(journal=path, workers=1) as live:
            with live.result() as run:
                assert said(run) == {"hello": "good day"}
                assert run.numeric_classes == {"far": "none"}
                head = run.head
            assert any("may answer otherwise" in line for line in live.notices)
        (request,) = far.requests
        assert body_of(request)["model"] == "m"
        assert 0 <= body_of(request)["seed"] < 2**31
    replayed = turnwise.replay(path)
    assert (replayed.difference, replayed.head) == (None, head)
    found = turnwise.verify(path)
    assert found.difference is None
    (model,) = found.models
    assert (model.level, model.compared, model.requests) == ("L0", 0, 1)
    assert any("behind a URL" in reason for reason in model.reasons)
    assert "1 reply of far was taken from the journal" in found.unproved


def test_against_our_own_server(tmp_path: Path) -> None:
    encoder = Path(graphs.write_encoder(tmp_path / "encoder"))
    source = """
from turnwise_guest import EffectError

def turn(t):
    talk = [{"role": "user", "content": "I offer 5."}]
    t.state["text"] = t.generate("far", messages=talk, tokens_max=4).text
    t.state["prompt"] = t.generate("far", "I offer", tokens_max=4).text
    t.state["logprobs"] = len(t.generate("far", messages=talk, tokens_max=3, logprobs=1).logprobs)
    t.state["json"] = t.generate("far", messages=talk, tokens_max=60, json_schema={"enum": ["yes", "no"]}).text
    t.state["vectors"] = len(t.embed("encoder", ["a", "b"]))
    try:
        t.generate("far", messages=talk, regex="a+")
    except EffectError as error:
        t.state["refused"] = str(error)
    t.finish(t.state)
"""
    with serving(BUILTIN_DEMO, encoder) as server:
        world = turnwise.World(
            name="own",
            network=True,
            models={
                "far": Model(url=server.url, model="demo"),
                "encoder": Model(url=server.url + "/", model="encoder", task="embed"),
                "near": Model(BUILTIN_DEMO),
            },
            agents={
                "asker": Agent(source, start=True, grants=Grants(generate=["far"], embed=["encoder"], finish=True)),
            },
        )
        with turnwise.run(world, journal=tmp_path / "a.journal", workers=1) as run:
            assert not run.failures, next(iter(run.failures)).failure
            result: Any = run.result
            assert run.numeric_classes["far"] == run.numeric_classes["encoder"] == "none"
            assert run.numeric_classes["near"] != "none"
    assert result["text"]
    assert result["prompt"]
    assert result["logprobs"] >= 1
    assert json.loads(result["json"]) in ("yes", "no")
    assert result["vectors"] == 2
    assert "no regex" in result["refused"]
    assert turnwise.replay(tmp_path / "a.journal").difference is None


def test_the_same_model_near_and_far_says_the_same(tmp_path: Path) -> None:
    """Greedy text, by the same engine: what differs is what is promised of it."""
    talk = """
def turn(t):
    t.finish(t.generate("m", messages=[{"role": "user", "content": "I offer 5."}], tokens_max=8).text)
"""
    with serving(BUILTIN_DEMO) as server:
        texts = []
        for model in (Model(url=server.url, model="demo"), Model(BUILTIN_DEMO)):
            grants = Grants(generate=["m"], finish=True)
            world = turnwise.World(
                "same", network=True, models={"m": model}, agents={"a": Agent(talk, start=True, grants=grants)}
            )
            with turnwise.run(world, journal=tmp_path / f"{len(texts)}.journal", workers=1) as run:
                texts.append(run.result)
    assert texts[0] == texts[1]


def problems(world: World) -> str:
    with pytest.raises(WorldError) as wrong:
        world.resolve()
    return str(wrong.value)


def test_nothing_leaves_unless_the_world_says_so() -> None:
    assert "network = true" in problems(asking("http://127.0.0.1:1/v1", network=False))
    with endpoint(says("x")) as far:
        asking(far.url).resolve()
        assert not far.requests  # checking a world asks nobody


@pytest.mark.parametrize(
    ("url", "model", "said"),
    [
        ("ftp://127.0.0.1/v1", {}, "no address of an API"),
        ("http:///v1", {}, "no address of an API"),
        ("http://127.0.0.1:99999/v1", {}, "no address of an API"),
        ("http://127.0.0.1/\x00", {}, "no address of an API"),
        ("http://user:word@127.0.0.1/v1", {}, "a name or a password"),
        ("http://127.0.0.1/v1?key=1", {}, "a query"),
        ("http://127.0.0.1/v1", {"model": ""}, "name of the model"),
        ("http://127.0.0.1/v1", {"task": "infer"}, "no url answers"),
        ("http://127.0.0.1/v1", {"key": "sk-123"}, "no reference of a key"),
        ("http://example.com/v1", {"key": "env:KEY"}, "in the clear"),
        ("http://127.0.0.1/v1", {"path": "/tmp"}, "no meaning"),
        ("http://127.0.0.1/v1", {"provider": "cuda", "variant": "q4"}, "no meaning"),
        ("http://127.0.0.1/v1", {"seconds_max": 0}, "out of range"),
    ],
)
def test_what_a_world_may_not_say(url: str, model: dict[str, Any], said: str) -> None:
    text = problems(asking(url, **model))
    assert said in text
    assert "sk-123" not in text


def test_what_is_for_urls_only() -> None:
    world = turnwise.World(
        "w", models={"m": Model(BUILTIN_DEMO, key="env:X")}, agents={"a": Agent("def turn(t):\n    pass")}
    )
    assert "behind a url" in problems(world)


def test_a_grant_of_another_task_is_told_when_the_world_is_checked() -> None:
    found = turnwise.check(asking("http://127.0.0.1:1/v1", task="embed"))
    assert any("is there to embed" in problem.message for problem in found)


def test_keys_are_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.journal"
    with endpoint(says("your key is sk-very-secret, I think")) as far:
        world = asking(far.url, key="env:FAR_KEY")
        monkeypatch.delenv("FAR_KEY", raising=False)
        with (
            world.start(journal=tmp_path / "none.journal", workers=1) as live,
            pytest.raises(UsageError, match="FAR_KEY"),
        ):
            live.result()
        monkeypatch.setenv("FAR_KEY", "sk-very-secret")
        with world.start(journal=path, workers=1) as live, live.result() as run:
            assert said(run) == {"hello": "your key is [key], I think"}
        assert b"Bearer sk-very-secret" in far.requests[0]
    assert b"sk-very-secret" not in path.read_bytes()
    monkeypatch.delenv("FAR_KEY")
    assert turnwise.replay(path).difference is None
    assert turnwise.verify(path).difference is None


def test_requests_at_once_are_bounded(tmp_path: Path) -> None:
    open_now, most = [0], [0]

    def counts(connection: Any, request: bytes) -> None:
        open_now[0] += 1
        most[0] = max(most[0], open_now[0])
        time.sleep(0.02)
        open_now[0] -= 1
        says("x")(connection, request)

    source = """
def turn(t):
    asked = [[{"role": "user", "content": str(number)}] for number in range(12)]
    t.finish([one.text for one in t.generate_all("far", asked)])
"""
    with endpoint(counts) as far:
        world = turnwise.World(
            "many",
            network=True,
            models={"far": Model(url=far.url, model="m", requests_at_once=3)},
            agents={"a": Agent(source, start=True, grants=Grants(generate=["far"], finish=True))},
        )
        with turnwise.run(world, journal=tmp_path / "a.journal", workers=1) as run:
            assert run.result == ["x"] * 12
    assert 1 <= most[0] <= 3


def child_of(live: Live) -> int:
    """The process that asks endpoints."""
    while True:
        for process in Path("/proc").iterdir():
            if process.name.isdecimal():
                try:
                    line = (process / "cmdline").read_bytes()
                    stat = (process / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if hosts.PROCESS.encode() in line and stat[1] == str(os.getpid()) and stat[0] != "Z":
                    return int(process.name)
        assert not live.wait(0.01)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_process_that_is_killed_costs_what_it_was_asked_and_nothing_else(tmp_path: Path) -> None:
    with (
        endpoint(hangs, says("good day")) as far,
        asking(far.url, "one", "two").start(journal=tmp_path / "a.journal", workers=1) as live,
    ):
        live.play()
        while not far.requests:
            assert not live.wait(0.01)
        os.kill(child_of(live), signal.SIGKILL)
        with live.result() as run:
            found = said(run)
    assert found["one"].startswith("unavailable: ")
    assert "has ended before the answer was there" in found["one"]
    assert found["two"] == "good day"
    assert len(far.requests) == 2
    assert turnwise.replay(tmp_path / "a.journal").difference is None


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_process_that_stands_still_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "GRACE_S", 0.5)
    with (
        endpoint(hangs, says("good day")) as far,
        asking(far.url, "one", "two", seconds_max=1).start(journal=tmp_path / "a.journal", workers=1) as live,
    ):
        live.play()
        while not far.requests:
            assert not live.wait(0.01)
        os.kill(child_of(live), signal.SIGSTOP)
        with live.result() as run:
            assert said(run)["two"] == "good day"


def test_processes_that_die_again_and_again_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "PROCESS", "turnwise.inference.endpoints")  # which ends at once
    live = asking("http://127.0.0.1:1/v1").start(journal=tmp_path / "a.journal", workers=1)
    with live, pytest.raises(EnvironmentFailure, match="times in a row"):
        live.result()
    with turnwise.open(tmp_path / "a.journal") as run:
        assert run.status == "open"


def test_no_process_outlives_the_run(tmp_path: Path) -> None:
    with endpoint(hangs) as far, asking(far.url).start(journal=tmp_path / "a.journal", workers=1) as live:
        live.play()
        while not far.requests:
            assert not live.wait(0.01)
        process = child_of(live)
        live.abort()
    assert not Path(f"/proc/{process}").exists()


def test_a_run_goes_on_and_asks_again_what_was_not_committed(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with endpoint(hangs, says("good day")) as far:
        with asking(far.url).start(journal=path, workers=1) as live:
            live.play()
            while not far.requests:
                assert not live.wait(0.01)
            live.abort()
        with turnwise.resume(path, workers=1).result() as run:
            assert said(run) == {"hello": "good day"}


TWICE = """
def turn(t):
    said = [t.generate("far", messages=[{"role": "user", "content": str(number)}]).text for number in range(2)]
    t.finish(said)
"""


def twice(url: str) -> World:
    return turnwise.World(
        name="twice",
        network=True,
        models={"far": Model(url=url, model="m")},
        agents={"asker": Agent(TWICE, start=True, grants=Grants(generate=["far"], finish=True))},
    )


def _play_until_killed(path: Path, url: str) -> None:
    with twice(url).start(journal=path, workers=1) as live:
        live.play()
        live.wait()


def killed_with_one_answer(path: Path, far: Endpoint) -> None:
    """Play in a process of its own, which is killed when it has one answer on disk and waits for another."""
    process = multiprocessing.get_context("spawn").Process(target=_play_until_killed, args=(path, far.url))
    process.start()
    while len(far.requests) < 2:
        process.join(0.01)
        assert process.is_alive()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_an_answer_that_is_on_disk_is_not_asked_for_again_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with endpoint(says("one"), hangs, says("two")) as far:
        killed_with_one_answer(path, far)
        with turnwise.resume(path, workers=1).result() as run:
            assert run.result == ["one", "two"]
        assert [body_of(request)["messages"][0]["content"] for request in far.requests] == ["0", "1", "1"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM ahead").fetchone() == (0,)
    assert turnwise.replay(path).difference is None


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_it_is_the_journal_that_has_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with endpoint(says("one"), hangs, says("two")) as far:
        killed_with_one_answer(path, far)
        with closing(sqlite3.connect(path)) as connection, connection:
            assert connection.execute("DELETE FROM ahead").rowcount == 1
        with turnwise.resume(path, workers=1).result() as run:
            assert run.result == ["two", "two"]
        assert len(far.requests) == 4


def test_another_model_in_its_place_is_a_change(tmp_path: Path) -> None:
    path, other = tmp_path / "a.journal", tmp_path / "b.journal"
    with endpoint(says("good day")) as far:
        world = asking(far.url)
        with world.start(journal=path, workers=1) as live:
            assert live.step()
        with pytest.raises(JournalError, match="not the one"):
            turnwise.resume(path, models={"far": BUILTIN_DEMO}, workers=1).result()
        with turnwise.fork(path, 0, models={"far": BUILTIN_DEMO}, journal=other, workers=1).result() as run:
            assert said(run)["hello"] != "good day"
        assert len(far.requests) == 1
        with turnwise.run(world, models={"far": BUILTIN_DEMO}, journal=tmp_path / "c.journal", workers=1) as run:
            assert run.numeric_classes["far"] != "none"
        assert len(far.requests) == 1


def test_where_it_was_is_taken_out_of_a_redacted_journal(tmp_path: Path) -> None:
    from turnwise.evidence.redact import redact

    path = tmp_path / "a.journal"
    with endpoint(says("good day")) as far:
        turnwise.run(asking(far.url), journal=path, workers=1).close()
        redact(path, tmp_path / "b.journal", pattern="good day")
        port = far.url.split(":")[2].encode()
    assert port in path.read_bytes()
    assert port not in (tmp_path / "b.journal").read_bytes()


def test_a_sweep_asks_endpoints_too(tmp_path: Path) -> None:
    with endpoint(says("good day")) as far:
        swept = turnwise.sweep(asking(far.url), seeds=[1, 2], workers=1)
        assert len(far.requests) == 2
        seeds = {body_of(request)["seed"] for request in far.requests}
    assert [run.status for run in swept.runs] == ["quiet", "quiet"]
    assert len(seeds) == 2


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts.importlib.util, "find_spec", lambda name: None)
    live = asking("http://127.0.0.1:1/v1").start(journal=tmp_path / "a.journal", workers=1)
    with live, pytest.raises(UsageError, match="httpx is missing"):
        live.result()


def test_a_run_without_such_models_has_the_head_that_it_had(tmp_path: Path) -> None:
    """Neither the folder of a model nor what is new in a world changes a head where it is not used."""
    folder = tmp_path / "model"
    shutil.copytree(model_folder(BUILTIN_DEMO), folder)
    heads = set()
    for model, network in ((Model(BUILTIN_DEMO), False), (Model(folder), True)):
        world = turnwise.World(
            "w", network=network, models={"m": model}, agents={"a": Agent("def turn(t):\n    pass", start=True)}
        )
        with turnwise.run(world, journal=tmp_path / f"{network}.journal", workers=1) as run:
            heads.add(run.head)
    assert len(heads) == 1
