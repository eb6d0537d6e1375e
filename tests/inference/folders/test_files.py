from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from turnwise.errors import ModelError
from turnwise.inference.folders.files import FolderFiles


class Configuration(msgspec.Struct):
    size: int
    limit: float = 0.0


def read(path: Path, text: str) -> Configuration:
    (path / "config.json").write_text(text)
    files = FolderFiles(path)
    return files.json(files.file("config.json"), Configuration)


@pytest.mark.parametrize("value", ["Infinity", "[0.0, -Infinity]", "NaN"])
def test_what_python_writes_as_json_is_read(tmp_path: Path, value: str) -> None:
    assert read(tmp_path, f'{{"size": 3, "time_step_limit": {value}}}').size == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"size": Infinity}', "Expected `int`"),
        ('{"size": "Infinity"}', "Expected `int`"),
        ('{"size": 3, "x": Infinite}', "JSON"),
        ('{"size": 3, "x": [Infinity', "Expecting"),
        ('{"size": 3, "x": ' + "[" * 100_000 + "Infinity", "recursion depth"),
        ("NaN", "Expected `object`"),
    ],
)
def test_anything_else_is_damage(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(tmp_path, text)
    assert reason in str(caught.value)
