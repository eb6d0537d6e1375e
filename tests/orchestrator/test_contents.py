"""Contents: put once, handed on by handles, kept once in the journal, and read by nobody who was given no handle."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

import turnwise
from turnwise import Agent, Grants, InitialMessage, JournalError, World
from turnwise.core.contents import Kept, Piece
from turnwise.journal import Journal
from turnwise.journal.run import Run
from turnwise.orchestrator import contents as contents_module
from turnwise.orchestrator.contents import Contents
from turnwise.sharedmem import memory_file

PUTTER = """
def turn(t):
    if t.round == 1:
        content = bytes(range(256)) * t.args.get("times", 100)
        handle = t.put(content)
        t.state = {"handle": handle, "size": handle.bytes, "again": t.get(handle, 3, 4).hex()}
        t.send("reader", "read this", attach=handle)
        t.wake_in(2)
    else:
        t.state["kept"] = len(t.get(t.state["handle"]))
        t.send("reader", {"told": t.state["handle"]})
"""

READER = """
def turn(t):
    for message in t.inbox:
        handle = message.attach or message.json()["told"]
        content = t.get(handle)
        t.state.setdefault("read", []).append([len(content), t.get(handle, 250, 10).hex(), t.get(handle, 10**9).hex()])
        t.send("second", message.body, attach=handle)
"""

SECOND = """
import hashlib
def turn(t):
    t.state = [hashlib.sha256(t.get(message.attach)).hexdigest() for message in t.inbox]
"""


def world(times: int = 100, **options: Any) -> World:
    return World(
        name="contents",
        agents={
            "putter": Agent(
                PUTTER, args={"times": times}, start=True, grants=Grants(send=["reader"]), **options.pop("putter", {})
            ),
            "reader": Agent(READER, grants=Grants(send=["second"])),
            "second": Agent(SECOND),
        },
        **options,
    )


def state(run: Run, agent: str) -> Any:
    return json.loads(run.state(agent))


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contents") / "run.journal"
    turnwise.run(world(), journal=path)
    return path


def copied(journal: Path, folder: Path) -> Path:
    copy = folder / "copy.journal"
    copy.write_bytes(journal.read_bytes())
    return copy


def test_a_handle_leads_to_the_content_wherever_it_was_sent_or_kept(journal: Path) -> None:
    content = bytes(range(256)) * 100
    with turnwise.open(journal) as run:
        assert not list(run.failures)
        putter = state(run, "putter")
        assert (putter["size"], putter["again"], putter["kept"]) == (25_600, "03040506", 25_600)
        part = (content[250:260]).hex()
        assert state(run, "reader")["read"] == [[25_600, part, ""], [25_600, part, ""]]
        assert state(run, "second") == [hashlib.sha256(content).hexdigest()]
        run.check()


def test_the_journal_holds_a_content_once_and_messages_hold_its_handle(journal: Path) -> None:
    connection = sqlite3.connect(journal)
    content_hash = hashlib.sha256(bytes(range(256)) * 100).digest()
    assert connection.execute("SELECT count(*) FROM blobs WHERE hash = ?", (content_hash,)).fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM contents").fetchone() == (1,)
    longest = max(len(row[0]) for row in connection.execute("SELECT reply FROM effects") if isinstance(row[0], str))
    assert longest < 200
    assert all(isinstance(row[0], str) for row in connection.execute("SELECT request FROM effects"))


def test_replay_and_verify_make_the_contents_again(journal: Path) -> None:
    assert turnwise.replay(journal, workers=2).difference is None
    assert turnwise.verify(journal).difference is None
    assert turnwise.verify(journal, rounds=(3, None)).difference is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE contents SET blob = blob + 1",
        "DELETE FROM contents",
        "INSERT INTO contents SELECT round, place, nr + 7, blob FROM contents",
        "UPDATE messages SET attach = NULL",
        "UPDATE messages SET attach = 'x'",
        "UPDATE contents SET blob = (SELECT max(id) FROM blobs)",
    ],
)
def test_a_forged_content_is_found(journal: Path, tmp_path: Path, change: str) -> None:
    copy = copied(journal, tmp_path)
    connection = sqlite3.connect(copy)
    connection.execute("INSERT INTO blobs SELECT 1 + max(id), ?, 1, 'x' FROM blobs", (hashlib.sha256(b"x").digest(),))
    connection.execute(change)
    connection.commit()
    connection.close()
    with pytest.raises(JournalError), turnwise.open(copy) as run:
        run.check()
    try:
        found = turnwise.replay(copy).difference
    except JournalError as error:
        assert "damaged" in str(error)
        return
    assert found is not None


def test_a_run_that_was_stopped_goes_on_with_its_contents(tmp_path: Path) -> None:
    whole = turnwise.run(world(), journal=tmp_path / "whole.journal")
    with world().start(journal=tmp_path / "part.journal") as live:
        live.step()
    resumed = turnwise.resume(tmp_path / "part.journal").result()
    assert resumed.head == whole.head


def test_a_fork_has_the_contents_of_its_parent(journal: Path, tmp_path: Path) -> None:
    forked = turnwise.fork(journal, 1, journal=tmp_path / "fork.journal").result()
    with turnwise.open(journal) as run:
        assert forked.head == run.head
        assert state(forked, "second") == state(run, "second")
    assert turnwise.replay(tmp_path / "fork.journal").difference is None
    turnwise.detach(tmp_path / "fork.journal")
    with turnwise.open(tmp_path / "fork.journal") as detached:
        detached.check()


def test_a_bundle_carries_contents_and_can_be_verified_elsewhere(journal: Path, tmp_path: Path) -> None:
    turnwise.bundle(journal, tmp_path / "run.bundle")
    assert turnwise.verify_bundle(tmp_path / "run.bundle").run.difference is None


THIEF = """
import hashlib
from turnwise_guest import EffectError

def turn(t):
    content = bytes(range(256)) * 100
    found = []
    for handle in (hashlib.sha256(content).hexdigest() + "-25600", "0" * 64 + "-25600", "", "x"):
        try:
            t.get(handle)
            found.append("read")
        except EffectError as error:
            found.append(error.kind)
    t.state = {"found": found, "own": t.put(content)}
"""

FORGER = """
def turn(t):
    t.send("reader", "read this", attach="0" * 64 + "-25600")
"""


def test_to_know_a_content_gives_no_handle_and_a_handle_cannot_be_made_up(tmp_path: Path) -> None:
    agents = world().agents
    both = World(
        name="contents",
        agents={
            **agents,
            "thief": Agent(THIEF, start=True),
            "forger": Agent(FORGER, start=True, grants=Grants(send=["reader"])),
        },
    )
    run = turnwise.run(both, journal=tmp_path / "run.journal")
    thief = state(run, "thief")
    assert thief["found"] == ["denied"] * 4
    assert thief["own"] != state(run, "putter")["handle"]  # one content, two handles: neither tells of the other
    (failure,) = run.failures
    assert failure.agent == "forger"
    assert failure.failure is not None
    assert failure.failure.kind == "denied"
    connection = sqlite3.connect(tmp_path / "run.journal")
    assert connection.execute("SELECT count(*), count(DISTINCT blob) FROM contents").fetchone() == (2, 1)


FAILING = """
def turn(t):
    if t.turn == 1:
        t.wake_in(1)
        t.send("other", t.put(b"x" * 5000))
        t.state = {}
    elif t.turn == 2:
        t.wake_in(1)
        t.put(b"lost" * 2000)
        raise ValueError("on purpose")
"""


def test_what_a_failed_turn_has_put_is_not_there(tmp_path: Path) -> None:
    made = World(
        name="f",
        rounds_max=4,
        agents={"a": Agent(FAILING, start=True, grants=Grants(send=["other"]))}
        | {"other": Agent("def turn(t):\n    t.state = [len(t.get(m.body)) for m in t.inbox]\n")},
    )
    run = turnwise.run(made, journal=tmp_path / "run.journal")
    assert state(run, "other") == [5000]
    assert len(list(run.failures)) == 1
    connection = sqlite3.connect(tmp_path / "run.journal")
    assert connection.execute("SELECT round FROM contents").fetchall() == [(1,)]
    assert turnwise.replay(tmp_path / "run.journal").difference is None


GREEDY = """
from turnwise_guest import EffectError

def turn(t):
    t.state = []
    for _ in range(t.args["n"]):
        try:
            t.put(bytes(t.args["size"]))
            t.state.append("kept")
        except EffectError as error:
            t.state.append(error.message)
"""


def test_bounds_of_a_turn_and_of_the_run_are_keys_of_the_world(tmp_path: Path) -> None:
    mib = 1024 * 1024
    one = World(
        name="g",
        agents={"a": Agent(GREEDY, args={"n": 3, "size": mib // 2 + 1}, start=True, put_mib=1, fuel=9_000_000_000)},
    )
    kept, *refused = state(turnwise.run(one, journal=tmp_path / "a.journal"), "a")
    assert kept == "kept"
    assert all("`put_mib` of its kind" in message for message in refused)
    small = World(name="g", agents={"a": Agent(GREEDY, args={"n": 60, "size": 1}, start=True, put_mib=1)})
    assert set(state(turnwise.run(small, journal=tmp_path / "b.journal"), "a")) == {"kept"}
    many = World(
        name="g", contents_mib=1, agents={"a": Agent(GREEDY, count=3, args={"n": 1, "size": mib // 2}, start=True)}
    )
    run = turnwise.run(many, journal=tmp_path / "c.journal")
    assert [turn.agent for turn in run.failures] == ["a-3"]
    assert "world.contents_mib" in next(iter(run.failures)).failure.message


def test_a_redacted_content_is_gone_and_the_heads_stay(journal: Path, tmp_path: Path) -> None:
    from turnwise.evidence.redact import redact

    out = tmp_path / "redacted.journal"
    redact(journal, out, agents=["putter"])
    with turnwise.open(journal) as before, turnwise.open(out) as after:
        assert before.head == after.head
        after.check()
    with Journal.open(out) as file:
        assert len(file.contents.withheld()) == 1
    assert bytes(range(256)) not in out.read_bytes()
    replayed = turnwise.replay(out)
    assert replayed.difference is None
    assert any("taken from the journal" in line for line in replayed.unproved)


def test_messages_from_outside_have_none(tmp_path: Path) -> None:
    source = "def turn(t):\n    t.state = [m.attach for m in t.inbox]\n"
    made = World(name="o", agents={"a": Agent(source)}, messages=[InitialMessage("a", "hello")])
    assert state(turnwise.run(made, journal=tmp_path / "run.journal"), "a") == [None]


PATIENT = """
from turnwise_guest import EffectError

def turn(t):
    handle = t.put(b"x" * 100)
    try:
        t.ask("May I?")
    except EffectError as error:
        t.state = [error.kind, error.message]
"""


def test_a_turn_that_holds_contents_does_not_wait_for_people(tmp_path: Path) -> None:
    made = World(name="p", agents={"a": Agent(PATIENT, start=True, grants=Grants(ask=True))})
    kind, message = state(turnwise.run(made, journal=tmp_path / "run.journal"), "a")
    assert kind == "refused"
    assert "ask in another" in message


def test_a_large_content_has_a_file_of_its_own_and_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents_module, "FILE_BYTES_MIN", 100)
    contents = Contents()
    for size in (99, 100, 5_000):
        content = bytes(range(256)) * 20
        kept = Kept(f"{size}", size, 1, 0, 0)
        contents.keep(kept, content[:size])
        assert bytes(contents.view(kept)) == content[:size]
        assert contents.view(kept).readonly
        assert contents.filled(("a", Piece(kept, 10, 20), "b")) == b'a{"data":"' + b64encode(content[10:30]) + b'"}b'
    assert contents.bytes == 99 + 100 + 5_000
    kinds = [type(content).__name__ for content in contents._contents.values()]
    assert kinds == (["bytes", "SealedFile", "SealedFile"] if sys.platform == "linux" else ["bytes"] * 3)
    contents.close()
    contents.close()
    assert contents.bytes == 0


@pytest.mark.skipif(sys.platform != "linux", reason="memory files exist on Linux only")
def test_a_content_for_which_there_is_no_descriptor_is_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(length: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(memory_file, "create", refused)
    monkeypatch.setattr(contents_module, "FILE_BYTES_MIN", 100)
    contents = Contents()
    kept = Kept("", 100, 1, 0, 0)
    contents.keep(kept, b"x" * 100)
    assert bytes(contents.view(kept)) == b"x" * 100
