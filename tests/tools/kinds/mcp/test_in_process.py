"""The kind in the process that it has in a run, with real servers behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tools.kinds.mcp.serving import command
from turnwise.errors import EnvironmentFailure
from turnwise.tools.desk import ToolDesk
from turnwise.tools.server_settings import ServerSettings

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def desk_of(server: ServerSettings) -> AsyncIterator[tuple[ToolDesk, list[str]]]:
    """Start a server; yield its desk, and the names of its tools."""
    desk = ToolDesk([server])
    try:
        listed = await desk.start()
        yield desk, [spec.name for spec in listed[server.name]]
    finally:
        await desk.close()


async def call(desk: ToolDesk, tool: str, args: dict[str, Any], answers: dict[str, Any] | None = None) -> Any:
    text = None if answers is None else json.dumps(answers)
    return json.loads(await desk.call("small", tool, json.dumps(args), text))


@pytest.mark.parametrize("revision", ["auto", "2025-11-25"])
async def test_a_server_is_listed_asked_and_started_again(tmp_path: Path, revision: str) -> None:
    settings = {**command("small.py"), "revision": revision}
    server = ServerSettings("small", "mcp", settings, tmp_path, {"LISTED": "yes"})
    async with desk_of(server) as (desk, names):
        assert names == sorted(names)
        assert {"add", "ask", "wait"} <= {*names}
        assert (await call(desk, "add", {"a": 1, "b": 2}))["ok"] == {"text": "3", "data": {"result": 3}}
        assert (await call(desk, "add", {"a": "1", "b": 2}))["error"]["kind"] == "invalid"
        assert (await call(desk, "fail", {}))["error"]["kind"] == "tool"
        seen = (await call(desk, "surroundings", {}))["ok"]["data"]
        given = seen["environment"].keys() - {"LC_CTYPE"}  # which Python sets by itself where no locale is
        assert given == {"LISTED"}
        assert Path(seen["folder"]) not in (Path.cwd(), tmp_path)

        asked = (await call(desk, "ask", {"what": "hat"}))["ask"]
        [question] = asked["questions"]
        answers = {"answers": {question["key"]: {"size": "M"}}, "state": asked["state"]}
        assert (await call(desk, "ask", {"what": "hat"}, answers))["ok"]["text"] == "3 M"

        assert (await call(desk, "die", {}))["error"]["kind"] == "unknown"
        assert (await call(desk, "add", {"a": 1, "b": 2}))["ok"]["text"] == "3"


async def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    server = ServerSettings("small", "mcp", {"command": "no-such-program"}, tmp_path)
    with pytest.raises(EnvironmentFailure, match="there is no program 'no-such-program'"):
        async with desk_of(server):
            pass


async def test_a_call_that_takes_too_long_is_let_go_of(tmp_path: Path) -> None:
    server = ServerSettings("small", "mcp", command("small.py"), tmp_path, seconds_max=0.5)
    async with desk_of(server) as (desk, _):
        late = await call(desk, "wait", {"name": "a"})
        assert late["error"]["kind"] == "unavailable"
        assert (await call(desk, "add", {"a": 1, "b": 2}))["ok"]["text"] == "3"


async def test_a_server_that_asks_models_for_ever_is_let_go_of(tmp_path: Path) -> None:
    """Also one that does not heed that it is refused."""
    settings = {**command("raw.py", "samples for ever"), "sampling": {"models": ["m"], "requests_max": 2}}
    async with desk_of(ServerSettings("small", "mcp", settings, tmp_path, seconds_max=0.5)) as (desk, _):
        told, count = await call(desk, "echo", {}), 0
        while "sample" in told:
            count += 1
            (request,) = told["sample"]["requests"]
            said = {request["key"]: {"ok": {"text": "more", "finish": "end"}, "model": "m"}}
            told = await call(desk, "echo", {}, {"answers": said, "state": told["sample"]["state"]})
        assert count <= 2
        assert told["error"]["kind"] == "unavailable"


async def test_names_that_collide_or_look_like_those_of_others_are_left_out(tmp_path: Path) -> None:
    async with desk_of(ServerSettings("small", "mcp", command("raw.py", "same name twice"), tmp_path)) as (desk, names):
        assert names == ["two"]
        assert any("'one' is left out" in notice for notice in desk.notices)
    async with desk_of(ServerSettings("small", "mcp", command("raw.py", "names of others"), tmp_path)) as (desk, names):
        assert "a b" not in names
        assert "" not in names
        assert len(desk.notices) == 4 - len(names)


async def test_words_that_change_are_told(tmp_path: Path) -> None:
    server = ServerSettings("small", "mcp", command("raw.py", "other words"), tmp_path)
    async with desk_of(server) as (desk, names):
        assert names == ["echo"]
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        desk.on_listed = lambda _name, specs: told.set_result(specs[0].description)
        await call(desk, "echo", {})
        assert await asyncio.wait_for(told, 60) == "Words of list 2."
