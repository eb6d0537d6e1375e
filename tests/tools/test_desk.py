"""The desk with real servers of the kind `python`, each in its process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from turnwise.errors import EnvironmentFailure, UsageError
from turnwise.tools.desk import RESTARTS_MAX, ToolDesk
from turnwise.tools.server_settings import ServerSettings
from turnwise.tools.spec import ToolSpec

TOOLS = '''
import os, subprocess, sys, threading

def add(a: int, b: int) -> int:
    """Add two numbers."""
    print("this is no message")
    os.write(1, b"nor is this")
    return a + b

def seen() -> dict:
    return {"environment": dict(os.environ), "folder": os.getcwd(), "files": os.listdir()}

def fail() -> None:
    raise ValueError("no such thing")

def wait() -> None:
    threading.Event().wait()

def stuck() -> None:
    import re
    re.match("(a+)+$", "a" * 64 + "b")

def die() -> None:
    os._exit(3)

def long(size: int) -> str:
    return "x" * size

def secret() -> dict:
    return {"token": [os.environ["TOKEN"]]}

def start(where: str) -> int:
    """Start a program in a session of its own, which says in a file who it is."""
    code = "import os, sys, time; os.setsid(); open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(1000)"
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", code, where])
    while not (os.path.exists(where) and open(where).read()):
        pass
    return int(open(where).read())
'''


def settings(folder: Path, **members: Any) -> ServerSettings:
    (folder / "tools.py").write_text(TOOLS)
    return ServerSettings("own", "python", {"path": "tools.py"}, folder, **members)


Use = Callable[[ToolDesk, dict[str, tuple[ToolSpec, ...]]], Awaitable[None]]


def with_desk(server: ServerSettings, use: Use) -> None:
    async def run() -> None:
        desk = ToolDesk([server])
        listed = await desk.start()
        try:
            await use(desk, listed)
        finally:
            await desk.close()

    asyncio.run(run())


async def called(desk: ToolDesk, tool: str, **args: Any) -> Any:
    return json.loads(await desk.call("own", tool, json.dumps(args)))


def error_of(outcome: Any) -> str:
    return str(outcome["error"]["kind"])


def is_there(pid: int) -> bool:
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0].startswith("Z")
    except FileNotFoundError:
        return False


def wait_gone(pid: int) -> None:
    while is_there(pid):
        os.sched_yield()


def test_calls_are_answered_with_text_and_data(tmp_path: Path) -> None:
    async def use(desk: ToolDesk, listed: dict[str, tuple[ToolSpec, ...]]) -> None:
        assert [tool.name for tool in listed["own"]] == sorted(tool.name for tool in listed["own"])
        add = next(tool for tool in listed["own"] if tool.name == "add")
        assert add.description == "Add two numbers."
        assert add.input_schema is not None
        assert set(add.input_schema["properties"]) == {"a", "b"}
        assert await called(desk, "add", a=1, b=2) == {"ok": {"text": "3", "data": 3}}
        assert await called(desk, "long", size=3) == {"ok": {"text": "xxx"}}

    with_desk(settings(tmp_path), use)


def test_arguments_are_checked_before_a_call_and_errors_are_replies(tmp_path: Path) -> None:
    async def use(desk: ToolDesk, _: object) -> None:
        assert error_of(await called(desk, "add", a="one", b=2)) == "invalid"
        assert error_of(await called(desk, "add", a=1)) == "invalid"
        failed = await called(desk, "fail")
        assert (error_of(failed), failed["error"]["message"]) == ("tool", "ValueError: no such thing")
        assert error_of(await called(desk, "nothing")) == "unknown_tool"

    with_desk(settings(tmp_path), use)


def test_a_server_has_no_environment_and_no_folder_but_what_is_listed(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("OTHER", "not for tools")

    async def use(desk: ToolDesk, _: object) -> None:
        seen = (await called(desk, "seen"))["ok"]["data"]
        assert seen["environment"].pop("LC_CTYPE", "") in ("", "C.UTF-8")  # which Python itself sets
        assert seen["environment"] == {"GIVEN": "yes"}
        assert seen["files"] == []
        assert Path(seen["folder"]).is_dir()
        folders.append(seen["folder"])

    folders: list[str] = []
    with_desk(settings(tmp_path, environment={"GIVEN": "yes"}), use)
    assert not Path(folders[0]).exists()


def test_a_secret_comes_by_reference_and_is_masked_in_what_comes_back(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush-hush")

    async def use(desk: ToolDesk, _: object) -> None:
        outcome = await desk.call("own", "secret", "{}")
        assert "hush" not in outcome
        assert json.loads(outcome)["ok"]["data"] == {"token": ["[secret env:MY_TOKEN]"]}

    server = settings(tmp_path, environment={"TOKEN": {"secret": "env:MY_TOKEN"}})
    with_desk(server, use)
    monkeypatch.delenv("MY_TOKEN")
    with pytest.raises(UsageError, match="MY_TOKEN"):
        with_desk(server, use)


def test_a_result_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    async def use(desk: ToolDesk, _: object) -> None:
        assert (await called(desk, "long", size=1_000))["ok"]["text"] == "x" * 1_000
        assert error_of(await called(desk, "long", size=5_000)) == "tool"

    with_desk(settings(tmp_path, reply_bytes_max=4_000), use)


def test_a_call_that_takes_too_long_is_over_and_the_server_goes_on(tmp_path: Path) -> None:
    async def use(desk: ToolDesk, _: object) -> None:
        assert error_of(await called(desk, "wait")) == "unavailable"
        assert (await called(desk, "add", a=1, b=2))["ok"]["text"] == "3"

    with_desk(settings(tmp_path, seconds_max=0.2), use)


def test_a_server_that_is_stuck_is_ended_and_started_again(tmp_path: Path) -> None:
    async def use(desk: ToolDesk, _: object) -> None:
        assert error_of(await called(desk, "stuck")) == "unavailable"
        assert (await called(desk, "add", a=1, b=2))["ok"]["text"] == "3"

    with_desk(settings(tmp_path, seconds_max=0.2), use)


def test_open_calls_of_a_server_that_dies_are_unknown_and_it_is_started_again_a_bounded_number_of_times(
    tmp_path: Path,
) -> None:
    async def use(desk: ToolDesk, _: object) -> None:
        waiting = asyncio.ensure_future(called(desk, "wait"))
        await asyncio.sleep(0)
        assert error_of(await called(desk, "die")) == "unknown"
        assert error_of(await waiting) == "unknown"
        assert (await called(desk, "add", a=1, b=2))["ok"]["text"] == "3"
        for _ in range(RESTARTS_MAX + 1):
            assert error_of(await called(desk, "die")) == "unknown"
        assert error_of(await called(desk, "add", a=1, b=2)) == "unavailable"

    with_desk(settings(tmp_path), use)


def test_closing_ends_all_that_a_server_has_started(tmp_path: Path) -> None:
    pids: list[int] = []

    async def use(desk: ToolDesk, _: object) -> None:
        pids.append((await called(desk, "start", where=str(tmp_path / "pid")))["ok"]["data"])
        assert is_there(pids[0])

    with_desk(settings(tmp_path), use)
    assert not is_there(pids[0])


@pytest.mark.skipif(sys.platform != "linux", reason="orphans can be found on Linux")
def test_nothing_is_left_when_the_orchestrator_is_killed(tmp_path: Path) -> None:
    settings(tmp_path)
    program = textwrap.dedent(
        f"""
        import asyncio, json
        from pathlib import Path
        from turnwise.tools.desk import ToolDesk
        from turnwise.tools.server_settings import ServerSettings

        async def run():
            desk = ToolDesk([ServerSettings("own", "python", {{"path": "tools.py"}}, Path({str(tmp_path)!r}))])
            await desk.start()
            started = json.loads(await desk.call("own", "start", json.dumps({{"where": {str(tmp_path / "pid")!r}}})))
            print(started["ok"]["data"], flush=True)
            await desk.call("own", "stuck", "{{}}")

        asyncio.run(run())
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        children = _descendants(process.pid)
        assert len(children) >= 2
        process.send_signal(signal.SIGKILL)
        process.wait()
        for child in (pid, *children):
            wait_gone(child)


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    status = (entry / "stat").read_text()
                except OSError:
                    continue
                if int(status.rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
    return found[1:]


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = settings(tmp_path)
    (tmp_path / "tools.py").write_text("import nothing_like_that")
    with pytest.raises(EnvironmentFailure, match="nothing_like_that"):
        with_desk(server, lambda desk, listed: asyncio.sleep(0))
