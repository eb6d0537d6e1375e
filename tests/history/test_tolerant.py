"""A tolerant check accepts what a model answered, on whatever it ran, and nothing that it could not have answered."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import turnwise
from tests.history.forger import changed, rechained
from tests.history.test_verify import REPLIES, flipped, of_another_build, played, writers
from tests.inference import toy
from tests.inference.attributes import with_attribute
from turnwise.core import streams

InLayout = Callable[[str], Path]


@pytest.fixture(scope="module")
def told(in_layout: InLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a real model, at a temperature."""
    path = tmp_path_factory.mktemp("told") / "a.journal"
    return played(writers(in_layout("genai-int4")), path)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_attention_folder(tmp_path_factory.mktemp("steady") / "model")


def test_an_honest_run_is_near_and_no_level_is_claimed(told: Path) -> None:
    found = turnwise.verify(told, tolerant=True, workers=1)
    assert (found.difference, found.replies, found.token) == (None, REPLIES, None)
    [model] = found.models
    assert (model.level, model.requests, model.compared) == ("L0", REPLIES, REPLIES)
    assert "not computed again" in model.reasons[0]
    near = model.nearness
    assert near is not None
    with turnwise.open(told) as run:
        tokens = sum(len(effect.tokens or ()) for turn in run.turns for effect in turn.effects)
    assert near.tokens == tokens > 300
    assert near.farthest < near.margin / 2
    assert near.others < tokens / 20
    assert turnwise.verify(told, workers=1).models[0].nearness is None


def test_another_build_is_no_obstacle(told: Path, tmp_path: Path) -> None:
    path = of_another_build(told, tmp_path)
    assert turnwise.verify(path, workers=1).models[0].compared == 0
    [model] = turnwise.verify(path, tolerant=True, workers=1).models
    assert (model.level, model.compared) == ("L0", REPLIES)
    assert "onnxruntime was 0.0.1" in model.reasons[0]


def test_a_plan_bound_model_needs_none_of_its_waves(in_layout: InLayout, tmp_path: Path) -> None:
    world = writers(in_layout("hf-fp32"), batching="free")
    found = turnwise.verify(
        played(world, tmp_path / "a.journal"), tolerant=True, rounds=(2, 3), agent="writer-2", workers=1
    )
    assert found.difference is None
    assert (found.models[0].requests, found.models[0].compared) == (6, 6)


def forged(journal: Path, folder: Path, round_: int, place: int, change: Callable[[list[int]], list[int]]) -> Path:
    """A journal in which the tokens of the first answer of a turn are others, and its chains fit."""
    copy = changed(journal, folder)
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        where = f"round = {round_} AND place = {place} AND nr = 0"
        tokens = json.loads(database.execute(f"SELECT tokens FROM effects WHERE {where}").fetchone()[0])
        database.execute(f"UPDATE effects SET tokens = ? WHERE {where}", (json.dumps(change(tokens)),))
    return rechained(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda tokens: [*tokens[:4], 5, *tokens[5:]],
        lambda tokens: tokens[:-1],
        lambda tokens: [*tokens, 7],
        lambda tokens: [],
    ],
    ids=["another", "fewer", "more", "none"],
)
def test_forged_tokens_are_refused(told: Path, tmp_path: Path, change: Callable[[list[int]], list[int]]) -> None:
    path = forged(told, tmp_path, 2, 1, change)
    assert turnwise.replay(path, workers=1).difference is None
    found = turnwise.verify(path, tolerant=True, workers=1)
    assert found.difference is not None
    assert (found.difference.round, found.difference.agent) == (2, "writer-2")
    assert found.difference.what.startswith("effect 0: reply of model")


def test_the_token_is_named(told: Path, tmp_path: Path) -> None:
    path = forged(told, tmp_path, 2, 1, lambda tokens: [*tokens[:4], 5, *tokens[5:]])
    found = turnwise.verify(path, tolerant=True, workers=1)
    with turnwise.open(told) as run:
        text = next(
            json.loads(turn.effects[0].reply)["ok"]["text"]
            for turn in run.turns
            if (turn.round, turn.agent) == (2, "writer-2")
        )
    assert found.token is not None
    assert found.token.expected is not None
    assert (found.token.index, found.token.expected.id) == (4, 5)
    assert text.startswith(found.token.before)


def test_another_seed_is_refused(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_EFFECT", b"another sampler")
    assert turnwise.verify(told, tolerant=True, workers=1).difference is not None


def test_another_quantisation_is_refused(told: Path, in_layout: InLayout) -> None:
    found = turnwise.verify(told, tolerant=True, models={"model": in_layout("genai-fp32")}, workers=1)
    assert found.difference is not None
    assert found.token is not None


def test_the_same_weights_by_other_kernels_are_near_and_not_the_same(told: Path, in_layout: InLayout) -> None:
    """The same weights with products of another precision, as a GPU computes them: only a strict check refuses it."""
    models = {"model": in_layout("genai-int4-acc1")}
    found = turnwise.verify(told, tolerant=True, models=models, workers=1)
    assert found.difference is None
    assert found.models[0].nearness is not None
    assert found.models[0].nearness.others > 0
    assert turnwise.verify(told, models=models, workers=1).difference is not None


@pytest.mark.trained
@pytest.mark.parametrize(
    ("name", "value"),
    [("rotary_interleaved", 1), ("do_rotary", 0), ("scale", 0.1), ("softcap", 1.0), ("epsilon", 0.1)],
)
def test_kernels_that_compute_something_else_are_refused(
    told: Path, in_layout: InLayout, tmp_path: Path, name: str, value: float
) -> None:
    """The same weights, and texts that look like the model's: an option of the kernels is wrong."""
    models = {"model": with_attribute(in_layout("genai-int4"), tmp_path / "model", name, value)}
    for tolerant in (False, True):
        found = turnwise.verify(told, tolerant=tolerant, models=models, workers=1)
        assert found.difference is not None
        assert found.difference.what.startswith("effect ")


@pytest.mark.parametrize(("name", "value"), [("scale", 0.1), ("softcap", 1.0), ("epsilon", 0.1)])
def test_kernels_that_compute_nearly_the_same_are_refused_without_tolerance(
    told: Path, in_layout: InLayout, tmp_path: Path, name: str, value: float
) -> None:
    model = with_attribute(in_layout("genai-int4"), tmp_path / "model", name, value)
    found = turnwise.verify(told, models={"model": model}, workers=1)
    assert found.difference is not None
    assert found.difference.what.startswith("effect ")


def test_a_flipped_weight_is_refused(steady: Path, tmp_path: Path) -> None:
    path = played(writers(steady), tmp_path / "a.journal")
    assert turnwise.verify(path, tolerant=True, workers=1).difference is None
    other = flipped(steady, tmp_path / "flipped")
    assert turnwise.verify(path, tolerant=True, models={"model": other}, workers=1).difference is not None


def test_an_answer_without_tokens_is_taken_from_the_journal(told: Path, tmp_path: Path) -> None:
    path = rechained(changed(told, tmp_path, "UPDATE effects SET tokens = NULL WHERE round = 3 AND tokens NOT NULL"))
    found = turnwise.verify(path, tolerant=True, workers=1)
    [model] = found.models
    assert (found.difference, model.compared) == (None, REPLIES - 9)
    assert found.unproved == ("9 replies of model were taken from the journal",)
