"""What docs/mcp.md shows is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import turnwise
from turnwise.mcp.server import make_server
from turnwise.tools.kinds.mcp.settings import McpSettings, OAuthSettings, SamplingSettings

PAGE = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")


WORLDS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(3))
def test_the_worlds_of_the_guide_are_well(number: int, tmp_path: Path) -> None:
    toml = WORLDS[number].replace("models/writer", "builtin:demo")
    tool = "tickets.search" if "tickets" in toml else "editor.mend"
    if "[agents." not in toml:
        toml += f'[agents.clerk]\nsource = "clerk.py"\ngrants = {{ call = ["{tool}"] }}\n'
    (tmp_path / "world.toml").write_text(f'[world]\nname = "guide"\n{toml}start = true\n')
    (tmp_path / "clerk.py").write_text(f"def turn(t):\n    t.call({tool!r}, {{}})\n")
    assert [str(problem) for problem in turnwise.check(tmp_path)] == []
    assert len(WORLDS) == 3


def test_each_key_is_told(tmp_path: Path) -> None:
    told = set(re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE))
    keys = {name for cell in told for name in re.findall(r"`(\w+)`", cell)}
    for struct in (McpSettings, SamplingSettings):
        assert set(struct.__struct_fields__) <= keys
    told_of_signing_in = set(re.findall(r"`(\w+)`", PAGE.partition("### Signing in")[2].partition("###")[0]))
    assert set(OAuthSettings.__struct_fields__) <= told_of_signing_in


async def _tools(folder: Path) -> set[str]:
    return {tool.name for tool in await make_server(folder).list_tools()}


def test_each_tool_is_told(tmp_path: Path) -> None:
    import asyncio

    [table] = re.findall(r"\| tool \| what \|\n(.*?)\n\n", PAGE, re.DOTALL)
    cells = [line.split("|")[1] for line in table.splitlines()[1:]]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == asyncio.run(_tools(tmp_path))


def test_the_table_for_other_programs_is_json() -> None:
    [text] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert json.loads(text)["mcpServers"]["turnwise"]["args"][0] == "mcp"
