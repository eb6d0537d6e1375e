"""Worlds with a real language model."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

import turnwise
from tests.inference import toy
from turnwise import Agent, Grants, Model, ModelError, World
from turnwise.errors import EnvironmentFailure
from turnwise.history.reissue import reissue
from turnwise.orchestrator import assembly
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.settings import Settings

WRITER = """
from turnwise_guest import EffectError, Turn

def turn(t: Turn) -> None:
    first = t.generate("storyteller", "Once upon a time", tokens_max=24, temperature=1.0)
    rest = t.generate_all("storyteller", [first.text, "The " + t.self_name], tokens_max=12, temperature=0.8)
    t.state["texts"] = t.state.get("texts", []) + [first.text, *(answer.text for answer in rest)]
    t.record("tokens", first.tokens)
    try:
        t.generate("secret", "x")
    except EffectError as error:
        t.log(error.kind)
    if t.turn < 4:
        t.wake_in(1)
"""


def writers(model: Path, count: int = 3) -> World:
    return turnwise.World(
        name="writers",
        seed=11,
        models={"storyteller": Model(model)},
        agents={"writer": Agent(WRITER, count=count, start=True, grants=Grants(generate=["storyteller"]))},
    )


@pytest.fixture
def story_model(demo_model: Path) -> Path:
    return demo_model


def test_texts_depend_on_nothing_but_the_world(story_model: Path, tmp_path: Path) -> None:
    runs = [
        turnwise.run(writers(story_model), journal=tmp_path / f"{i}.journal", workers=workers, transport=transport)
        for i, (workers, transport) in enumerate([(1, "auto"), (4, "auto"), (2, "portable")])  # type: ignore[misc]
    ]
    assert len({run.head for run in runs}) == 1
    effects = [effect for turn in runs[0].turns for effect in turn.effects]
    assert len(effects) == 3 * 4 * 4
    assert len({effect.reply for effect in effects if effect.model == "storyteller"}) > 30
    assert [turn.failure for turn in runs[0].turns] == [None] * 12
    for run in runs:
        run.close()
    assert turnwise.replay(tmp_path / "0.journal", workers=1).difference is None


def test_a_host_killed_in_mid_generation_does_not_show(story_model: Path, tmp_path: Path) -> None:
    world = writers(story_model)
    with turnwise.run(world, journal=tmp_path / "whole.journal", workers=1) as run:
        expected = run.head
    path = tmp_path / "killed.journal"
    with Live(path, partial(assembly.begin, world, path, Settings(workers=2))) as live:
        live.step()
        session = live._session
        assert session is not None
        assert session._host is not None
        host, killed, done = session._host, 0, threading.Event()

        def kill() -> None:
            nonlocal killed
            seen = -1
            while not done.wait(0.005) and killed < 3:
                tokens = host.statistics().tokens
                if host.pid is not None and host.statistics().pending and tokens != seen:
                    seen = tokens
                    os.kill(host.pid, signal.SIGKILL)
                    killed += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            with live.result() as run:
                assert run.head == expected
        finally:
            done.set()
            killer.join()
    assert killed > 0


def test_a_model_that_changed_is_refused_when_a_run_goes_on(
    story_model: Path, in_layout: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "a.journal"
    with writers(story_model).start(journal=path, workers=1) as live:
        live.step()
    with pytest.raises(turnwise.JournalError, match="the model storyteller is not the one that the run used"):
        turnwise.resume(path, models={"storyteller": in_layout("genai-mha-fp32")}, workers=1).result()
    with turnwise.resume(path, models={"storyteller": story_model}, workers=1).result() as run:
        assert run.status == "quiet"


def test_what_a_world_changes_of_a_model_is_part_of_the_run(in_layout: Callable[[str], Path], tmp_path: Path) -> None:
    low, built = (in_layout(f"genai-{name}") for name in ("int4-acc1", "int4"))
    models = {
        "plain": Model(low),
        "rewritten": Model(low, accuracy_level=4),
        "built": Model(built),
        "shorter": Model(low, context_tokens_max=128),
    }
    heads, texts, resumed = set(), {}, ("rewritten", "shorter")
    for name, model in models.items():
        world = dataclasses.replace(writers(low, 1), models={"storyteller": model})
        path = tmp_path / f"{name}.journal"
        with world.start(journal=path, workers=1) as live:
            live.step()
            if name not in resumed:
                live.result().close()
        with turnwise.resume(path, workers=1).result() if name in resumed else turnwise.open(path) as run:
            heads.add(run.head)
            texts[name] = [effect.reply for turn in run.turns for effect in turn.effects]
    assert len(heads) == 4
    assert texts["rewritten"] == texts["built"] != texts["plain"] == texts["shorter"]


def test_a_context_that_no_machine_has_room_for_must_be_shortened_by_the_world(tmp_path: Path) -> None:
    """Its cache would take 512 GiB. What an agent is answered must not depend on how much of it there is."""
    model = toy.write_folder(
        tmp_path / "model",
        toy.attention_graph(heads=64, kv_heads=64, head_size=64),
        configuration=toy.config(64, 64, context_length=1 << 24),
    )
    path = tmp_path / "a.journal"
    with pytest.raises(EnvironmentFailure) as caught:
        turnwise.run(writers(model, 1), journal=path, workers=1)
    assert caught.value.where == "models.storyteller"
    assert "a context of 16,777,216 tokens takes 524,288.0 MiB of KV cache" in caught.value.message
    assert "context_tokens_max = " in str(caught.value)
    assert not path.exists()
    shorter = dataclasses.replace(writers(model, 1), models={"storyteller": Model(model, context_tokens_max=256)})
    with turnwise.run(shorter, journal=path, rounds=1, workers=1) as run:
        assert [turn.failure for turn in run.turns] == [None]


def test_a_model_that_cannot_be_loaded_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = tmp_path / "a.journal"
    with pytest.raises(ModelError, match=r"genai_config\.json"):
        turnwise.run(writers(tmp_path / "model"), journal=path, workers=1)
    assert not path.exists()


HAGGLER = """
from turnwise_guest import Turn

OFFER = {
    "type": "object",
    "properties": {"price": {"type": "integer", "minimum": 1, "maximum": 99}, "deal": {"type": "boolean"}},
    "required": ["price", "deal"],
    "additionalProperties": False,
}

def turn(t: Turn) -> None:
    offers = t.generate_all(
        "storyteller", ["Tom says: ", "Lily says: "], json_schema=OFFER, temperature=1.0, logprobs=1, tokens_max=60
    )
    for offer in offers:
        assert offer.logprobs is not None and len(offer.logprobs) == offer.tokens
        if offer.finish == "end":
            t.record("price", offer.json()["price"])
    chat = [{"role": "user", "content": f"Once upon a time {n}."} for n in range(100)]
    answer = t.generate("storyteller", messages=chat, tokens_max=9, regex="[a-z]+", on_full="drop_oldest")
    t.state = {"dropped": answer.dropped, "text": answer.text}
"""


def test_grammars_and_a_system_prompt_in_a_world(story_model: Path, tmp_path: Path) -> None:
    def played(name: str, system: str, workers: int) -> str:
        world = World(
            name="haggle",
            seed=3,
            models={"storyteller": Model(story_model)},
            agents={
                "haggler": Agent(HAGGLER, count=3, start=True, grants=Grants(generate=["storyteller"]), system=system)
            },
        )
        with turnwise.run(world, journal=tmp_path / name, workers=workers) as run:
            assert [turn.failure for turn in run.turns] == [None] * 3
            effects = [effect for turn in run.turns for effect in turn.effects]
            assert [effect.request.count('"system":"Be kind."') for effect in effects] == [0, 0, int(bool(system))] * 3
            assert all(1 <= record.value <= 99 for record in run.records)
            assert len(run.records) >= 4
            return run.head

    plain = played("plain.journal", "", 1)
    assert played("kind.journal", "Be kind.", 2) != plain
    assert played("again.journal", "", 2) == plain
    assert turnwise.replay(tmp_path / "kind.journal", workers=1).difference is None


DATED = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    answers = [t.generate("model", messages=[{"role": "user", "content": ""}], tokens_max=1) for _ in range(2)]
    t.record("tokens", str([answer.prompt_tokens for answer in answers]))
    if t.turn < 3:
        t.wake_in(1)
"""


@pytest.mark.parametrize("batching", [None, "free"])
def test_a_chat_template_writes_the_virtual_date(batching: str | None, tmp_path: Path) -> None:
    """The template writes as many letters as the day of the month has, in waves too, and when one is issued again."""
    model = toy.write_mixing_folder(tmp_path / "model")
    (model / "chat_template.jinja").write_text("{{ 'x' * (strftime_now('%d') | int) }}")
    world = World(
        name="dated",
        models={"model": Model(model, provider="cpu", batching=batching)},  # type: ignore[arg-type]
        agents={"a": Agent(DATED, count=2, start=True, grants=Grants(generate=["model"]))},
        time_start=datetime(2031, 4, 6, 23, 59, tzinfo=UTC),
        round_seconds=120,
    )
    heads = set()
    for workers in (1, 4):
        path = tmp_path / f"{workers}.journal"
        with turnwise.run(world, journal=path, workers=workers) as run:
            heads.add(run.head)
            assert [turn.failure for turn in run.turns] == [None] * 6
            recorded = [record.value for turn in run.turns if turn.output for record in turn.output.record]
            assert recorded == ["[7, 7]"] * 2 + ["[8, 8]"] * 4
        assert turnwise.replay(path, workers=1).difference is None
    assert len(heads) == 1
    if batching:
        assert [found.difference for found in reissue(path, 3, 1)] == [None]
