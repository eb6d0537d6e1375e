"""Verify asks models again, finds what they did not answer, and claims no more than it has compared."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import turnwise
from tests.history.forger import changed, rechained
from tests.inference import graphs, toy
from tests.orchestrator.test_tensor_models import THINKER
from turnwise import Agent, Grants, JournalError, Model, UsageError, World
from turnwise.core import streams
from turnwise.core.canonical import canonical
from turnwise.history.reissue import Reissuing
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.journal import Journal
from turnwise.orchestrator.effects import ModelEffects
from turnwise.orchestrator.loop_thread import run_alone
from turnwise.orchestrator.settings import Settings
from turnwise.orchestrator.writer_notes import specs_of

WRITER = """
from turnwise_guest import EffectError, Turn

def turn(t: Turn) -> None:
    first = t.generate("model", "Once upon", tokens_max=12, temperature=1.0)
    rest = t.generate_all("model", [first.text[-20:] + "a", "The " + t.self_name], tokens_max=10, temperature=0.8)
    t.state["texts"] = t.state.get("texts", []) + [first.text, *(answer.text for answer in rest)]
    try:
        t.generate("secret", "x")
    except EffectError as error:
        t.log(error.kind)
    if t.turn < 4:
        t.wake_in(1)
"""
REPLIES = 3 * 4 * 3


def writers(model: Path, *, batching: str | None = None, provider: str = "cpu", count: int = 3) -> World:
    return turnwise.World(
        name="writers",
        seed=11,
        models={"model": Model(model, provider=provider, batching=batching)},  # type: ignore[arg-type]
        agents={"writer": Agent(WRITER, count=count, start=True, grants=Grants(generate=["model"]))},
    )


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_attention_folder(tmp_path_factory.mktemp("steady") / "model")


@pytest.fixture(scope="module")
def honest(steady: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return played(writers(steady), tmp_path_factory.mktemp("honest") / "a.journal")


@pytest.fixture(scope="module")
def waved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("waved")
    return played(writers(toy.write_mixing_folder(folder / "model"), batching="free"), folder / "a.journal")


def played(world: World, path: Path) -> Path:
    turnwise.run(world, journal=path, workers=2).close()
    return path


def lied_to(world: World, path: Path, monkeypatch: pytest.MonkeyPatch, *numbers: int) -> Path:
    """A run in which these replies are not the model's. Its journal is consistent in itself: only a model can tell."""
    on_replies, count = ModelEffects.on_replies, 0

    def lie(effects: ModelEffects, replies: Sequence[GenerateReply]) -> None:
        nonlocal count
        told = []
        for reply in replies:
            count += 1
            body = json.loads(reply.body)
            if count in numbers:
                body["ok"]["text"] = body["ok"]["text"][:-1] + "!"
            told.append(replace(reply, body=canonical(body)))
        on_replies(effects, told)

    with monkeypatch.context() as patched:
        patched.setattr(ModelEffects, "on_replies", lie)
        return played(world, path)


def flipped(model: Path, folder: Path) -> Path:
    """The same model, but one bit of one weight is another."""
    toy.write_attention_folder(folder)
    data = bytearray((model / "model.onnx").read_bytes())
    tensor = data.rindex(b"\x42\x04head") + 6 + 4  # its name; a tag and three bytes of length
    weight = tensor + 4 * (ord("e") + toy.BYTES_FROM)
    data[weight + 3] ^= 0x40
    (folder / "model.onnx").write_bytes(data)
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_an_honest_run_is_verified_with_its_model(honest: Path, workers: int) -> None:
    seen: list[tuple[int, int]] = []
    found = turnwise.verify(honest, workers=workers, progress=lambda done, total: seen.append((done, total)))
    with turnwise.open(honest) as run:
        assert found.difference is None
        assert (found.head, found.rounds, found.turns) == (run.head, len(run.rounds), len(run.turns))
    [model] = found.models
    assert (model.name, model.level, model.requests, model.compared) == ("model", "L2", REPLIES, REPLIES)
    assert (model.reasons, found.replies, found.notes, found.unproved) == ((), REPLIES, (), ())
    assert seen[-1] == (found.rounds, found.rounds)


def test_the_demo_model_is_verified(demo_model: Path, tmp_path: Path) -> None:
    found = turnwise.verify(played(writers(demo_model), tmp_path / "a.journal"), workers=2)
    assert (found.difference, found.replies) == (None, REPLIES)
    assert [model.level for model in found.models] == ["L2"]


def test_a_reply_that_no_model_gave_is_found_where_replay_finds_nothing(
    steady: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lied_to(writers(steady), tmp_path / "a.journal", monkeypatch, 20, 30)
    assert turnwise.replay(path, workers=1).difference is None
    found = turnwise.verify(path, workers=1)
    assert found.difference is not None
    with turnwise.open(path) as run:
        [first, *_] = [
            (turn.round, turn.agent, effect)
            for turn in run.turns
            for effect in turn.effects
            if '!","tokens"' in effect.reply
        ]
    assert (found.difference.round, found.difference.agent) == first[:2]
    assert found.difference.what == f"effect {first[2].index}: reply of model, text"
    expected, actual = str(found.difference.expected), str(found.difference.actual)
    assert expected == json.loads(first[2].reply)["ok"]["text"]
    assert (expected[:-1], expected[-1], actual[-1] == "!") == (actual[:-1], "!", False)
    [model] = found.models
    assert model.level == "L0"
    assert "a reply is another" in model.reasons


def test_another_seed_of_sampling_is_found(honest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_EFFECT", b"another sampler")
    found = turnwise.verify(honest, workers=1)
    assert found.difference is not None
    assert (found.difference.round, found.difference.agent) == (1, "writer-1")
    assert found.difference.what.startswith("effect 0: reply of model")
    assert turnwise.replay(honest, workers=1).difference is None


def test_the_token_is_named_in_which_answers_part(honest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_EFFECT", b"another sampler")
    token = turnwise.verify(honest, workers=1).token
    assert token is not None
    with turnwise.open(honest) as run:
        effect = next(iter(run.turns)).effects[0]
    assert effect.tokens is not None
    assert token.expected is not None
    assert token.expected.id == effect.tokens[token.index]
    assert token.actual is None or token.actual.id != token.expected.id


def test_a_flipped_weight_is_found_when_that_model_is_named(honest: Path, steady: Path, tmp_path: Path) -> None:
    other = flipped(steady, tmp_path / "flipped")
    found = turnwise.verify(honest, models={"model": other}, workers=1)
    assert found.difference is not None
    assert found.difference.what.startswith("effect ")
    [model] = found.models
    assert model.level == "L0"
    assert model.reasons[0].startswith("another model file: ")


def test_another_model_file_is_not_asked_unless_it_is_named(tmp_path: Path) -> None:
    folder = toy.write_attention_folder(tmp_path / "model")
    path = played(writers(folder), tmp_path / "a.journal")
    (folder / "model.onnx").write_bytes(toy.attention_graph(seed=1).model())
    found = turnwise.verify(path, workers=1)
    assert (found.difference, found.replies) == (None, 0)
    [model] = found.models
    assert (model.level, model.requests, model.compared) == ("L0", REPLIES, 0)
    assert model.reasons[0].startswith("another model file: ")
    assert found.unproved == (f"{REPLIES} replies of model were taken from the journal",)
    assert turnwise.verify(path, models={"model": folder}, workers=1).difference is not None


def test_an_equal_reply_of_another_file_does_not_raise_the_level(honest: Path, tmp_path: Path) -> None:
    other = toy.write_attention_folder(tmp_path / "model", context_length=500)
    found = turnwise.verify(honest, models={"model": other}, workers=1)
    assert (found.difference, found.replies) == (None, REPLIES)
    [model] = found.models
    assert model.level == "L0"
    assert model.reasons[-1] == "the replies of the other file are equal all the same"


def test_a_model_that_is_gone_is_said(tmp_path: Path) -> None:
    folder = toy.write_attention_folder(tmp_path / "model")
    path = played(writers(folder), tmp_path / "a.journal")
    moved = folder.rename(tmp_path / "moved")
    [model] = turnwise.verify(path, workers=1).models
    assert (model.level, model.sha256) == ("L0", None)
    assert str(folder) in model.reasons[0]
    [model] = turnwise.verify(path, models={"model": moved}, workers=1).models
    assert (model.level, model.reasons) == ("L2", ())


def of_another_build(journal: Path, folder: Path) -> Path:
    with turnwise.open(journal) as run:
        versions = json.loads(run.versions)
    versions["models"]["model"]["versions"]["onnxruntime"] = "0.0.1"
    return rechained(changed(journal, folder, f"UPDATE writers SET versions = '{json.dumps(versions)}'"))


def test_another_build_is_not_held_to_the_replies_unless_the_model_is_named(
    honest: Path, steady: Path, tmp_path: Path
) -> None:
    path = of_another_build(honest, tmp_path)
    [model] = turnwise.verify(path, workers=1).models
    assert (model.level, model.compared) == ("L0", 0)
    [reason] = model.reasons
    assert reason.startswith("onnxruntime was 0.0.1, and is ")
    [model] = turnwise.verify(path, models={"model": steady}, workers=1).models
    assert (model.level, model.compared, model.reasons) == ("L2", REPLIES, (reason,))


def test_a_plan_bound_model_is_verified_by_its_waves(waved: Path) -> None:
    found = turnwise.verify(waved, workers=2)
    assert found.difference is None
    [model] = found.models
    assert (model.level, model.requests, model.compared) == ("L1", REPLIES, REPLIES)
    assert "plan-bound" in model.reasons[0]


def test_waves_that_never_were_are_found(waved: Path, tmp_path: Path) -> None:
    def forge(data: bytes) -> bytes:
        return data.replace(b'"rows_max":3', b'"rows_max":1')

    path = rechained(with_other_plans(waved, tmp_path, forge))
    found = turnwise.verify(path, workers=1)
    assert found.difference is not None
    assert found.difference.what.startswith("effect ")
    assert [model.level for model in found.models] == ["L0"]


def test_the_token_is_named_in_which_an_answer_of_a_wave_parts(waved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_EFFECT", b"another sampler")
    found = turnwise.verify(waved, workers=1)
    assert found.difference is not None
    assert (found.difference.round, found.difference.what) == (1, "effect 0: reply of model, text")
    with turnwise.open(waved) as run:
        turn = next(turn for turn in run.turns if turn.agent == found.difference.agent)
    token, recorded = found.token, turn.effects[0].tokens
    assert token is not None
    assert recorded is not None
    assert token.expected is not None
    assert token.expected.id == recorded[token.index]
    assert token.actual is None or token.actual.id != token.expected.id
    assert str(found.difference.expected).startswith(token.before)


def test_waves_that_are_not_possible_here_are_said(waved: Path, tmp_path: Path) -> None:
    path = rechained(with_other_plans(waved, tmp_path, lambda data: data.replace(b'"threads":1', b'"threads":7')))
    found = turnwise.verify(path, workers=1)
    assert (found.difference, found.replies) == (None, 0)
    [model] = found.models
    assert (model.level, model.requests) == ("L0", REPLIES)
    assert "it ran on 7 threads" in model.reasons[0]


def with_other_plans(journal: Path, folder: Path, forge: Callable[[bytes], bytes]) -> Path:
    copy = changed(journal, folder)
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        plans = database.execute("SELECT id, data FROM blobs WHERE id IN (SELECT plan FROM waves)").fetchall()
        others = [(number, data, forge(data)) for number, data in plans]
        assert any(data != other for _, data, other in others)
        for number, _, other in others:
            row = (other, len(other), sha256(other).digest(), number)
            database.execute("UPDATE blobs SET data = ?, size = ?, hash = ? WHERE id = ?", row)
    return copy


def test_a_model_of_class_none_is_taken_from_the_journal(steady: Path, tmp_path: Path, own_cache: Path) -> None:
    """No graph that loads on the CPU is of that class, so what was observed is written over."""
    before = played(writers(steady), tmp_path / "before.journal")
    observed = own_cache / "self-tests.json"
    observed.write_text(observed.read_text().replace('"batch-invariant"', '"none"'))
    path = played(writers(steady), tmp_path / "a.journal")
    for journal, models in ((path, {}), (path, {"model": steady}), (before, {"model": steady})):
        found = turnwise.verify(journal, models=models, workers=1)
        assert found.difference is None
        [model] = found.models
        assert (model.level, model.requests, model.compared) == ("L0", REPLIES, 0)
        assert model.reasons


@pytest.mark.parametrize("form", ["steady", "mixing"])
def test_a_run_that_gave_up_equal_bits_says_so(form: str, tmp_path: Path) -> None:
    write = toy.write_attention_folder if form == "steady" else toy.write_mixing_folder
    folder = write(tmp_path / "model")
    world = replace(writers(folder), models={"model": Model(folder, provider="cpu", reproducible=False)})
    path = played(world, tmp_path / "a.journal")
    with turnwise.open(path) as run:
        assert run.numeric_classes == {"model": "none"}
        assert run.promise == "none"
        assert not any(record.waves for record in run.rounds)
        assert run.turns
        assert not run.failures
        head = run.head
    assert turnwise.replay(path).head == head
    for models in ({}, {"model": folder}):
        found = turnwise.verify(path, models=models)
        assert found.difference is None
        [model] = found.models
        assert (model.level, model.requests, model.compared) == ("L0", REPLIES, 0)
        assert model.reasons == ("the run gave up equal bits for speed (reproducible = false)",)
    with Journal.open(path) as journal:
        assert [spec.reproducible for spec in specs_of(journal, {})] == [False]
    near = turnwise.verify(path, tolerant=True)
    assert near.models[0].level == "L0"
    if form == "steady":
        assert (near.difference, near.models[0].compared) == (None, REPLIES)
    else:
        assert near.difference is not None, "what runs beside what changes its logits by more than rounding"


def test_tensors_and_vectors_are_computed_again(tmp_path: Path) -> None:
    graphs.write_graph(tmp_path / "policy.onnx", graphs.dense_graph())
    graphs.write_encoder(tmp_path / "encoder")
    world = turnwise.World(
        name="thinkers",
        models={"policy": Model(tmp_path / "policy.onnx"), "encoder": Model(tmp_path / "encoder", task="embed")},
        agents={"thinker": Agent(THINKER, count=2, start=True, grants=Grants(infer=["policy"], embed=["encoder"]))},
    )
    path = played(world, tmp_path / "a.journal")
    found = turnwise.verify(path, workers=1)
    assert found.difference is None
    levels = {model.name: (model.level, model.requests, model.compared) for model in found.models}
    # One request to the graph is refused for its shape, as it was in the run; two are denied before a model is asked.
    assert levels == {"policy": ("L2", 2 * 3 * 6, 2 * 3 * 6), "encoder": ("L2", 2 * 3, 2 * 3)}
    other = (tmp_path / "policy.onnx").read_bytes()
    weights = other.index(np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32).tobytes())
    data = bytearray(other)
    data[weights + 3] ^= 0x80
    (tmp_path / "other.onnx").write_bytes(data)
    forged = turnwise.verify(path, models={"policy": tmp_path / "other.onnx"}, workers=1)
    assert forged.difference is not None
    assert forged.difference.what == "effect 0: reply of policy"


def test_a_changed_state_is_found_as_by_replay(honest: Path, tmp_path: Path) -> None:
    path = changed(honest, tmp_path, "UPDATE turns SET state = 'other' WHERE round = 3")
    found = turnwise.verify(path, workers=1)
    assert found.difference == turnwise.replay(path, workers=1).difference
    assert found.rounds == 2
    [model] = found.models
    assert model.level == "L0"
    assert "round 3" in model.reasons[0]


def test_a_journal_that_does_not_say_where_its_model_was(honest: Path, steady: Path, tmp_path: Path) -> None:
    path = changed(honest, tmp_path, """UPDATE writers SET info = '{"models":{}}'""")
    [model] = turnwise.verify(path, models={"model": steady}, workers=1).models
    assert (model.level, model.reasons) == ("L0", ("the journal does not say where it was, and how it was loaded",))


def test_a_wave_of_effects_that_never_were_is_a_damaged_journal(waved: Path, tmp_path: Path) -> None:
    with turnwise.open(waved) as run:
        wave = run.waves(1)[0]
    assert wave.requests[0] == (0, 0)
    with Journal.open(waved) as journal:
        record = journal.rounds.round(1)
        forged = replace(record.waves[0], requests=((0, 99),))

        async def issued() -> None:
            async with Reissuing(journal, {"model"}, Settings()) as models:
                await models.issue(record, forged)

        with pytest.raises(JournalError, match="a wave of effects that are not in round 1"):
            run_alone(issued())


def test_rounds_and_an_agent(honest: Path) -> None:
    found = turnwise.verify(honest, rounds=(2, 3), agent="writer-2", workers=1)
    assert (found.difference, found.rounds, found.turns, found.replies) == (None, 2, 6, 6)
    assert len(found.unproved) == 2
    with turnwise.open(honest) as run:
        assert found.head == list(run.rounds)[2].head.hex()
    last = turnwise.verify(honest, rounds=(4, None), workers=1)
    assert (last.difference, last.rounds, last.replies) == (None, 1, 9)


def test_a_forged_reply_is_found_where_its_round_is_verified(
    steady: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lied_to(writers(steady), tmp_path / "a.journal", monkeypatch, REPLIES)
    assert turnwise.verify(path, rounds=(1, 3), workers=1).difference is None
    assert turnwise.verify(path, rounds=(4, 4), workers=1).difference is not None


def test_what_is_not_in_the_run_is_refused(honest: Path, steady: Path) -> None:
    with pytest.raises(UsageError, match="no agent 'nobody'"):
        turnwise.verify(honest, agent="nobody", workers=1)
    with pytest.raises(UsageError, match="no model 'other'"):
        turnwise.verify(honest, models={"other": steady}, workers=1)
    for rounds in ((0, 2), (3, 2), (1, 99)):
        with pytest.raises(UsageError, match="there are no rounds"):
            turnwise.verify(honest, rounds=rounds, workers=1)


def of_another_processor(journal: Path, folder: Path, processor: str | None) -> Path:
    with turnwise.open(journal) as run:
        versions = json.loads(run.versions)
    versions["models"]["model"]["versions"].pop("processor", None)
    if processor is not None:
        versions["models"]["model"]["versions"]["processor"] = processor
    return rechained(changed(journal, folder, f"UPDATE writers SET versions = '{json.dumps(versions)}'"))


def test_another_processor_is_a_reason_not_to_ask(honest: Path, tmp_path: Path) -> None:
    [model] = turnwise.verify(of_another_processor(honest, tmp_path, "avx9"), workers=1).models
    assert (model.level, model.compared) == ("L0", 0)
    assert model.reasons[0].startswith("processor was avx9, and is ")
    # A journal of an older version does not say: the model is asked, and only a difference is called into question.
    path = of_another_processor(honest, tmp_path, None)
    assert turnwise.verify(path, workers=1).models[0].level == "L2"


def test_a_difference_is_called_into_question_only_where_the_processor_is_not_known(
    steady: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lied_to(writers(steady), tmp_path / "a.journal", monkeypatch, 20)
    assert turnwise.verify(path, workers=1).models[0].reasons == ("a reply is another",)
    reasons = turnwise.verify(of_another_processor(path, tmp_path, None), workers=1).models[0].reasons
    assert "may round otherwise" in reasons[1]
