"""The page on tools: its examples run as they stand there, and its tables have every key with its default."""

from __future__ import annotations

import asyncio
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

import turnwise
from tests.cli.conftest import Command, command
from turnwise.cli.errors import DONE
from turnwise.core.tool_plan import CALLS_MAX_DEFAULT
from turnwise.tools.desk import ToolDesk
from turnwise.tools.kinds.files import FilesSettings
from turnwise.tools.kinds.http import HttpSettings
from turnwise.tools.kinds.python import PythonSettings
from turnwise.tools.kinds.wasm import WasmSettings
from turnwise.tools.server_settings import ServerSettings
from turnwise.world import Tools
from turnwise_guest.errors import EffectErrorKind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")

__all__ = ["command"]


def section(heading: str) -> str:
    _, found, rest = PAGE.partition(f"\n## {heading}")
    assert found, heading
    return rest.partition("\n## ")[0]


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_first_example_works_as_it_stands_there(tmp_path: Path) -> None:
    """Its comments are the two files that it names."""
    example = blocks(PAGE, "toml")[0]
    tables = tomllib.loads(example)
    assert list(tables) == ["tools", "agents"]
    for name, code in re.findall(r'= "(\w+\.py)" +# (.*)$', example, re.MULTILINE):
        (tmp_path / name).write_text(code + "\n", encoding="utf-8")
    begin = '[world]\nname = "w"\n[[messages]]\nto = "clerk"\nbody = "begin"\n'
    (tmp_path / "world.toml").write_text(begin + example, encoding="utf-8")
    assert turnwise.check(tmp_path) == []
    with turnwise.run(tmp_path, journal=tmp_path / "w.journal") as run:
        assert run.result == 5


def test_the_commands_work_as_they_stand_there(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (new,) = re.findall(r"`turnwise (new shop --template tools)`", PAGE)
    lines = [f"turnwise {new}", *blocks(section("Look and try"), "sh")[0].splitlines(), "turnwise run shop"]
    printed = []
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "turnwise"
        ended = command(*arguments)
        assert ended.code == DONE, (line, ended.err)
        printed.append(ended.out)
    assert "calc.total" in printed[1]
    assert printed[2].startswith("0.8\n")
    assert '{"bill": 2.7, "missing": ["melon"]}' in printed[3]


def test_the_agent_of_the_page_works(tmp_path: Path) -> None:
    (code,) = blocks(section("From an agent"), "python")
    source = (
        code.rstrip()
        + '\n    t.finish([found.data["matches"][0]["path"], [one.data for one in both], len(t.tools())])\n'
    )
    (tmp_path / "agent.py").write_text(source, encoding="utf-8")
    (tmp_path / "calc.py").write_text("def add(a: int, b: int) -> int: return a + b\n", encoding="utf-8")
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "list.txt").write_text("apples\npears\n", encoding="utf-8")
    world = turnwise.World(
        "w",
        agents={
            "agent": turnwise.Agent("agent.py", start=True, grants=turnwise.Grants(call=["calc", "shelf"], finish=True))
        },
        tools={"calc": Tools("python", {"path": "calc.py"}), "shelf": Tools("files", {"folder": "shelf"})},
        folder=tmp_path,
    )
    with turnwise.run(world, journal=tmp_path / "w.journal") as run:
        assert run.result == ["list.txt", [3, 7], 4]


def test_the_pure_tool_of_the_page_works(tmp_path: Path) -> None:
    text = section("`wasm`: pure tools in the sandbox")
    (tmp_path / "dice.py").write_text(blocks(text, "python")[0], encoding="utf-8")
    settings = tomllib.loads(blocks(text, "toml")[0])["tools"]["dice"]

    async def run() -> tuple[str, str]:
        desk = ToolDesk([ServerSettings("dice", settings.pop("kind"), settings, tmp_path)])
        try:
            (spec,) = (await desk.start())["dice"]
            assert spec.pure
            return await desk.call("dice", "roll", '{"dice":3}'), await desk.call("dice", "roll", '{"dice":0}')
        finally:
            await desk.close()

    rolled, refused = asyncio.run(run())
    assert re.fullmatch(r'\{"ok":\{"data":\[[1-6],[1-6],[1-6]\],"text":"\[[1-6],[1-6],[1-6]\]"\}\}', rolled)
    assert '"kind":"invalid"' in refused


def table(heading: str) -> dict[str, str]:
    """Keys of the table of a section, each with its default."""
    rows = section(heading).partition("\n| key | default | meaning |\n")[2].partition("\n\n")[0]
    return {key: default.strip("` ") for key, default in re.findall(r"^\| `(\w+)` \| (.*?) \|", rows, re.MULTILINE)}


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("`python`", PythonSettings),
        ("`files`", FilesSettings),
        ("`http`", HttpSettings),
        ("`wasm`", WasmSettings),
    ],
)
def test_every_key_of_a_kind_is_there_with_its_default(heading: str, settings: type[msgspec.Struct]) -> None:
    fields = msgspec.structs.fields(settings)
    said = table(heading)
    assert list(said) == [field.encode_name for field in fields]
    for field in fields:
        default = said[field.encode_name]
        if isinstance(field.default, int | float):
            assert float(default) == field.default, field.encode_name
        elif field.default_factory is not msgspec.NODEFAULT or field.default == ():
            assert default in ("[]", "{}"), field.encode_name


def test_every_common_key_is_there_with_its_default() -> None:
    made: Any = Tools("python")
    said = table("Keys of every server")
    assert list(said) == ["kind", "calls_max", "calls_at_once", "seconds_max", "reply_kib", "idempotent", "environment"]
    for key, default in said.items():
        if key != "kind":
            assert tomllib.loads(f"x = {default}")["x"] == getattr(made, key), key
    assert int(said["calls_max"]) == CALLS_MAX_DEFAULT


def test_every_kind_of_error_is_there() -> None:
    kinds = re.findall(r"^\| `(\w+)` \|", section("From an agent"), re.MULTILINE)
    assert set(kinds) <= set(get_args(EffectErrorKind))
    assert len(kinds) == 7
