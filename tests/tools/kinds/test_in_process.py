"""Each kind in the process that it has in a run: listed, called and confined there."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tools.kinds.test_http import PLAIN, Site
from turnwise.errors import TurnwiseError
from turnwise.tools.desk import ToolDesk
from turnwise.tools.server_settings import ServerSettings


async def use(server: ServerSettings, *calls: tuple[str, dict[str, Any]]) -> tuple[list[str], list[Any]]:
    """Return the names of its tools, and the outcomes of calls."""
    desk = ToolDesk([server])
    try:
        listed = await desk.start()
        assert desk.notices == []
        names = [spec.name for spec in listed[server.name]]
        return names, [json.loads(await desk.call(server.name, name, json.dumps(args))) for name, args in calls]
    finally:
        await desk.close()


@pytest.mark.skipif(sys.platform == "win32", reason="files cannot be opened relative to a folder there")
def test_files(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("alpha\x1b[2J\n", encoding="utf-8")
    server = ServerSettings("files", "files", {"folder": "docs", "write": ["out"]}, tmp_path)
    names, (read, written, outside, invalid) = asyncio.run(
        use(
            server,
            ("read", {"path": "a.txt"}),
            ("write", {"path": "out/b.txt", "text": "beta"}),
            ("write", {"path": "../b.txt", "text": "beta"}),
            ("read", {"path": "a.txt", "lines": 3}),
        )
    )
    assert names == ["list", "read", "search", "write"]
    assert read["ok"] == {"text": "alpha\x1b[2J", "data": {"from_line": 1, "to_line": 1, "lines": 1, "more": False}}
    assert written["ok"]["data"] == {"bytes": 4}
    assert outside["error"]["kind"] == "tool"
    assert invalid["error"]["kind"] == "invalid"
    assert (tmp_path / "docs" / "out" / "b.txt").read_text() == "beta"


def test_http() -> None:
    async def run() -> tuple[list[str], list[Any]]:
        async with Site(PLAIN).open() as site:
            url = f"http://127.0.0.1:{site.port}"
            return await use(
                ServerSettings("web", "http", {"hosts": [url]}),
                ("get", {"url": f"{url}/"}),
                ("get", {"url": "http://b/"}),
            )

    names, (found, refused) = asyncio.run(run())
    assert names == ["get"]
    assert found["ok"]["text"] == "hello"
    assert refused["error"]["kind"] == "tool"


def test_wasm(tmp_path: Path) -> None:
    source = (
        "def turn(t):\n"
        "    if t.args.get('list'):\n"
        "        t.finish({'tools': [{'name': 'add', 'output_schema': {'type': 'integer'}}]})\n"
        "    else:\n"
        "        t.finish({'data': sum(t.args['args']['numbers'])})\n"
    )
    (tmp_path / "tool.py").write_text(source, encoding="utf-8")
    server = ServerSettings("pure", "wasm", {"path": "tool.py"}, tmp_path)
    names, (right, wrong) = asyncio.run(use(server, ("add", {"numbers": [1, 2]}), ("add", {"numbers": [0.5]})))
    assert names == ["add"]
    assert right["ok"] == {"text": "3", "data": 3}
    assert "0.5 is not of type 'integer'" in wrong["error"]["message"]


def test_python(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(
        "async def shout(text: str) -> list[str]:\n    print(text)\n    return [text.upper()]\n", encoding="utf-8"
    )
    server = ServerSettings("own", "python", {"path": "tools.py"}, tmp_path)
    names, (found,) = asyncio.run(use(server, ("shout", {"text": "hey"})))
    assert names == ["shout"]
    assert found == {"ok": {"text": '["HEY"]', "data": ["HEY"]}}


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("files", {}, "folder: is missing"),
        ("files", {"folder": "nowhere"}, "the folder 'nowhere': No such file or directory"),
        ("http", {"hosts": []}, "hosts: no host is listed"),
        ("wasm", {"path": "nowhere.wasm"}, "'nowhere.wasm': No such file or directory"),
        ("python", {"path": "nowhere.py"}, "nowhere.py cannot be imported: FileNotFoundError"),
    ],
)
def test_what_cannot_start_says_why(tmp_path: Path, kind: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(TurnwiseError) as caught:
        asyncio.run(use(ServerSettings("x", kind, settings, tmp_path)))
    assert said in str(caught.value)
