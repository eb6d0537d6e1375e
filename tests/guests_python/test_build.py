"""The build hook: when it builds, and what it does to the memory that a component stores."""

from __future__ import annotations

import importlib.util
import struct
import sys
from array import array
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leb128(value: int, *, signed: bool = False) -> bytes:
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        if value == 0 and not (signed and byte & 0x40):
            return bytes([*out, byte])
        out.append(byte | 0x80)


def section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + leb128(len(content)) + content


def component(*segments: tuple[int, bytes]) -> bytes:
    """A component of one module with active data segments, after a custom section."""
    data = leb128(len(segments)) + b"".join(
        b"\0\x41" + leb128(address, signed=True) + b"\x0b" + leb128(len(content)) + content
        for address, content in segments
    )
    module = b"\0asm\1\0\0\0" + section(5, b"\1\0\1") + section(11, data)
    return b"\0asm\x0d\0\1\0" + section(0, b"\4name") + section(1, module)


def objects(*pairs: tuple[int, int]) -> bytes:
    return array("I", [number for pair in pairs for number in pair]).tobytes()


def words(content: bytes, count: int) -> tuple[int, ...]:
    """The last words of the last segment."""
    return struct.unpack(f"<{count}I", content[-4 * count :])


def test_listed_objects_are_made_immortal(hook: ModuleType) -> None:
    memory = struct.pack("<6I", 3, 0x7000, 99, 1, 0x7000, 98)
    before = component((0x64, b"other"), (0x10_0000, memory))
    after, count = hook.make_immortal(before, objects((0x10_0000, 0x7000), (0x10_000C, 0x7000)))
    assert count == 2
    assert words(after, 6) == (5 << 28, 0x7000, 99, 5 << 28, 0x7000, 98)
    assert after[:-24] == before[:-24]


def test_what_is_no_object_any_more_is_left_alone(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "OBJECTS_LOST_MAX", 1.0)
    memory = struct.pack("<8I", 0, 0x7000, 0x3A_0000, 0x7000, 2, 0x7004, 7 << 28, 0x7000)
    before = component((0x10_0000, memory))
    listed = [(0x10_0000 + 8 * n, 0x7000) for n in range(4)] + [
        (0x10_001C, 0x7000),
        (0x50, 0x7000),
        (0x90_0000, 0x7000),
    ]
    assert hook.make_immortal(before, objects(*listed)) == (before, 0)


def test_another_layout_of_objects_stops_the_build(hook: ModuleType) -> None:
    before = component((0x10_0000, struct.pack("<4I", 0, 0, 1, 0x7000)))
    with pytest.raises(RuntimeError, match="1 of 1 objects are not where the interpreter said"):
        hook.make_immortal(before, objects((0x10_0000, 0x7000)))


def test_another_form_of_component_stops_the_build(hook: ModuleType) -> None:
    module = b"\0asm\1\0\0\0" + section(11, b"\1\1\0")
    with pytest.raises(RuntimeError, match="in another way"):
        hook.make_immortal(b"\0asm\x0d\0\1\0" + section(1, module), objects((0x64, 0x7000)))


def test_nothing_is_built_twice_and_any_change_is_seen(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Path] = []

    def componentize(root: Path, temporary: Path) -> tuple[bytes, dict[str, object]]:
        assert temporary.is_dir()
        built.append(root)
        return b"component %d" % len(built), {"cpython": "3.14"}

    monkeypatch.setattr(hook, "_componentize", componentize)
    source = tmp_path / "guests" / "python" / "a.py"
    source.parent.mkdir(parents=True)
    source.write_text("1\n")
    (tmp_path / "wit").mkdir()
    (tmp_path / "hatch_build.py").write_text("")
    folder = hook.build(tmp_path)
    assert (folder / "interpreter.wasm").read_bytes() == b"component 1"
    hook.build(tmp_path)
    assert len(built) == 1
    (folder / "interpreter.wasm").write_bytes(b"damaged")
    hook.build(tmp_path)
    source.write_text("2\n")
    hook.build(tmp_path)
    source.rename(source.with_name("b.py"))
    hook.build(tmp_path)
    (folder / "interpreter.json").write_text("{")
    hook.build(tmp_path)
    hook.build(tmp_path, force=True)
    assert len(built) == 6
    assert sorted(path.name for path in folder.iterdir()) == ["interpreter.json", "interpreter.wasm"]


def test_a_build_that_fails_says_why(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho the reason >&2\nexit 1\n")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(RuntimeError, match="the reason"):
        hook.build(ROOT.joinpath("wit").parent, force=True)
