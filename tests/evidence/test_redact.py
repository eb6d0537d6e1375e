"""What was taken out is nowhere in the file; the head stays; what is left is still proved, and what is not is said."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import turnwise
from tests.history.forger import changed
from tests.history.test_verify import writers
from tests.inference import toy
from tests.journal.records import columns_of_tables
from tests.orchestrator.test_fork import halves
from tests.orchestrator.worlds import lively
from turnwise import JournalError, UsageError
from turnwise.evidence.redact import compact, redact
from turnwise.evidence.withholding import OTHER_TEXTS, TEXTS, VALUES

PUBLIC = {
    "place", "name", "kind", "born", "parent", "grants", "round", "turn", "inbox", "failure", "wake_in", "fuel",
    "executions", "nr", "model", "seq", "sender", "receiver", "recipients", "level", "id", "reason", "head", "code",
    "carrier", "entry", "interpreter", "blob", "hash", "size", "data", "versions", "execution", "outcome", "wave",
    "requests", "plan", "message_first", "turns", "failed", "effects", "logs", "records", "inputs", "messages",
    "spawned", "agents", "stopped", "waves", "started_us", "duration_us", "commit_start_us", "commit_us",
    "what", "target", "backlog", "calls", "spent", "question", "deadline", "box", "position",
}  # fmt: skip
"""Columns of numbers, names, hashes and plans of batches, which hold no text of an agent."""

PUBLIC_OF_TABLE = {
    ("rounds", "state"),
    ("messages", "attach"),
    *[("ahead", column) for column in columns_of_tables()["ahead"]],
}
"""More such columns: a digest of all states, the handle of a content, and a table of which nothing is kept."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("redact")


@pytest.fixture(scope="module")
def lived(folder: Path) -> Path:
    path = folder / "lively.journal"
    turnwise.run(lively(seed=3, rounds_max=8), journal=path, workers=1).close()
    return path


@pytest.fixture(scope="module")
def written(folder: Path) -> Path:
    path = folder / "written.journal"
    turnwise.run(writers(toy.write_attention_folder(folder / "model")), journal=path, workers=1).close()
    return path


def test_nothing_is_kept_of_turns_that_are_not_committed(lived: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "a.journal", tmp_path / "b.journal"
    shutil.copyfile(lived, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        row = (0, 99, 0, 0, '{"prompt":"my secret"}', 1, 0, '{"ok":{"text":"my secret"}}', None)
        connection.execute("INSERT INTO ahead VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    assert b"my secret" in path.read_bytes()
    redact(path, out, agents=["hub"])
    assert b"my secret" not in out.read_bytes()


def test_every_column_is_known_to_hold_texts_or_none() -> None:
    """Whoever adds a column says here whether it may hold what somebody wants to take out."""
    for table, columns in columns_of_tables().items():
        for column in columns:
            private = column in TEXTS.get(table, ()) or (table, column) in OTHER_TEXTS
            assert private or column in PUBLIC or (table, column) in PUBLIC_OF_TABLE, (table, column)
            assert not private or (table, column) in VALUES or (table, column) == ("records", "value")


@pytest.mark.parametrize("name", ["lived", "written"])
def test_an_agent_s_texts_are_taken_out_and_the_rest_is_replayed(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    journal: Path = request.getfixturevalue(name)
    with turnwise.open(journal) as run:
        agents = [agent.name for agent in run.agents]
        head = run.head
    for agent in agents[:2]:
        made = redact(journal, tmp_path / f"{agent}.journal", agents=[agent])
        assert made.head == head
        with turnwise.open(made.path) as run:
            run.check()
            assert run.head == head
            assert any("taken out" in line for line in run.unproved)
            for turn in run.turns:
                if turn.agent == agent and turn.output is not None and turn.output.state:
                    assert turn.output.state.startswith('{"redacted":')
        found = turnwise.replay(made.path, workers=1)
        assert found.difference is None
        assert found.head == head
        again = any("computed again" in line for line in found.notes)  # of agents that ask nobody, all follows
        assert any("redacted" in line for line in found.unproved) != again
        assert again == (name == "lived")
    assert not any("redacted" in line for line in turnwise.replay(journal, workers=1).unproved)  # the control


def test_what_a_pattern_finds_is_nowhere_in_the_file(written: Path, tmp_path: Path) -> None:
    with turnwise.open(written) as run:
        texts = {effect.reply for turn in run.turns for effect in turn.effects if '"ok"' in effect.reply}
        head = run.head
    parts = [re.search(r'"text":"([^"]{3,})"', text) for text in sorted(texts)]
    part = next(part for part in parts if part is not None)
    made = redact(written, tmp_path / "a.journal", pattern=re.escape(part.group(1)))
    assert made.texts > 0
    assert part.group(1).encode() not in dump(made.path)
    assert part.group(1).encode() in dump(written)
    assert made.head == head
    assert turnwise.replay(made.path, workers=1).difference is None


def dump(path: Path) -> bytes:
    """All values of a journal, unpacked, and the bytes of its file."""
    import zlib

    parts = [path.read_bytes()]
    with closing(sqlite3.connect(path)) as connection:
        for size, data in connection.execute("SELECT size, data FROM blobs"):
            parts.append(zlib.decompress(data) if len(data) < size else data)
    return b"\n".join(parts)


def test_what_is_left_is_still_proved(lived: Path, tmp_path: Path) -> None:
    """Whoever changes what is left, or a digest, is found."""
    with turnwise.open(lived) as run:
        agent = next(iter(run.agents)).name
    made = redact(lived, tmp_path / "a.journal", agents=[agent])
    for statement in (
        "UPDATE turns SET turn = turn + 1 WHERE round = 2",
        "UPDATE blobs SET hash = zeroblob(32) WHERE size = 0",
        "UPDATE messages SET receiver = 'x' WHERE seq = 1",
    ):
        with pytest.raises(JournalError), turnwise.open(changed(made.path, tmp_path, statement)) as run:
            run.check()


def test_verify_claims_nothing_for_what_was_taken_out(written: Path, tmp_path: Path) -> None:
    with turnwise.open(written) as run:
        agent = next(iter(run.agents)).name
    assert [model.level for model in turnwise.verify(written, workers=1).models] == ["L2"]
    made = redact(written, tmp_path / "a.journal", agents=[agent])
    found = turnwise.verify(made.path, workers=1, models={"model": written.parent / "model"})
    assert found.difference is None
    [model] = found.models
    assert model.level == "L0"
    assert 0 < model.compared < model.requests


def test_verify_claims_nothing_for_waves_of_which_requests_were_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "waved.journal"
    turnwise.run(writers(toy.write_mixing_folder(tmp_path / "model"), batching="free"), journal=path, workers=1).close()
    assert [model.level for model in turnwise.verify(path, workers=1).models] == ["L1"]
    with turnwise.open(path) as run:
        agent = next(iter(run.agents)).name
    made = redact(path, tmp_path / "a.journal", agents=[agent])
    found = turnwise.verify(made.path, workers=1, models={"model": tmp_path / "model"})
    assert found.difference is None
    [model] = found.models
    assert model.level == "L0"
    assert model.compared < model.requests
    with turnwise.open(made.path) as run:
        run.check()
        assert run.head == found.head == made.head


def test_nothing_is_written_where_nothing_is_private(lived: Path, tmp_path: Path) -> None:
    for options in ({}, {"pattern": "("}, {"agents": ["nobody"]}, {"pattern": "it is nowhere, surely"}):
        with pytest.raises(UsageError):
            redact(lived, tmp_path / "a.journal", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_compact_keeps_the_head_and_what_it_says(written: Path, lived: Path, tmp_path: Path) -> None:
    for journal in (written, lived):
        with turnwise.open(journal) as run:
            head, states = run.head, {agent.name: run.state(agent.name) for agent in run.agents}
        sizes = []
        for keep in ("all", "states", "head"):
            made = compact(journal, tmp_path / f"{journal.stem}-{keep}.journal", keep=keep)
            sizes.append(made.bytes_after)
            with turnwise.open(made.path) as run:
                assert (run.head, run.status) == (head, run.status)
                if keep != "head":
                    run.check()
                    assert {agent.name: run.state(agent.name) for agent in run.agents} == states
                else:
                    assert len(list(run.agents)) == len(states)
                    with pytest.raises(JournalError, match="only the heads"):
                        run.check()
        assert sizes == sorted(sizes, reverse=True)
        assert (
            turnwise.replay(tmp_path / f"{journal.stem}-all.journal", workers=1).unproved
            == turnwise.replay(journal, workers=1).unproved
        )
    with pytest.raises(UsageError, match="to keep"):
        compact(lived, tmp_path / "x.journal", keep="nothing")


def test_relative_paths_do(lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for keep in ("all", "states", "head"):
        assert compact(lived, Path(f"{keep}.journal"), keep=keep).path.is_file()


def test_a_run_goes_on_from_kept_states(tmp_path: Path) -> None:
    world = lively(seed=3, rounds_max=12)
    with world.start(journal=tmp_path / "a.journal", workers=1) as live:
        for _ in range(5):
            live.step()
    made = compact(tmp_path / "a.journal", tmp_path / "b.journal", keep="states")
    with (
        turnwise.resume(made.path, workers=1).result() as run,
        turnwise.run(world, journal=tmp_path / "c.journal", workers=1) as whole,
    ):
        assert run.head == whole.head


# -- forks -----------------------------------------------------------------------------------------------------------

SECRETS = ("a heard secret", "a kept secret", "an argued secret", "a common secret", "a secret to all", "a late secret")
"""Texts that a fork has changed: message, state, arguments of one and of all, system prompt, a message to come."""


@pytest.fixture(scope="module")
def forked(folder: Path) -> Path:
    """A fork with a private text in every kind of change that has one, of a run that was sent some later."""
    heard, kept, argued, common, system, late = SECRETS
    with halves().start(journal=folder / "parent.journal", workers=1) as live:
        for _ in range(4):
            live.step()
        live.send("a-1", late)
        live.result().close()
    path = folder / "fork.journal"
    live = turnwise.fork(
        folder / "parent.journal",
        2,
        journal=path,
        workers=1,
        messages={"a-1": heard},
        states={"a-2": {"said": kept}},
        overrides=[f"agents.a-1.args.mood={argued}", f"agents.a.args.more={common}", f"agents.a.system={system}"],
    )
    live.result().close()
    return path


def test_texts_of_the_changes_of_a_fork_are_taken_out(forked: Path, tmp_path: Path) -> None:
    whole = compact(forked, tmp_path / "whole.journal", keep="all").path
    made = redact(forked, tmp_path / "a.journal", agents=["a-1", "a-2"])
    for secret in SECRETS:
        assert secret.encode() in dump(whole)
        assert secret.encode() not in dump(made.path)
    for path in (whole, made.path):
        with turnwise.open(path) as run, turnwise.open(forked) as before:
            run.check()
            assert (run.head, run.parent, run.last_round) == (before.head, None, before.last_round)
            assert [turn.output for turn in run.turns if turn.agent in ("b-1", "b-2")] == [
                turn.output for turn in before.turns if turn.agent in ("b-1", "b-2")
            ]
        found = turnwise.replay(path, workers=1)
        assert found.difference is None
        assert any("redacted" in line for line in found.unproved) == (path != whole)
    with pytest.raises(JournalError), turnwise.open(changed(made.path, tmp_path, "UPDATE changes SET nr = -nr")) as run:
        run.check()


@pytest.mark.parametrize("secret", SECRETS)
def test_a_pattern_finds_the_changes_of_a_fork(secret: str, forked: Path, tmp_path: Path) -> None:
    made = redact(forked, tmp_path / "a.journal", pattern=secret)
    assert secret.encode() not in dump(made.path)
    assert turnwise.replay(made.path, workers=1).difference is None


def test_what_all_agents_of_a_kind_are_told_goes_with_the_last_of_them(tmp_path: Path) -> None:
    """The plan has the arguments of kinds, so of a kind with one agent it has that agent's."""
    code = "def turn(t):\n    t.state = 'seen'\n"
    kinds = {name: turnwise.Agent(code, args={"word": f"the word of {name}"}, start=True) for name in ("a", "b")}
    turnwise.run(turnwise.World(name="told", agents=kinds), journal=tmp_path / "run.journal", workers=1).close()
    made = redact(tmp_path / "run.journal", tmp_path / "a.journal", agents=["a"])
    assert b"the word of a" not in dump(made.path)
    assert b"the word of b" in dump(made.path)


def test_compact_makes_a_fork_whole(forked: Path, tmp_path: Path) -> None:
    with turnwise.open(forked) as run:
        head, states, seed = run.head, {agent.name: run.state(agent.name) for agent in run.agents}, run.seed
    for keep in ("all", "states", "head"):
        made = compact(forked, tmp_path / f"{keep}.journal", keep=keep)
        with turnwise.open(made.path) as run:
            assert (run.head, run.seed, run.parent) == (head, seed, None)
            if keep != "head":
                assert {agent.name: run.state(agent.name) for agent in run.agents} == states
                assert turnwise.replay(made.path, workers=1).difference is None


def test_a_fork_goes_on_from_kept_states_with_what_was_to_come(forked: Path, tmp_path: Path) -> None:
    with turnwise.fork(
        forked.with_name("parent.journal"), 2, journal=tmp_path / "a.journal", seed=8, workers=1
    ) as live:
        live.step()
    with turnwise.fork(
        forked.with_name("parent.journal"), 2, journal=tmp_path / "b.journal", seed=8, workers=1
    ) as live:
        head = live.result().head
    made = compact(tmp_path / "a.journal", tmp_path / "c.journal", keep="states")
    models = {"model": "builtin:demo"}  # since paths are taken out
    assert turnwise.resume(made.path, workers=1, models=models).result().head == head
