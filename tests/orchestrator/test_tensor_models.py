"""Worlds whose agents run graphs and embed texts."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import turnwise
from tests.inference import graphs
from tests.inference.tensor_models.test_work_bound import powers
from turnwise import Agent, Grants, Model, World
from turnwise.orchestrator import assembly
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.native import run_native
from turnwise.orchestrator.settings import Settings

THINKER = """
from turnwise_guest import EffectError, Tensor, Turn

def turn(t: Turn) -> None:
    seen = [t.random.gauss(0, 1) for _ in range(8)]
    y = t.infer("policy", {"x": [seen]})["y"]
    many = t.infer_all("policy", [{"x": Tensor([value] * 8, shape=(1, 8))} for value in y.tolist()[0]])
    near, far = t.embed("encoder", [f"{t.self_name} {t.turn}", "something else"])
    t.state["seen"] = [y.tolist(), [one["y"].tolist() for one in many], near, far]
    t.record("similar", sum(a * b for a, b in zip(near, far)))
    for model in ("secret", "encoder"):
        try:
            t.infer(model, {"x": [seen]})
        except EffectError as error:
            t.log(f"{error.kind} {error.message}")
    try:
        t.infer("policy", {"x": seen})
    except EffectError as error:
        t.log(f"{error.kind} {error.message}")
    if t.turn < 3:
        t.wake_in(1)
"""


@pytest.fixture
def thinkers(tmp_path: Path) -> World:
    graphs.write_graph(tmp_path / "policy.onnx", graphs.dense_graph())
    graphs.write_encoder(tmp_path / "encoder")
    return turnwise.World(
        name="thinkers",
        seed=4,
        models={"policy": Model(tmp_path / "policy.onnx"), "encoder": Model(tmp_path / "encoder", task="embed")},
        agents={
            "thinker": Agent(THINKER, count=5, start=True, grants=Grants(infer=["policy"], embed=["encoder"])),
        },
    )


def test_tensors_depend_on_nothing_but_the_world(thinkers: World, tmp_path: Path) -> None:
    runs = [
        turnwise.run(thinkers, journal=tmp_path / f"{i}.journal", workers=workers, transport=transport)
        for i, (workers, transport) in enumerate([(1, "auto"), (3, "auto"), (2, "portable")])  # type: ignore[misc]
    ]
    assert len({run.head for run in runs}) == 1
    assert [turn.failure for turn in runs[0].turns] == [None] * 15
    effects = [effect for turn in runs[0].turns for effect in turn.effects]
    assert {effect.kind for effect in effects} == {"infer", "embed"}
    assert all('"ok"' in effect.reply for effect in effects if effect.index < 6)
    for run in runs:
        run.close()


def test_agents_see_what_the_graph_gives_and_what_they_may_not_do(thinkers: World, tmp_path: Path) -> None:
    with turnwise.run(thinkers, journal=tmp_path / "run.journal", rounds=1, workers=1) as run:
        first = next(iter(run.turns))
        logs = [line.text for line in first.output.log] if first.output else []
        asked = [json.loads(effect.request) for effect in first.effects]
        replies = [json.loads(effect.reply) for effect in first.effects]
    weights = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    x, y = (np.frombuffer(_data(tensor), np.float32) for tensor in (asked[0]["inputs"]["x"], _output(replies[0])))
    assert np.allclose(np.maximum(x @ weights, 0), y, atol=1e-5)
    assert logs == [
        "denied thinker-1 is not granted the model 'secret' (grants.infer of its kind)",
        "denied thinker-1 is not granted the model 'encoder' (grants.infer of its kind)",
        "refused the input 'x' has shape [8], and the graph takes float32 [batch, 8]",
    ]


def _data(tensor: dict[str, Any]) -> bytes:
    from base64 import b64decode

    return b64decode(tensor["data"])


def _output(reply: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = reply["ok"]["outputs"]["y"]
    return found


def test_recorded_tensors_are_replayed_without_the_models(thinkers: World, tmp_path: Path) -> None:
    with turnwise.run(thinkers, journal=tmp_path / "run.journal", workers=1) as run:
        head = run.head
    (tmp_path / "policy.onnx").unlink()
    replay = turnwise.replay(tmp_path / "run.journal", workers=1)
    assert (replay.difference, replay.head) == (None, head)


def test_a_run_that_is_resumed_finds_its_models_again(thinkers: World, tmp_path: Path) -> None:
    with turnwise.run(thinkers, journal=tmp_path / "whole.journal", workers=1) as run:
        head = run.head
    path = tmp_path / "part.journal"
    with turnwise.start(thinkers, journal=path, workers=1) as live:
        live.step()
    with turnwise.resume(path, workers=1) as live:
        assert live.result().head == head


def test_a_host_killed_between_rounds_does_not_show(thinkers: World, tmp_path: Path) -> None:
    with turnwise.run(thinkers, journal=tmp_path / "whole.journal", workers=1) as run:
        head = run.head
    path = tmp_path / "killed.journal"
    with Live(path, partial(assembly.begin, thinkers, path, Settings(workers=2))) as live:
        live.step()
        assert live._session is not None
        host = live._session._host
        assert host is not None
        assert host.pid is not None
        os.kill(host.pid, signal.SIGKILL)
        assert live.result().head == head
        assert host.statistics().restarts == 1


def test_native_runs_give_the_same_state(thinkers: World, tmp_path: Path) -> None:
    source = THINKER.replace(
        "if t.turn < 3:", "if t.self_name == 'thinker-5': t.finish(t.state['seen'])\n    if False:"
    )
    agent = Agent(source, count=5, start=True, grants=Grants(infer=["policy"], embed=["encoder"], finish=True))
    world = turnwise.World(name="w", seed=4, models=thinkers.models, agents={"thinker": agent})
    with turnwise.run(world, journal=tmp_path / "run.journal", workers=1) as run:
        expected = run.result
    assert json.loads(run_native(world).end.result or "") == expected


ASKS_MUCH = """
from turnwise_guest import EffectError, Tensor, Turn

def turn(t: Turn) -> None:
    for size in (4, 100):
        try:
            ones = Tensor([1.0] * size**2, shape=(size, size))
            t.record(f"sum {size}", sum(t.infer("powers", {"x": ones})["y"].data))
        except EffectError as error:
            t.record(f"refused {size}", error.message)
    t.wake_in(1)
"""


def test_a_graph_that_would_compute_too_long_is_refused_by_a_count_of_the_world(tmp_path: Path) -> None:
    """Whoever asks for too much is told so, and what the world allows is part of what the run is."""
    path = graphs.write_graph(tmp_path / "powers.onnx", powers(2))
    worlds = {
        bound: turnwise.World(
            name="much",
            rounds_max=2,
            models={"powers": Model(path, multiplications_max=bound)},
            agents={"a": Agent(ASKS_MUCH, start=True, grants=Grants(infer=["powers"]))},
        )
        for bound in (None, 1_000_000)
    }
    found: dict[int | None, tuple[str, set[str]]] = {}
    for bound, world in worlds.items():
        journal = tmp_path / f"{bound}.journal"
        with world.start(journal=journal, workers=1) as live:
            live.step()
        with turnwise.resume(journal, workers=1).result() as run:  # which opens the model by the same bound
            assert [turn.failure for turn in run.turns] == [None] * 2
            assert [record.value for record in run.records][:2] == [record.value for record in run.records][2:]
            found[bound] = run.head, {record.name for record in run.records}
        assert turnwise.replay(journal, workers=1).difference is None
    assert found[None][1] == {"sum 4", "sum 100"}
    assert found[1_000_000][1] == {"sum 4", "refused 100"}
    assert found[None][0] != found[1_000_000][0]


BY_HANDLE = """
from turnwise_guest import EffectError, Handle, StoredTensor, Tensor

def turn(t):
    if t.args["role"] == "giver":
        seen = Tensor([t.random.gauss(0, 1) for _ in range(8)], shape=(1, 8))
        stored, text = t.put(seen.data.tobytes()), t.put("a red ball".encode())
        t.state = [t.infer("policy", {"x": seen})["y"].tolist(), t.embed("encoder", "a red ball")]
        t.send("taker", {"stored": stored, "text": text})
        return
    for message in t.inbox:
        found = message.json()
        stored, text = StoredTensor(found["stored"], "float32", (1, 8)), Handle(found["text"])
        t.state = {"same": [t.infer("policy", {"x": stored})["y"].tolist(), t.embed("encoder", text)], "errors": []}
        wrong = (
            lambda: t.infer("policy", {"x": StoredTensor(found["stored"], "float32", (2, 8))}),
            lambda: t.infer("policy", {"x": StoredTensor("0" * 64 + "-32", "float32", (1, 8))}),
            lambda: t.embed("encoder", Handle(found["stored"])),
            lambda: t.embed("encoder", Handle("0" * 64 + "-32")),
        )
        for ask in wrong:
            try:
                ask()
            except EffectError as error:
                t.state["errors"].append(error.kind)
"""


def test_contents_are_inputs_of_models_and_give_what_their_bytes_give(thinkers: World, tmp_path: Path) -> None:
    grants = Grants(infer=["policy"], embed=["encoder"], send=["taker"])
    agents = {
        name: Agent(BY_HANDLE, args={"role": name}, start=name == "giver", grants=grants) for name in ("giver", "taker")
    }
    world = turnwise.World(name="by-handle", models=thinkers.models, agents=agents)
    run = turnwise.run(world, journal=tmp_path / "run.journal")
    taken = json.loads(run.state("taker"))
    assert taken["same"] == json.loads(run.state("giver"))
    assert taken["errors"] == ["refused", "denied", "refused", "denied"]
    verified = turnwise.verify(tmp_path / "run.journal")
    assert verified.difference is None
    assert [model.level for model in verified.models] == ["L2", "L2"]
    connection = sqlite3.connect(tmp_path / "run.journal")
    asked = connection.execute("SELECT request FROM effects WHERE place = 1 AND kind = 'infer' AND nr = 0").fetchone()[
        0
    ]
    assert '"content"' in asked
    assert '"data"' not in asked
    assert run_native(world).failures == 0
