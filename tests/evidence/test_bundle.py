"""A bundle is whole, is verified without anything else, and each changed byte of it is found and named."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1.statement import Statement as ForeignStatement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

import turnwise
from tests.history.test_verify import writers
from tests.inference import toy
from tests.orchestrator.worlds import lively
from turnwise import DifferenceFound, UsageError
from turnwise.evidence.archive import content_of, read_archive, write_archive
from turnwise.evidence.canonical_json import canonical_json
from turnwise.evidence.opened import journal_of, open_bundle
from turnwise.evidence.signature import make_keys
from turnwise.evidence.statement import STATEMENT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def lived(folder: Path) -> Path:
    path = folder / "lively.journal"
    turnwise.run(lively(seed=3, rounds_max=4), journal=path).close()
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return toy.write_attention_folder(folder / "model")


@pytest.fixture(scope="module")
def written(folder: Path, model: Path) -> Path:
    path = folder / "written.journal"
    turnwise.run(writers(model), journal=path).close()
    return path


def test_the_same_journal_gives_the_same_bytes(lived: Path, tmp_path: Path) -> None:
    private, public, key = make_keys(tmp_path / "me")
    one = turnwise.bundle(lived, tmp_path / "one.bundle", sign=private)
    two = turnwise.bundle(lived, tmp_path / "two.bundle", sign=private)
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.key_id == key
    found = turnwise.verify_bundle(one.path, trust=[public], workers=1)
    assert (found.trusted, found.sha256, found.run.difference) == (key, one.sha256, None)
    assert found.run.head == one.head
    with turnwise.open(lived) as run:
        assert run.head == one.head


def test_a_bundle_is_verified_with_the_model_that_it_brings(
    written: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = turnwise.bundle(written, tmp_path / "a.bundle", with_models=True)
    assert made.models == {"model": True}
    assert made.has_interpreter
    moved = tmp_path / "moved"
    shutil.move(model, moved)
    try:
        found = turnwise.verify_bundle(made.path, workers=1)
        alone = turnwise.verify(written, workers=1)
    finally:
        shutil.move(moved, model)
    assert [(one.level, one.compared) for one in found.run.models] == [("L2", one.requests) for one in found.run.models]
    assert found.run.replies > 0
    assert alone.replies == 0  # the control: without the bundle the model is not found


def test_a_bundle_of_a_fork_has_the_rounds_of_its_parents(written: Path, model: Path, tmp_path: Path) -> None:
    first = turnwise.fork(written, 1, journal=tmp_path / "one.journal", seed=8, workers=1).result()
    fork = turnwise.fork(first, 2, journal=tmp_path / "two.journal", seed=9, workers=1).result()
    assert fork.parent is not None
    made = turnwise.bundle(fork.path, tmp_path / "a.bundle", with_models=True)
    assert made.head == fork.head
    for path in (fork.path, first.path):
        path.unlink()
    found = turnwise.verify_bundle(made.path, workers=1)
    assert found.run.difference is None
    assert (found.run.head, found.run.rounds) == (fork.head, fork.last_round)
    with journal_of(made.path) as journal, turnwise.open(journal) as run:
        assert run.parent is None
        assert [change.what for record in run.rounds for change in record.changes] == ["plan", "plan"]
        assert run.seed == 9


def test_a_model_that_is_named_by_its_hash_is_given(written: Path, model: Path, tmp_path: Path) -> None:
    made = turnwise.bundle(written, tmp_path / "a.bundle")
    assert made.models == {"model": False}
    found = turnwise.verify_bundle(made.path, workers=1, models={"model": model})
    assert found.run.replies > 0
    other = toy.write_mixing_folder(tmp_path / "other")
    with pytest.raises(turnwise.ModelError, match="not the one"):
        turnwise.bundle(written, tmp_path / "b.bundle", with_models=True, models={"model": other})


def test_foreign_readers_read_the_statement(written: Path, tmp_path: Path) -> None:
    made = turnwise.bundle(written, tmp_path / "a.bundle", with_models=True)
    with zipfile.ZipFile(made.path) as file:
        value = json.loads(file.read(STATEMENT))
        message = ParseDict(value, StatementMessage())
        ForeignStatement.copy_from_pb(message).validate()
        assert {subject.name for subject in message.subject} == set(file.namelist()) - {STATEMENT}
    [described] = value["predicate"]["models"]
    assert described["digest"]["sha256"]
    assert [resource["algorithm"] for resource in described["resources"]] == ["sha256"] * len(described["resources"])


def test_a_changed_byte_is_found_before_anything_is_executed(lived: Path, tmp_path: Path) -> None:
    private, public, _ = make_keys(tmp_path / "me")
    path = turnwise.bundle(lived, tmp_path / "a.bundle", sign=private).path
    whole = path.read_bytes()
    chance = random.Random(5)
    places = {*chance.sample(range(len(whole)), 150), *range(0, len(whole), max(1, len(whole) // 150))}
    # Everything but the contents of large members, byte by byte, is tried in test_archive.
    for at in sorted(places | set(range(4))):
        changed = bytearray(whole)
        changed[at] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(DifferenceFound) as found, open_bundle(path, trust=[public]):
            pass
        assert "does not hold" in str(found.value)
    path.write_bytes(whole)
    with open_bundle(path, trust=[public]) as bundle:
        assert bundle.trusted is not None


def test_a_changed_byte_is_named_by_the_part_in_which_it_is(lived: Path, tmp_path: Path) -> None:
    path = turnwise.bundle(lived, tmp_path / "a.bundle", sign=make_keys(tmp_path / "me")[0]).path
    whole = path.read_bytes()
    with path.open("rb") as file:
        members = read_archive(file, path, lambda name, size: None)
    chance = random.Random(7)
    directory = members[-1].start + members[-1].size
    assert len(members) > 4
    parts = [(member.start, member.start + member.size, re.escape(member.name)) for member in members if member.size]
    for member in members:  # another name is noticed in the directory, and a cut name where it ends
        told = rf"byte {member.offset:,}|name at byte|first bytes|{re.escape(member.name)}|is called|the directory"
        parts.append((member.offset, member.start, told))
    parts.append((directory, len(whole), "the directory of its members"))
    for first, behind, named in parts:
        for _ in range(4):
            at, changed = chance.randrange(first, behind), bytearray(whole)
            changed[at] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            with pytest.raises(DifferenceFound, match=named) as found, open_bundle(path):
                pass
            assert "b'" not in str(found.value)  # bytes as Python writes them
    path.write_bytes(whole)
    with open_bundle(path):
        pass


def remade(path: Path, change: dict[str, bytes], said: dict[str, object] | None = None) -> None:
    """Write a bundle anew with other members, and a statement that names them."""
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()} | change
    contents = {name: content for name, content in contents.items() if content is not None}
    statement = json.loads(contents.pop(STATEMENT))
    statement["subject"] = [
        {"name": one.name, "digest": {"sha256": one.sha256}} for one in map(content_of, contents, contents.values())
    ]
    statement["predicate"]["run"] |= said or {}
    with path.open("wb") as out:
        everything = {STATEMENT: canonical_json(statement), **contents}
        write_archive(out, [content_of(name, content) for name, content in everything.items()])


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"head": "00"}, "head"),
        ({"status": "failed"}, "status"),
        ({"seed": "4"}, "seed"),
        ({"turns": 1}, "turns"),
        ({"more": 1}, "more"),
    ],
)
def test_what_a_statement_says_of_the_run_is_compared(
    lived: Path, tmp_path: Path, said: dict[str, object], named: str
) -> None:
    path = turnwise.bundle(lived, tmp_path / "a.bundle").path
    remade(path, {})
    with open_bundle(path):
        pass  # the control: a bundle that was only written anew holds
    remade(path, {}, said)
    with pytest.raises(DifferenceFound, match=f"the run's {named}"), open_bundle(path):
        pass


def test_members_that_are_not_the_run_s_are_named(lived: Path, tmp_path: Path) -> None:
    for name, content in (
        ("world/plan.json", b"{}"),
        ("world/codes/x/y.py", b""),
        ("extra", b"1"),
        ("models/m/x", b""),
    ):
        path = turnwise.bundle(lived, tmp_path / f"{name.replace('/', '-')}.bundle").path
        remade(path, {name: content})
        with pytest.raises(DifferenceFound, match=name), open_bundle(path):
            pass


def test_a_forged_run_is_found_when_it_is_executed(lived: Path, tmp_path: Path) -> None:
    """Whoever makes everything anew, but for what turns do, is found by executing them."""
    from tests.history.forger import rechained

    forged = tmp_path / "forged.journal"
    shutil.copyfile(lived, forged)
    with closing(sqlite3.connect(forged, isolation_level=None)) as connection:
        connection.execute("UPDATE turns SET state = 'another' WHERE state IS NOT NULL")
    rechained(forged)
    made = turnwise.bundle(forged, tmp_path / "a.bundle")
    assert turnwise.verify_bundle(made.path, workers=1).run.difference is not None


def test_a_fork_is_bundled_with_its_parent_s_rounds(lived: Path, tmp_path: Path) -> None:
    fork = tmp_path / "fork.journal"
    turnwise.fork(lived, at=2, journal=fork).result().close()
    made = turnwise.bundle(fork, tmp_path / "a.bundle")
    with turnwise.open(lived) as run:
        assert made.head == run.head  # nothing was changed
    with journal_of(made.path) as journal, turnwise.open(journal) as run:
        run.check()
        assert [record.round for record in run.rounds] == [1, 2, 3, 4]
    assert turnwise.verify_bundle(made.path, workers=1).run.difference is None


def test_who_is_not_trusted_is_not_believed(lived: Path, tmp_path: Path) -> None:
    private, _, _ = make_keys(tmp_path / "me")
    _, public, _ = make_keys(tmp_path / "you")
    signed = turnwise.bundle(lived, tmp_path / "a.bundle", sign=private).path
    plain = turnwise.bundle(lived, tmp_path / "b.bundle").path
    for path, what in ((signed, "not by a key that you trust"), (plain, "nobody has signed")):
        with pytest.raises(DifferenceFound, match=what):
            turnwise.verify_bundle(path, trust=[public])
    assert turnwise.verify_bundle(signed, workers=1).trusted is None


def test_nothing_is_left_behind_and_nothing_overwritten(lived: Path, tmp_path: Path) -> None:
    path = turnwise.bundle(lived, tmp_path / "a.bundle").path
    with pytest.raises(UsageError, match="exists already"):
        turnwise.bundle(lived, path)
    with journal_of(path) as journal, turnwise.open(journal) as run:
        assert run.last_round == 4
    assert not journal.exists()
    with journal_of(lived) as journal:
        assert journal == lived
    assert sorted(tmp_path.iterdir()) == [path]
