"""The server: tools over worlds and journals of one folder."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field

from turnwise._version import __version__
from turnwise.mcp.folder import ListedFolder, PathRefused
from turnwise.mcp.process import CommandResult, run_command
from turnwise.mcp.results import CheckResult, DiffResult, ListResult, LogResult, PlayResult, WhyResult

AT_ONCE_MAX: Final = 2
"""Commands that run at once; others wait."""

SECONDS_MAX: Final = 3_600
"""Seconds that a run may take at most."""

RUN_SECONDS: Final = 300.0
"""Seconds that a run may take where nobody says how many."""

READ_SECONDS_MAX: Final = 300
"""Seconds that reading may take."""

TEXTS_MAX: Final = 100
"""Messages, numbers or names in one argument."""

TEXT_CHARS_MAX: Final = 64 * 1024
"""Characters of a message or value."""

_NAME: Final = re.compile(r"[^\s=*-][^\s=*]{0,127}")
_ARGUMENT: Final = re.compile(r"agents\.[A-Za-z0-9_-]{1,64}\.args(\.[A-Za-z0-9_-]{1,64})*")
"""Keys of a world that may be changed: arguments of agents. Others say what a world may do, and to which files."""

INSTRUCTIONS: Final = """Turnwise plays worlds of sandboxed agents, and can prove and explain what happened.
A world is a folder with a world.toml; a run is a journal. Begin with list. Paths are relative to the served folder."""

World = Annotated[str, Field(description="Folder of the world, relative: my-world")]
Journal = Annotated[str, Field(description="The journal of a run, relative: runs/my-world-1.journal")]
Values = Annotated[
    dict[str, Any] | None,
    Field(
        description="Arguments of agents, by key: {'agents.narrator.args.mood': 'sad'}. No other keys.",
        max_length=TEXTS_MAX,
    ),
]
Seconds = Annotated[float, Field(description="The run is stopped then, and can be resumed.", gt=0, le=SECONDS_MAX)]
Agent = Annotated[str | None, Field(description="Name of an agent.", max_length=256)]
Round = Annotated[int | None, Field(description="Number of a round, from 1.", ge=1)]

READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
PLAYS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False)


def make_server(root: Path) -> MCPServer:
    """Make a server of a folder that is there."""
    folder = ListedFolder(root)
    commands = _Commands(folder)
    server = MCPServer("turnwise", version=__version__, instructions=INSTRUCTIONS, log_level="ERROR")
    for add in (_add_looking, _add_playing, _add_reading, _add_forking):  # in the order in which they are listed
        add(server, folder, commands)
    return server


def _add_looking(server: MCPServer, folder: ListedFolder, commands: _Commands) -> None:
    """Add the tools that look at what there is."""

    @server.tool(name="list", annotations=READS)
    async def list_() -> Annotated[CallToolResult, ListResult]:
        """List the worlds of the folder, and the runs in it and in its folder runs."""
        found = await commands.run("runs", ".")
        below = await commands.run("runs", "./runs") if (folder.root / "runs").is_dir() else CommandResult({"runs": []})
        if found.error or below.error:
            return commands.told(found if found.error else below)
        return commands.told(
            CommandResult({"worlds": folder.worlds(), "runs": found.value["runs"] + below.value["runs"]})
        )

    @server.tool(annotations=READS)
    async def check(world: World) -> Annotated[CallToolResult, CheckResult]:
        """Say everything that is wrong with a world, without running it."""
        return await commands.of(lambda: ["check", folder.existing(world)])


def _add_playing(server: MCPServer, folder: ListedFolder, commands: _Commands) -> None:
    """Add the tools that play worlds."""

    @server.tool(annotations=PLAYS)
    async def run(
        world: World,
        ctx: Context,
        seed: Annotated[int | None, Field(description="Another seed than the world's.", ge=0, lt=2**63)] = None,
        rounds: Annotated[int | None, Field(description="End after so many rounds.", ge=1)] = None,
        values: Values = None,
        journal: Annotated[str | None, Field(description="A new file for the journal: name.journal")] = None,
        seconds_max: Seconds = RUN_SECONDS,
    ) -> Annotated[CallToolResult, PlayResult]:
        """Play a world to its end, and keep what happened in a journal."""

        def arguments() -> list[str]:
            found = ["run", folder.existing(world), *_changed(values)]
            found += [f"--seed={seed}"] if seed is not None else []
            found += [f"--rounds={rounds}"] if rounds is not None else []
            if journal is not None:
                return [*found, f"--journal={folder.new(journal, '.journal')}"]
            if (folder.root / "runs").exists():
                folder.existing("runs")  # where it goes then, which is no link out of the folder
            return found

        return await commands.of(arguments, seconds_max, ctx)

    @server.tool(annotations=PLAYS)
    async def resume(
        journal: Journal, ctx: Context, seconds_max: Seconds = 300
    ) -> Annotated[CallToolResult, PlayResult]:
        """Go on with a run that was stopped, from its last committed round."""
        return await commands.of(lambda: ["resume", folder.existing(journal)], seconds_max, ctx)


def _add_reading(server: MCPServer, folder: ListedFolder, commands: _Commands) -> None:
    """Add the tools that read journals."""

    @server.tool(annotations=READS)
    async def log(
        journal: Journal,
        agent: Agent = None,
        round: Round = None,  # noqa: A002 - as it is called everywhere
        failed: Annotated[bool, Field(description="Only turns that failed.")] = False,
    ) -> Annotated[CallToolResult, LogResult]:
        """Tell the turns of a run. Ask for one agent or one round of a long one."""

        def arguments() -> list[str]:
            found = ["log", folder.existing(journal), *_chosen(agent, round)]
            return [*found, "--failed"] if failed else found

        return await commands.of(arguments)

    @server.tool(annotations=READS)
    async def why(
        journal: Journal,
        agent: Agent = None,
        round: Round = None,  # noqa: A002
        message: Annotated[int | None, Field(description="A message instead, by its number.", ge=0)] = None,
        record: Annotated[str | None, Field(description="A value that the turn recorded.", max_length=256)] = None,
        depth: Annotated[int, Field(description="Turns behind each other that are followed.", ge=1, le=100)] = 3,
    ) -> Annotated[CallToolResult, WhyResult]:
        """Say where a turn, a message or a recorded value came from."""

        def arguments() -> list[str]:
            found = ["why", folder.existing(journal), *_chosen(agent, round), f"--depth={depth}"]
            found += [f"--message={message}"] if message is not None else []
            return [*found, f"--record={record}"] if record is not None else found

        return await commands.of(arguments)

    @server.tool(annotations=READS)
    async def diff(left: Journal, right: Journal, agent: Agent = None) -> Annotated[CallToolResult, DiffResult]:
        """Say where two runs differ, and what the difference reached."""
        return await commands.of(lambda: ["diff", folder.existing(left), folder.existing(right), *_chosen(agent, None)])


def _add_forking(server: MCPServer, folder: ListedFolder, commands: _Commands) -> None:
    """Add the tool that forks runs."""

    @server.tool(annotations=PLAYS)
    async def fork(
        journal: Journal,
        at: Annotated[int, Field(description="The round after which something is changed.", ge=0)],
        ctx: Context,
        output: Annotated[str | None, Field(description="A new file for the fork: name.journal")] = None,
        messages: Annotated[
            dict[str, str] | None,
            Field(description="Messages from outside, by agent or group.", max_length=TEXTS_MAX),
        ] = None,
        drop: Annotated[
            list[int] | None, Field(description="Numbers of messages that nobody reads.", max_length=TEXTS_MAX)
        ] = None,
        values: Values = None,
        seed: Annotated[int | None, Field(description="Another seed from here on.", ge=0, lt=2**63)] = None,
        stop_agents: Annotated[
            list[str] | None, Field(description="Agents that are stopped.", max_length=TEXTS_MAX)
        ] = None,
        answers: Annotated[
            dict[str, Any] | None,
            Field(description="Answers to questions that wait there, by number.", max_length=TEXTS_MAX),
        ] = None,
        seconds_max: Seconds = RUN_SECONDS,
    ) -> Annotated[CallToolResult, PlayResult]:
        """Go on from any round of a run with something changed, and play to the end."""

        def arguments() -> list[str]:
            found = ["fork", folder.existing(journal), f"--at={at}", *_changed(values)]
            found += [f"--message={_name(name)}={_text(text)}" for name, text in (messages or {}).items()]
            found += [f"--drop={number}" for number in drop or ()]
            found += [f"--seed={seed}"] if seed is not None else []
            found += [f"--stop-agent={_name(name)}" for name in stop_agents or ()]
            found += [f"--answer={_number(number)}={_json(value)}" for number, value in (answers or {}).items()]
            return [*found, f"--output={folder.new(output, '.journal')}"] if output is not None else found

        return await commands.of(arguments, seconds_max, ctx)


class _Commands:
    """Commands in the folder, a few at once."""

    def __init__(self, folder: ListedFolder) -> None:
        self._folder = folder
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)

    async def of(
        self, arguments: Any, seconds_max: float = READ_SECONDS_MAX, ctx: Context | None = None
    ) -> CallToolResult:
        """Run the command whose arguments a function makes, which may refuse them."""
        try:
            made = arguments()
        except PathRefused as refused:
            return self.told(CommandResult(error=str(refused)))
        return self.told(await self.run(*made, seconds_max=seconds_max, ctx=ctx))

    async def run(
        self, *arguments: str, seconds_max: float = READ_SECONDS_MAX, ctx: Context | None = None
    ) -> CommandResult:
        async def tell(round_: int, rounds_max: int) -> None:
            if ctx is not None:
                await ctx.report_progress(round_, rounds_max, f"round {round_:,}")

        async with self._slots:
            return await run_command(arguments, self._folder.root, seconds_max, tell)

    def told(self, result: CommandResult) -> CallToolResult:
        """A result as it is sent: no path of this machine in it."""
        if result.error:
            text = self._folder.without_root(result.error)
            return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
        text = self._folder.without_root(json.dumps(result.value, ensure_ascii=False))
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=json.loads(text))


def _changed(values: Mapping[str, Any] | None) -> list[str]:
    found = []
    for key, value in (values or {}).items():
        if not _ARGUMENT.fullmatch(key):
            raise PathRefused(f"{key[:200]!r} cannot be changed: only arguments of agents can, agents.KIND.args.NAME")
        found.append(f"--set={key}={_json(value)}")
    return found


def _chosen(agent: str | None, round_: int | None) -> list[str]:
    found = [f"--agent={_name(agent)}"] if agent is not None else []
    return [*found, f"--round={round_}"] if round_ is not None else found


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise PathRefused(f"{text[:200]!r} is no name of an agent")
    return text


def _number(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise PathRefused(f"{text[:200]!r} is no number of a question")
    return text


def _text(text: str) -> str:
    if len(text) > TEXT_CHARS_MAX or "\0" in text:
        raise PathRefused(f"a text has at most {TEXT_CHARS_MAX:,} characters, none of them NUL")
    return text


def _json(value: Any) -> str:
    return _text(json.dumps(value, ensure_ascii=False))
