from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

import turnwise
from tests.tools.kinds.mcp.serving import started
from turnwise.mcp import process
from turnwise.mcp.server import make_server
from turnwise.tools.server import ToolResult

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def client_of(folder: Path) -> AsyncIterator[Client]:
    async with Client(make_server(folder)) as client:
        yield client


async def value(client: Client, tool: str, **args: Any) -> Any:
    """The result of a call that is well."""
    result = await client.call_tool(tool, args)
    assert not result.is_error, result.content
    return result.structured_content


async def error(client: Client, tool: str, **args: Any) -> str:
    """The words of a call that is not."""
    result = await client.call_tool(tool, args)
    assert result.is_error, result.content
    return "".join([getattr(block, "text", "") for block in result.content])


async def test_a_world_is_checked_run_read_compared_and_forked(folder: Path) -> None:
    async with client_of(folder) as client:
        assert (await value(client, "list"))["worlds"] == ["counting"]
        assert await value(client, "check", world="counting") == {"ok": True, "problems": []}
        told: list[tuple[float, float | None]] = []

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, total))

        args = {"world": "counting", "journal": "a.journal"}
        result = await client.call_tool("run", args, progress_callback=tell)
        first = result.structured_content
        assert first["result"] == {"count": 3}
        assert first["journal"] == "a.journal"  # not where it lies on this machine
        assert all(total == 30 for _, total in told)

        more = await value(client, "run", world="counting", seed=2, values={"agents.counter.args.to": 4})
        assert more["result"] == {"count": 4}
        assert more["journal"] == "runs/counting-2.journal"
        runs = (await value(client, "list"))["runs"]
        assert {run["journal"] for run in runs} >= {"a.journal", "runs/counting-2.journal"}

        log = await value(client, "log", journal="a.journal", agent="counter", round=1)
        [turn] = log["log"][0]["turns"]
        assert turn["records"] == [{"name": "count", "value": 1}]
        causes = await value(client, "why", journal="a.journal", agent="counter", round=5, record="count")
        assert causes["causes"][0]["agent"] == "counter"
        difference = await value(client, "diff", left="a.journal", right="runs/counting-2.journal")
        assert not difference["equal"]
        forked = await value(client, "fork", journal="a.journal", at=3, output="f.journal")
        assert forked["head"] == first["head"]
        other = await value(client, "fork", journal="a.journal", at=3, messages={"counter": "again"})
        assert other["journal"] == "a-fork-3.journal"
        assert other["head"] != first["head"]
        stopped = await value(client, "run", world="counting", rounds=1, journal="s.journal")
        assert stopped["rounds"] == 1


async def test_no_call_leads_out_of_the_folder_or_changes_what_a_world_may_do(folder: Path) -> None:
    async with client_of(folder) as client:
        assert "leads out of the folder" in await error(client, "check", world="link")
        assert "no path inside" in await error(client, "run", world="../outside")
        assert "no path inside" in await error(client, "run", world="counting", journal="../a.journal")
        assert "is there already" in await error(client, "run", world="counting", journal="no.journal")
        for key in ("agents.counter.source", "tools.x.command", "models.m.path", "agents.counter.args=1 --native"):
            assert "cannot be changed" in await error(client, "run", world="counting", values={key: "x"})
        assert "no name of an agent" in await error(client, "log", journal="no.journal", agent="--help")
        (folder / "runs").symlink_to(folder.parent / "outside")
        assert "leads out of the folder" in await error(client, "run", world="counting")
        assert not list((folder.parent / "outside").glob("*.journal"))


async def test_errors_are_for_people_and_name_no_place_of_the_machine(folder: Path) -> None:
    (folder / "counting" / "world.toml").write_text("[world]\nnmae = 1\n")
    async with client_of(folder) as client:
        checked = await value(client, "check", world="counting")
        assert not checked["ok"]
        assert any("nmae" in problem["where"] for problem in checked["problems"])
        said = await error(client, "log", journal="no.journal")
        assert "no.journal" in said
        assert str(folder) not in said
        assert "Traceback" not in said
        assert "list" in await error(client, "why", journal="missing.journal")
        assert "less than or equal" in await error(client, "run", world="counting", seconds_max=1e9)


async def test_a_result_that_is_too_large_is_refused_with_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client_of(folder) as client:
        await value(client, "run", world="counting", journal="a.journal")
        monkeypatch.setattr(process, "RESULT_BYTES_MAX", 1_000)
        assert "ask for less" in await error(client, "log", journal="a.journal")


def endless(folder: Path) -> dict[str, Any]:
    """Arguments of a run that does not end by itself."""
    world = folder / "counting" / "world.toml"
    world.write_text(world.read_text().replace("rounds_max = 30", "rounds_max = 1000000"))
    return {"world": "counting", "values": {"agents.counter.args.to": 10**9}, "journal": "a.journal"}


async def test_a_run_whose_time_is_over_is_stopped_and_can_be_resumed(folder: Path) -> None:
    async with client_of(folder) as client:
        reached = asyncio.Event()

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            if progress > 1:
                reached.set()

        task = asyncio.create_task(client.call_tool("run", endless(folder), progress_callback=tell))
        await asyncio.wait_for(reached.wait(), 120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for seconds in (4, 16, 64):  # until that is enough to begin
            told = await client.call_tool("resume", {"journal": "a.journal", "seconds_max": seconds})
            if not told.is_error:
                break
            assert "its time was over before it had a result" in told.content[0].text
        assert told.structured_content["status"] == "open"
        assert told.structured_content["rounds"] > 1


async def test_the_command_serves_over_standard_input_and_output(folder: Path) -> None:
    for revision in ("auto", "2025-11-25"):
        settings = {"command": sys.executable, "args": ["-m", "turnwise", "mcp", str(folder)], "revision": revision}
        async with started(settings) as server:
            names = {spec.name for spec in await server.tools()}
            assert names == {"list", "check", "run", "resume", "log", "why", "diff", "fork"}
            told = await server.call("check", {"world": "counting"})
            assert isinstance(told, ToolResult)
            assert told.data == {"ok": True, "problems": []}


async def test_a_run_is_stopped_when_who_asked_for_it_is_gone(folder: Path) -> None:
    async with started({"command": sys.executable, "args": ["-m", "turnwise", "mcp", str(folder)]}) as server:
        running = asyncio.create_task(server.call("run", endless(folder)))
        end = time.monotonic() + 120
        while not (folder / "a.journal").exists():
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
    await asyncio.gather(running, return_exceptions=True)
    while True:
        try:
            turnwise.resume(folder / "a.journal", workers=1).close()
            break
        except turnwise.JournalError:  # it is still being written
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
