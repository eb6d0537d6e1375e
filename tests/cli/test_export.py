"""`turnwise export`, as a command line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Command, refuses, uninstall


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_tables_are_files_of_a_new_folder(lived: Path, tmp_path: Path, command: Command, kind: str) -> None:
    ended = command("export", lived, "--to", kind, "-o", tmp_path / "all")
    assert ended.code == 0
    files = [Path(line) for line in ended.out.splitlines()]
    assert tmp_path / "all" / f"turns.{kind}" in files
    assert all(path.is_file() for path in files)
    assert (tmp_path / "all" / f"turns.{kind}").stat().st_size > 0
    ended = command("export", lived, "--to", kind, "-o", tmp_path / "one", "--table", "turns", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["files"] == [str(tmp_path / "one" / f"turns.{kind}")]


def test_traces_and_logs_are_files(lived: Path, tmp_path: Path, command: Command) -> None:
    for kind in ("perfetto", "inspect", "otel"):
        ended = command("export", lived, "--to", kind, "-o", tmp_path / kind)
        assert (ended.code, ended.out) == (0, f"{tmp_path / kind}\n")
    assert json.loads((tmp_path / "perfetto").read_text())["traceEvents"]
    assert zipfile.is_zipfile(tmp_path / "inspect")
    assert all("resourceSpans" in json.loads(line) for line in (tmp_path / "otel").read_text().splitlines())


def test_a_bundle_gives_what_its_journal_gives(lived: Path, tmp_path: Path, command: Command) -> None:
    assert command("bundle", lived, "-o", tmp_path / "a.bundle").code == 0
    for number, source in enumerate((lived, tmp_path / "a.bundle")):
        assert command("export", source, "--to", "otel", "-o", tmp_path / str(number)).code == 0
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


def test_what_cannot_be_exported_is_named_and_leaves_no_file(lived: Path, tmp_path: Path, command: Command) -> None:
    out, there = tmp_path / "new", tmp_path / "there"
    there.write_bytes(b"mine")
    for arguments, said in (
        ((lived, "--to", "excel", "-o", out), "there is no format 'excel'"),
        ((lived, "--to", "csv", "-o", out, "--table", "nothing"), "nothing"),
        ((lived, "--to", "otel", "-o", out, "--table", "turns"), "otel has no tables"),
        ((lived, "--to", "csv", "-o", there), "it exists already, and is not overwritten"),
        ((lived, "--to", "otel", "-o", there), "it exists already, and is not overwritten"),
        ((tmp_path / "none.journal", "--to", "otel", "-o", out), "none.journal"),
        ((there, "--to", "otel", "-o", out), "there"),
        ((lived, "--to", "csv", "-o", tmp_path / "no" / "x"), "No such file or directory"),
        ((lived, "--to", "otel"), "--out"),
    ):
        refuses(command, "export", arguments, said, out)
    assert there.read_bytes() == b"mine"


def test_without_pyarrow_the_extra_is_named(
    lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    uninstall("pyarrow", monkeypatch)
    ended = command("export", lived, "--to", "parquet", "-o", tmp_path / "x")
    assert (ended.code, ended.out) == (2, "")
    assert 'pip install "turnwise[tables]"' in ended.err
    assert not (tmp_path / "x").exists()
    assert command("export", lived, "--to", "csv", "-o", tmp_path / "x").code == 0
