"""`turnwise bundle`, `keygen` and `verify` of bundles, as command lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command, narrow, refuses, uninstall
from tests.history.test_verify import writers
from tests.inference import toy


@pytest.fixture
def keys(tmp_path: Path, command: Command) -> tuple[Path, Path]:
    ended = command("keygen", tmp_path / "me")
    assert ended.code == 0
    return tmp_path / "me.key", tmp_path / "me.pub"


@pytest.fixture
def signed(lived: Path, keys: tuple[Path, Path], tmp_path: Path, command: Command) -> Path:
    path = tmp_path / "a.bundle"
    assert command("bundle", lived, "-o", path, "--sign", keys[0]).code == 0
    return path


def test_a_signed_bundle_is_made_and_verified(
    lived: Path, keys: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "a.bundle"
    ended = command("bundle", lived, "-o", path, "--sign", keys[0])
    with turnwise.open(lived) as run:
        head = run.head
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == f"{path}: {path.stat().st_size:,} bytes, head {head}"
    assert lines[1].startswith("statement sha256 ")
    key = lines[2].removeprefix("signed by key ")
    ended = command("verify", path, "--trust", keys[1], "--workers", 1)
    assert ended.code == 0
    assert f"signed by key {key}\n" in ended.out
    assert ended.out.splitlines()[0].startswith("whole: ")
    assert f"head {head}" in ended.out
    assert narrow(ended.out)
    value = json.loads(command("verify", path, "--trust", keys[1], "--workers", 1, "--json").out)
    assert (value["equal"], value["bundle"]["trusted"], value["bundle"]["signers"]) == (True, key, [key])
    ended = command("verify", path, "--workers", 1)
    assert ended.code == 0
    assert f"not proved: who made it; it names key {key} (--trust compares)" in ended.out


def test_a_bundle_without_a_signature_says_so(lived: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "a.bundle"
    ended = command("bundle", lived, "-o", path, "--json")
    value = json.loads(ended.out)
    assert (ended.code, value["key"], value["bundle"], value["bytes"]) == (0, None, str(path), path.stat().st_size)
    assert "not signed\n" in ended.err
    ended = command("verify", path, "--workers", 1)
    assert ended.code == 0
    assert "not proved: who made it; it is not signed" in ended.out


def test_models_are_inside_or_named(tmp_path: Path, command: Command) -> None:
    journal = tmp_path / "a.journal"
    model = toy.write_attention_folder(tmp_path / "model")
    turnwise.run(writers(model), journal=journal).close()
    ended = command("bundle", journal, "-o", tmp_path / "named.bundle")
    assert "model model: named by its hash; who verifies it needs its files" in ended.out
    ended = command("bundle", journal, "-o", tmp_path / "inside.bundle", "--with-models")
    assert "model model: inside" in ended.out
    model.rename(tmp_path / "moved")
    ended = command("verify", tmp_path / "inside.bundle", "--require", "L2")
    assert ended.code == 0
    assert "L2 model: 36 of 36 replies compared" in ended.out
    assert command("verify", tmp_path / "named.bundle", "--require", "L2").code == 3
    ended = command("bundle", journal, "-o", tmp_path / "c.bundle", "--with-models")
    assert ended.code == 2
    assert f"{model}: the model model cannot be read: does not exist" in ended.err
    assert "--model model=PATH" in ended.err
    assert not (tmp_path / "c.bundle").exists()
    moved = f"model={tmp_path / 'moved'}"
    assert command("bundle", journal, "-o", tmp_path / "c.bundle", "--with-models", "--model", moved).code == 0
    ended = command("bundle", journal, "-o", tmp_path / "d.bundle", "--model", f"other={tmp_path / 'moved'}")
    assert ended.code == 2
    assert "the run has no model 'other'" in ended.err


@pytest.mark.parametrize("at", [0, 1, 2, 3, 40, 5_000, -1])
def test_a_changed_byte_ends_with_code_3(signed: Path, keys: tuple[Path, Path], command: Command, at: int) -> None:
    content = bytearray(signed.read_bytes())
    content[at] ^= 1
    signed.write_bytes(content)
    for options in ((), ("--trust", keys[1])):
        ended = command("verify", signed, *options)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err.startswith(f"error: {signed}: the bundle does not hold: ")
        assert "Nothing of it was executed; ask for it again." in ended.err
    for name in ("replay", "log", "export"):
        options = ("--to", "csv", "--out", signed.parent / "tables") if name == "export" else ()
        ended = command(name, signed, *options)
        assert (ended.code, ended.out) == (3, "")
        assert "the bundle does not hold" in ended.err


def test_a_bundle_under_another_name_is_called_damaged(signed: Path, command: Command) -> None:
    other = signed.rename(signed.with_suffix(".zip"))
    content = other.read_bytes()
    other.write_bytes(b"X" + content[1:])
    ended = command("verify", other)
    assert ended.code == 3
    assert "its first bytes are not those of a bundle" in ended.err
    other.write_bytes(content[:-1] + b"X")
    assert command("verify", other).code == 3
    signed.write_bytes(b"")  # cut off, under its own name
    assert command("verify", signed).code == 3


def test_a_journal_is_one_under_any_name(lived: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "a.bundle"
    path.write_bytes(lived.read_bytes())
    ended = command("verify", path, "--workers", 1)
    assert ended.code == 0
    assert ended.out.startswith("equal: ")


def test_a_signature_by_another_key_is_not_believed(
    lived: Path, signed: Path, tmp_path: Path, command: Command
) -> None:
    assert command("keygen", tmp_path / "other").code == 0
    ended = command("verify", signed, "--trust", tmp_path / "other.pub")
    assert (ended.code, ended.out) == (3, "")
    assert "its signature is not by a key that you trust" in ended.err
    assert "Nothing of it was executed." in ended.err
    both = ("--trust", tmp_path / "other.pub", "--trust", tmp_path / "me.pub")
    assert command("verify", signed, *both, "--workers", 1).code == 0
    plain = tmp_path / "plain.bundle"
    assert command("bundle", lived, "-o", plain).code == 0
    ended = command("verify", plain, "--trust", tmp_path / "me.pub")
    assert (ended.code, ended.out) == (3, "")
    assert "nobody has signed it" in ended.err
    ended = command("verify", lived, "--trust", tmp_path / "me.pub")
    assert ended.code == 2
    assert "a journal is not signed" in ended.err


def test_what_cannot_be_bundled_is_named_and_leaves_no_file(
    lived: Path, keys: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    out, there = tmp_path / "new.bundle", tmp_path / "there"
    there.write_bytes(b"mine")
    for arguments, said in (
        ((tmp_path / "none.journal", "-o", out), "none.journal"),
        ((there, "-o", out), "there"),
        ((lived, "-o", there), "the file exists already, and is not overwritten"),
        ((lived, "-o", tmp_path / "no" / "x.bundle"), "No such file or directory"),
        ((lived, "-o", out, "--sign", tmp_path / "none.key"), "the key cannot be read: No such file or directory"),
        ((lived, "-o", out, "--sign", keys[1]), "this is not an Ed25519 private key"),
        ((lived, "-o", out, "--sign", there), "this is not an Ed25519 private key"),
    ):
        refuses(command, "bundle", arguments, said, out)
    assert there.read_bytes() == b"mine"


def test_what_is_no_key_to_trust_is_named(signed: Path, keys: tuple[Path, Path], command: Command) -> None:
    for key, said in ((keys[0], "not an Ed25519 public key"), (signed.parent / "none.pub", "No such file")):
        ended = command("verify", signed, "--trust", key)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err


def test_a_key_is_never_overwritten(keys: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    content = keys[0].read_bytes()
    ended = command("keygen", tmp_path / "me")
    assert (ended.code, ended.out) == (2, "")
    assert "a key is never overwritten" in ended.err
    assert keys[0].read_bytes() == content
    ended = command("keygen", tmp_path / "no" / "me")
    assert ended.code == 2
    assert "No such file or directory" in ended.err


def test_keygen_says_what_each_file_is_for(tmp_path: Path, command: Command) -> None:
    ended = command("keygen", tmp_path / "k", "--json")
    value = json.loads(ended.out)
    assert (ended.code, value["private"], value["public"]) == (0, str(tmp_path / "k.key"), str(tmp_path / "k.pub"))
    assert f"--sign {tmp_path / 'k.key'}" in ended.err
    assert f"--trust {tmp_path / 'k.pub'}" in ended.err
    assert f"key {value['key']}\n" in ended.err


def test_without_the_library_for_keys_the_extra_is_named(
    lived: Path,
    signed: Path,
    keys: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:
    uninstall("cryptography", monkeypatch)
    for arguments in (
        ("keygen", tmp_path / "new"),
        ("bundle", lived, "-o", tmp_path / "b.bundle", "--sign", keys[0]),
        ("verify", signed, "--trust", keys[1]),
    ):
        ended = command(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert 'pip install "turnwise[evidence]"' in ended.err
        assert narrow(ended.err)
    assert command("bundle", lived, "-o", tmp_path / "b.bundle").code == 0
    assert command("verify", signed, "--workers", 1).code == 0  # who made it is not asked, and no key is needed
