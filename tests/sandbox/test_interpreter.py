"""The files of interpreters: missing or damaged, they are said by name, with what to do."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from turnwise.errors import EnvironmentFailure
from turnwise.sandbox import javascript, python
from turnwise.sandbox.interpreter import InterpreterFiles

BOTH = pytest.mark.parametrize("files", [python.FILES, javascript.FILES], ids=lambda files: files.language)


@BOTH
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\xff", b'{"sha256": 1}', b"null"])
def test_a_description_that_cannot_be_read_is_said(
    tmp_path: Path, files: InterpreterFiles, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "interpreter.json").write_bytes(content)
    with pytest.raises(EnvironmentFailure, match=r"interpreter\.json") as caught:
        replace(files, folder=tmp_path).info()
    assert f"python {files.build}" in (caught.value.hint or "")
    assert (Path(__file__).parents[2] / files.build).is_file()


@BOTH
def test_a_module_that_is_missing_is_said(tmp_path: Path, files: InterpreterFiles) -> None:
    with pytest.raises(EnvironmentFailure, match=rf"interpreter\.wasm is missing, so {files.language} agents"):
        replace(files, folder=tmp_path).module()


@BOTH
def test_the_description_fits_the_module(files: InterpreterFiles) -> None:
    content, info = files.module().read_bytes(), files.info()
    assert (info.sha256, info.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert bool(info.modules) == (files.language == "Python")
    assert info.engine[0].isdigit()
    assert info.builder[0].isdigit()
