"""The files of the interpreter module: missing or damaged, they are said by name, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnwise.errors import EnvironmentFailure
from turnwise.sandbox import python


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\xff", b'{"sha256": 1}', b"null"])
def test_a_description_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setattr(python, "_HERE", tmp_path)
    if content is not None:
        (tmp_path / "interpreter.json").write_bytes(content)
    with pytest.raises(EnvironmentFailure, match=r"interpreter\.json") as caught:
        python.module_info.__wrapped__()
    assert "hatch_build.py" in (caught.value.hint or "")
