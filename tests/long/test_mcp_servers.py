"""Foreign MCP servers as tools, and the conformance suite of the protocol.

They live in an environment of their own, with the Node that they need; TURNWISE_TEST_MCP names it:

    python tests/long/mcp/fetch.py FOLDER
    TURNWISE_TEST_MCP=FOLDER pytest -m mcp_servers -s tests/long
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.long.mcp import conformance_waivers
from tests.tools.kinds.mcp.serving import over_http
from turnwise.history.replay import replay
from turnwise.mcp.server import make_server
from turnwise.orchestrator.settings import Settings
from turnwise.tools.desk import ToolDesk
from turnwise.tools.server_settings import ServerSettings
from turnwise.world import Agent, Grants, Model, Tools, World

pytestmark = [pytest.mark.mcp_servers, pytest.mark.timeout(3600)]

CLIENT = Path(__file__).parent / "mcp" / "conformance_client.py"
SCENARIO_S_MAX = 300

Call = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def fetched() -> Path:
    return Path(os.environ["TURNWISE_TEST_MCP"]).absolute()


def use(server: ServerSettings, work: Callable[[list[str], Call], Awaitable[None]]) -> None:
    """Start a server in the process that it has in a run, and work with it."""

    async def run() -> None:
        desk = ToolDesk([server])

        async def call(tool: str, answers: dict[str, Any] | None = None, /, **args: Any) -> Any:
            given = None if answers is None else json.dumps(answers)
            return json.loads(await desk.call(server.name, tool, json.dumps(args), given))

        try:
            listed = await desk.start()
            assert desk.notices == []
            await work([spec.name for spec in listed[server.name]], call)
        finally:
            await desk.close()

    asyncio.run(run())


def npm_server(fetched: Path, folder: Path, package: str, *args: str, **settings: Any) -> ServerSettings:
    script = fetched / "node_modules" / "@modelcontextprotocol" / package / "dist" / "index.js"
    settings = {"command": str(fetched / "node"), "args": [str(script), *args], **settings}
    return ServerSettings(package, "mcp", settings, folder, {"PATH": os.defpath})


def test_server_everything(fetched: Path, tmp_path: Path) -> None:
    async def work(names: list[str], call: Call) -> None:
        print(f"server-everything: {len(names)} tools: {', '.join(names)}")
        assert (await call("echo", message="hello"))["ok"]["text"] == "Echo: hello"
        assert "The sum of 2 and 3 is 5" in (await call("get-sum", a=2, b=3))["ok"]["text"]
        assert (await call("get-sum", a="two", b=3))["error"]["kind"] == "invalid"
        image = (await call("get-tiny-image"))["ok"]["text"]
        assert re.search(r"\[image image/png, [\d,]+ bytes\]", image)
        assert "base64" not in image
        data = (await call("get-structured-content", location="New York"))["ok"]["data"]
        assert data.keys() == {"temperature", "conditions", "humidity"}
        done = await call("trigger-long-running-operation", duration=1, steps=4)
        assert "completed" in done["ok"]["text"]
        assert (await call("get-env"))["ok"]["text"].count('"PATH"') == 1
        assert "HOME" not in (await call("get-env"))["ok"]["text"]

        asked = (await call("trigger-elicitation-request"))["ask"]
        [question] = asked["questions"]
        form = question["schema"]["anyOf"][0]
        answer = {name: value_for(field) for name, field in form["properties"].items() if name in form["required"]}
        answers = {"answers": {question["key"]: answer}, "state": asked["state"]}
        told = await call("trigger-elicitation-request", answers)
        assert "provided the requested information" in told["ok"]["text"]
        asked = (await call("trigger-elicitation-request"))["ask"]
        answers = {"answers": {asked["questions"][0]["key"]: None}, "state": asked["state"]}
        told = await call("trigger-elicitation-request", answers)
        assert "declined" in told["ok"]["text"]

        asked = (await call("trigger-sampling-request", prompt="Which?", maxTokens=9))["sample"]
        [request] = asked["requests"]
        assert "Which?" in request["request"]["messages"][-1]["content"]
        assert request["request"]["tokens_max"] == 9
        said = {"ok": {"text": "the blue one", "finish": "end"}, "model": "m"}
        answers = {"answers": {request["key"]: said}, "state": asked["state"]}
        told = await call("trigger-sampling-request", answers, prompt="Which?", maxTokens=9)
        assert "the blue one" in told["ok"]["text"]

    sampling = {"models": ["m"]}
    use(npm_server(fetched, tmp_path, "server-everything", "stdio", sampling=sampling), work)


def test_server_everything_is_offered_no_model_without_a_grant(fetched: Path, tmp_path: Path) -> None:
    async def work(names: list[str], call: Call) -> None:
        assert "trigger-elicitation-request" in names
        assert "trigger-sampling-request" not in names

    use(npm_server(fetched, tmp_path, "server-everything", "stdio"), work)


def test_server_everything_asks_a_model_of_a_world(fetched: Path, tmp_path: Path) -> None:
    """In a run, which is replayed without the server."""
    server = npm_server(fetched, tmp_path, "server-everything", "stdio")
    settings = {**server.settings, "sampling": {"models": ["m"], "tokens_max": 6}}
    source = """
def turn(t):
    t.finish(t.call("everything.trigger-sampling-request", {"prompt": "Once upon a time", "maxTokens": 100}).text)
"""
    world = World(
        "everything",
        models={"m": Model("builtin:demo")},
        tools={"everything": Tools("mcp", settings, environment=server.environment)},
        agents={"agent": Agent(source, start=True, grants=Grants(call=["everything"], finish=True))},
        park_after_ms=60_000,
    )
    journal = tmp_path / "run.journal"
    with turnwise.run(world, journal=journal, workers=1) as run:
        print(run.result)
        assert '"model": "m"' in run.result
        asked = [effect for turn in run.turns for effect in turn.effects if effect.kind == "generate"]
    assert [json.loads(str(effect.reply))["ok"]["tokens"] for effect in asked] == [6]
    assert replay(journal, Settings(workers=1)).difference is None


def value_for(field: dict[str, Any]) -> Any:
    match field.get("type"):
        case "boolean":
            return True
        case "integer" | "number":
            return field.get("minimum", 1)
    return field.get("default", "someone")


def test_server_filesystem(fetched: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "outside.txt").write_text("secret")

    async def work(names: list[str], call: Call) -> None:
        print(f"server-filesystem: {len(names)} tools: {', '.join(names)}")
        file = str(tmp_path / "data" / "a.txt")
        assert "error" not in await call("write_file", path=file, content="alpha\n")
        assert (tmp_path / "data" / "a.txt").read_text() == "alpha\n"
        assert (await call("read_text_file", path=file))["ok"]["text"] == "alpha\n"
        outside = await call("read_text_file", path=str(tmp_path / "outside.txt"))
        assert outside["error"]["kind"] == "tool"
        assert "secret" not in json.dumps(outside)
        (tmp_path / "data" / "a.png").write_bytes(base64.b64decode("iVBORw0KGgo="))
        media = await call("read_media_file", path=str(tmp_path / "data" / "a.png"))
        assert media["ok"]["text"] == "[image image/png, 8 bytes]"

    use(npm_server(fetched, tmp_path, "server-filesystem", str(tmp_path / "data")), work)


def test_server_time(fetched: Path, tmp_path: Path) -> None:
    settings = {"command": str(fetched / "venv" / "bin" / "mcp-server-time"), "args": ["--local-timezone", "UTC"]}

    async def work(names: list[str], call: Call) -> None:
        assert names == ["convert_time", "get_current_time"]
        zones = {"source_timezone": "Asia/Tokyo", "target_timezone": "UTC"}
        told = json.loads((await call("convert_time", time="12:00", **zones))["ok"]["text"])
        assert told["time_difference"] == "-9.0h"
        assert (await call("get_current_time", timezone="Nowhere"))["error"]["kind"] == "tool"

    use(ServerSettings("time", "mcp", settings, tmp_path), work)


def test_server_git(fetched: Path, tmp_path: Path) -> None:
    environment = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    subprocess.run(["git", "init", "-q", tmp_path / "repo"], check=True)
    (tmp_path / "repo" / "a.txt").write_text("alpha")
    settings = {"command": str(fetched / "venv" / "bin" / "mcp-server-git"), "args": ["-r", "repo"], "folder": "."}

    async def work(names: list[str], call: Call) -> None:
        print(f"mcp-server-git: {len(names)} tools: {', '.join(names)}")
        repo = str(tmp_path / "repo")
        assert "a.txt" in (await call("git_status", repo_path=repo))["ok"]["text"]
        await call("git_add", repo_path=repo, files=["a.txt"])
        assert "error" not in await call("git_commit", repo_path=repo, message="First")
        assert "First" in (await call("git_log", repo_path=repo))["ok"]["text"]

    use(ServerSettings("git", "mcp", settings, tmp_path, {"PATH": os.environ["PATH"], **environment}), work)


# -- conformance -------------------------------------------------------------------------------------------------


def suite(fetched: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    script = fetched / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    command = [str(fetched / "node"), str(script), *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SCENARIO_S_MAX, check=False)


def required(fetched: Path, folder: Path, revision: str, side: str) -> list[str]:
    """Scenarios that a revision requires of a side, in the suite's order."""
    text = suite(fetched, folder, "list", "--requirements", revision).stdout
    found = re.search(rf"{side} scenarios .*?:\n((?:  - .*\n)+)", text)
    assert found is not None, text
    return [line[4:] for line in found[1].splitlines()]


def failures(output: str) -> set[str]:
    """The checks that have failed, by their names."""
    return set(re.findall(r"\[([\w.-]+) *\] \S*FAILURE", output))


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_the_client_conforms(fetched: Path, tmp_path: Path, revision: str) -> None:
    scenarios = [*required(fetched, tmp_path, revision, "Client"), "json-schema-2020-12-preservation"]
    scenarios += conformance_waivers.EXTENSIONS
    failed: dict[str, set[str]] = {}
    for scenario in scenarios:
        args = ("--scenario", scenario, "--spec-version", revision, "--timeout", "200000")
        done = suite(fetched, tmp_path, "client", "--command", f"{sys.executable} {CLIENT}", *args)
        if done.returncode:
            failed[scenario] = failures(done.stdout + done.stderr)
            if not failed[scenario] <= conformance_waivers.CLIENT.get(scenario, set()):
                print(done.stdout, done.stderr)
    waived = {name: checks for name, checks in conformance_waivers.CLIENT.items() if name in scenarios}
    print(f"client at {revision}: {len(scenarios) - len(failed)} of {len(scenarios)} scenarios, {len(waived)} waived")
    assert failed.keys() == waived.keys()
    for scenario, checks in failed.items():
        assert checks, scenario
        assert checks <= waived[scenario], scenario  # a later revision may check more


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The server of `turnwise mcp` over HTTP, which the suite speaks; yield its URL."""
    (folder / "served").mkdir()
    with over_http(make_server(folder / "served")) as url:
        yield url


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_the_server_conforms(fetched: Path, tmp_path: Path, revision: str) -> None:
    scenarios = required(fetched, tmp_path, revision, "Server")
    failed: dict[str, set[str]] = {}
    with served(tmp_path) as url:
        for scenario in scenarios:
            done = suite(fetched, tmp_path, "server", "--url", url, "--scenario", scenario, "--spec-version", revision)
            if done.returncode:
                failed[scenario] = failures(done.stdout + done.stderr)
                if scenario not in conformance_waivers.SERVER:
                    print(done.stdout, done.stderr)
    waived = {scenario for scenario in scenarios if scenario in conformance_waivers.SERVER}
    print(f"server at {revision}: {len(scenarios) - len(failed)} of {len(scenarios)} scenarios, {len(waived)} waived")
    assert failed.keys() == waived
    for scenario, checks in conformance_waivers.SERVER_CHECKS.items():
        assert failed.get(scenario, checks) == checks
