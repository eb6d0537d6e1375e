"""Sweeps: each run has the head that it has alone, whatever runs beside it; failures are rows; runs are taken up."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import turnwise
from tests.inference import toy
from tests.orchestrator.worlds import lively, talkers
from turnwise import Agent, Grants, Model, UsageError, World, WorldError
from turnwise.core.plan import SEED_MAX
from turnwise.sweeps.sweep import journal_name

SPEAKER = """
def turn(t):
    prompt = f"{t.args['mood']} {t.state.get('said', '')}"
    t.state = {"said": t.generate("model", prompt, tokens_max=4, temperature=1.0).text}
    t.record("luck", t.random.random())
    t.record("mood", t.args["mood"])
    if t.turn == 2:
        t.finish({"luck": t.random.random()})
    t.wake_in(1)
"""
BREAKS = """
def turn(t):
    if t.args["bad"] and t.turn == 2:
        raise ValueError("bad value")
    if t.turn == 3:
        t.finish(t.random.randint(0, 9))
    t.wake_in(1)
"""


def speakers() -> World:
    """One agent that asks the bundled model."""
    grants = Grants(generate=["model"], finish=True)
    agent = Agent(SPEAKER, args={"mood": "merry"}, start=True, grants=grants)
    models = {"model": Model("builtin:demo", provider="cpu")}
    return turnwise.World(name="speakers", rounds_max=4, models=models, agents={"speaker": agent})


def breaking() -> World:
    """One agent that fails in its second turn if its arguments say so."""
    agent = Agent(BREAKS, args={"bad": False}, start=True, grants=Grants(finish=True))
    return turnwise.World(name="breaking", rounds_max=5, on_failure="stop", agents={"agent": agent})


def head(world: World, path: Path, seed: int, *overrides: str) -> str:
    with turnwise.run(world, journal=path, seed=seed, overrides=overrides, workers=1) as run:
        return run.head


@pytest.mark.parametrize("make", [lively, talkers, speakers])
def test_heads_are_those_of_runs_alone(make: Callable[[], World], tmp_path: Path) -> None:
    world = make()
    alone = [head(world, tmp_path / f"{seed}.journal", seed) for seed in range(3)]
    assert len(set(alone)) == 3
    for workers, jobs in ((1, 1), (2, 3)):
        swept = turnwise.sweep(world, seeds=range(3), workers=workers, jobs=jobs)
        assert [run.head for run in swept.runs] == alone
        assert all(run.is_whole and run.journal is None for run in swept.runs)


def test_values_are_those_of_overrides(tmp_path: Path) -> None:
    key = "agents.speaker.args.mood"
    swept = turnwise.sweep(speakers(), seeds=[4, 2], variables={key: ["merry", "grim"]}, workers=2, jobs=4)
    rows = [(run.settings[key], run.seed) for run in swept.runs]
    assert rows == [("merry", 4), ("merry", 2), ("grim", 4), ("grim", 2)]
    for number, run in list(enumerate(swept.runs))[::3]:  # each value and each seed
        override = f"{key}={run.settings[key]}"
        assert run.head == head(speakers(), tmp_path / f"{number}.journal", run.seed, override)
        with turnwise.open(tmp_path / f"{number}.journal") as alone:
            luck = [record.value for record in alone.records if record.name == "luck"]
        assert run.records["luck"].last == luck[-1]
        assert run.records["luck"].mean == pytest.approx(sum(map(float, luck)) / len(luck))
        assert (run.records["mood"].last, run.records["mood"].mean) == (run.settings[key], None)
    assert {move.measure for move in swept.moves} == {"result.luck", "record.luck.last", "record.luck.mean"}


def test_a_run_that_fails_is_a_row(tmp_path: Path) -> None:
    key = "agents.agent.args.bad"
    table = tmp_path / "table.csv"
    swept = turnwise.sweep(breaking(), seeds=range(2), variables={key: [True, False]}, workers=1, jobs=2, table=table)
    assert [run.status for run in swept.runs] == ["failed", "failed", "finished", "finished"]
    assert "bad value" in (swept.runs[0].message or "")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row[key], row["seed"], row["status"], row["head"]) for row in rows] == [
        (run.settings[key], str(run.seed), run.status, run.head) for run in swept.runs
    ]
    assert [row["result"] for row in rows] == ["", "", *[str(run.result) for run in swept.runs[2:]]]


def test_runs_are_taken_up_from_their_journals(tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    whole = turnwise.sweep(talkers(), seeds=range(3), workers=1, journals=folder)
    (folder / journal_name({}, 0)).unlink()
    cut = folder / journal_name({}, 1)
    cut.unlink()
    with turnwise.start(talkers(), seed=1, journal=cut, workers=1) as live:
        live.step()
        live.step()
    kept = (folder / journal_name({}, 2)).read_bytes()
    again = turnwise.sweep(talkers(), seeds=range(3), workers=1, journals=folder)
    assert [run.head for run in again.runs] == [run.head for run in whole.runs]
    assert [run.journal for run in again.runs] == [folder / journal_name({}, seed) for seed in range(3)]
    assert (folder / journal_name({}, 2)).read_bytes() == kept


def test_a_journal_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    (tmp_path / journal_name({}, 0)).write_bytes(b"nothing")
    swept = turnwise.sweep(talkers(), seeds=range(2), workers=1, journals=tmp_path)
    assert [run.status == "error" for run in swept.runs] == [True, False]
    assert swept.runs[0].message


def test_a_journal_of_another_world_ends_the_sweep(tmp_path: Path) -> None:
    turnwise.sweep(talkers(count=3), seeds=[0], workers=1, journals=tmp_path)
    with pytest.raises(UsageError, match="another run"):
        turnwise.sweep(talkers(count=4), seeds=[0], workers=1, journals=tmp_path)


def test_what_is_wrong_is_said_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="nobody"):
        turnwise.sweep(talkers(), seeds=[0], variables={"agents.nobody.count": [1, 2]}, journals=tmp_path / "none")
    for wrong in (tmp_path / "table.txt", tmp_path / "none" / "table.csv", tmp_path):
        with pytest.raises(UsageError):
            turnwise.sweep(talkers(), seeds=[0], table=wrong)
    for jobs in (0, 1000, True):
        with pytest.raises(UsageError, match="at once"):
            turnwise.sweep(talkers(), seeds=[0], jobs=jobs)
    assert list(tmp_path.iterdir()) == []


def test_a_parquet_table_has_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    paths = [tmp_path / f"runs.{ending}" for ending in ("csv", "parquet")]
    for path in paths:
        variables = {"agents.agent.args.bad": [False, True]}
        turnwise.sweep(breaking(), seeds=[7, SEED_MAX], variables=variables, workers=1, table=path)
    with paths[0].open(newline="") as file:
        written = list(csv.DictReader(file))
    table = parquet.read_table(paths[1])
    rows = table.to_pylist()
    assert list(rows[0]) == list(written[0])
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows] == written
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["seed"], types["rounds"], types["head"]) == ("uint64", "int64", "string")
    assert [row["seed"] for row in rows] == [7, SEED_MAX] * 2
    assert [row["status"] for row in rows] == ["finished"] * 2 + ["failed"] * 2


def test_a_model_whose_bits_depend_on_what_runs_beside_it_has_its_heads_and_says_so(tmp_path: Path) -> None:
    mixing = toy.write_mixing_folder(tmp_path / "mixing")
    models = {"model": Model(mixing, provider="cpu", batching="free")}
    world = replace(speakers(), models=models)
    swept = turnwise.sweep(world, seeds=range(3), workers=2, jobs=3)
    assert [run.head for run in swept.runs] == [head(world, tmp_path / f"{seed}.journal", seed) for seed in range(3)]
    assert any("plan-bound" in notice for notice in swept.notices)


def test_models_and_wordings_are_variables(tmp_path: Path) -> None:
    folders = [str(toy.write_attention_folder(tmp_path / "one")), "builtin:demo"]
    wordings = ["merry", "merry, but brief"]
    variables = {"models.model.path": folders, "agents.speaker.args.mood": wordings}
    swept = turnwise.sweep(speakers(), seeds=[5], variables=variables, workers=1)
    told = [tuple(run.settings.values()) for run in swept.runs]
    assert told == [(folder, wording) for folder in folders for wording in wordings]
    assert len({run.head for run in swept.runs}) == 4
    for number, run in list(enumerate(swept.runs))[::3]:  # each model and each wording
        overrides = [f"{key}={value}" for key, value in run.settings.items()]
        assert run.head == head(speakers(), tmp_path / f"{number}.journal", 5, *overrides)
    assert [run.records["mood"].last for run in swept.runs] == wordings * 2


KNOWN = """
def turn(t):
    luck = t.random.random()
    t.record("luck", luck)
    t.finish({"known": t.args["effect"] + luck})
"""


def test_how_much_a_variable_moves_is_right_where_it_is_known() -> None:
    agent = Agent(KNOWN, args={"effect": 0, "idle": 0}, start=True, grants=Grants(finish=True))
    world = turnwise.World(name="known", rounds_max=2, agents={"agent": agent})
    variables = {"agents.agent.args.effect": [0, 3, 10], "agents.agent.args.idle": [0, 1]}
    swept = turnwise.sweep(world, seeds=range(12), variables=variables, workers=1)
    luck = [float(run.records["luck"].last) for run in swept.runs[:12]]
    moves = {(move.variable.split(".")[-1], move.measure): move for move in swept.moves}
    effect, idle = moves["effect", "result.known"], moves["idle", "result.known"]
    assert effect.moved == pytest.approx(10)
    assert [effect.means[str(value)] for value in (0, 3, 10)] == pytest.approx(
        [value + statistics.mean(luck) for value in (0, 3, 10)]
    )
    assert idle.moved == pytest.approx(0)  # a variable that does nothing, with the same seeds, moves nothing
    assert effect.spread == idle.spread == pytest.approx(statistics.stdev(luck))
    assert effect.ratio == pytest.approx(10 / statistics.stdev(luck))
    assert moves["effect", "record.luck.last"].moved == pytest.approx(0)


def test_progress_counts_to_all_runs() -> None:
    told: list[tuple[int, int]] = []
    turnwise.sweep(lively(), seeds=range(3), workers=1, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
