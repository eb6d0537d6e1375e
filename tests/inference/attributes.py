"""Models whose kernels compute something else: the weights are the same, an attribute of their operators is not."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Final

_FLOAT: Final = b"\x15"  # field 2 of an AttributeProto, 4 bytes
_INT: Final = b"\x18"  # field 3, a varint


def with_attribute(model: Path, folder: Path, name: str, value: float) -> Path:
    """Copy a model folder; every operator that has the attribute `name` has `value` for it there.

    An int must be below 128, before and after, so that no length in the file changes.
    """
    shutil.copytree(model, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    graph = next(folder.rglob("model.onnx"))
    data = graph.read_bytes()
    begin = b"\x0a" + bytes([len(name)]) + name.encode() + (_INT if isinstance(value, int) else _FLOAT)
    new = bytes([value]) if isinstance(value, int) else struct.pack("<f", value)
    first, *others = data.split(begin)
    assert others, f"no operator has {name}"
    assert all(isinstance(value, float) or other[0] < 128 for other in others)
    assert any(other[: len(new)] != new for other in others), f"{name} is {value} already"
    graph.write_bytes(begin.join([first, *(new + other[len(new) :] for other in others)]))
    return folder
