"""The documentation names every key with its default and bounds, and its examples are worlds."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.world.conftest import Write
from turnwise.core import plan as core
from turnwise.world import Agent, Grants, InitialMessage, Model, Tools, World, limits
from turnwise.world.written.document import SETTINGS
from turnwise.world.written.types import URL_KEYS

PAGE = (Path(__file__).parents[2] / "docs" / "world-file.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)


def section(heading: str) -> str:
    _, _, rest = PAGE.partition(f"\n{heading}")
    assert rest, heading
    return re.split(r"\n##", rest)[0]


def rows(heading: str) -> dict[str, list[str]]:
    return {match[1]: [cell.strip() for cell in match[2].split(" | ")] for match in ROW.finditer(section(heading))}


def fields(part: type) -> list[str]:
    return [item.name for item in dataclasses.fields(part)]


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("## `[world]`", list(SETTINGS)),
        ("## `[models.NAME]`", fields(Model)),
        ("## `[agents.KIND]`", fields(Agent)),
        ("### `grants`", fields(Grants)),
        ("## `[tools.NAME]`", [key for key in fields(Tools) if key != "settings"]),
        ("## `[[messages]]`", fields(InitialMessage)),
    ],
)
def test_every_key_is_there_in_order(heading: str, keys: list[str]) -> None:
    assert list(rows(heading)) == keys


def test_python_has_the_keys_of_the_file() -> None:
    assert fields(World) == [*SETTINGS, "models", "agents", "tools", "messages", "folder", "_resolved"]


@pytest.mark.parametrize(
    ("heading", "part"), [("## `[world]`", World), ("## `[agents.KIND]`", Agent), ("## `[tools.NAME]`", Tools)]
)
def test_defaults_are_the_real_ones(heading: str, part: type) -> None:
    built = part("x")
    for key, (_, default, _, _) in rows(heading).items():
        if default.startswith("`"):
            said = tomllib.loads(f"x = {default.strip('`')}")["x"]
            real = getattr(built, key)
            assert real == said or (real in (None, (), Grants()) and not said), key


def test_bounds_are_the_real_ones() -> None:
    for key, bound in {
        "seed": core.SEED_MAX,
        "rounds_max": core.ROUNDS_MAX,
        "agents_max": limits.AGENTS_EVER_MAX,
        "round_seconds": limits.ROUND_SECONDS_MAX,
        "turn_seconds_max": limits.TURN_SECONDS_MAX,
        "park_after_ms": limits.PARK_AFTER_MS_MAX,
        "name": limits.TITLE_LENGTH_MAX,
    }.items():
        assert f" to {bound}" in rows("## `[world]`")[key][2], key
    for key, bound in {
        "count": limits.AGENTS_MAX,
        "fuel": limits.FUEL_MAX,
        "memory_mib": limits.MEMORY_MIB_MAX,
        "output_mib": limits.OUTPUT_MIB_MAX,
        "effects_max": limits.EFFECTS_MAX,
        "effects_mib": limits.EFFECTS_MIB_MAX,
        "state_mib": limits.STATE_MIB_MAX,
        "inbox_mib": limits.INBOX_MIB_MAX,
        "send_mib": limits.SEND_MIB_MAX,
        "deliveries_max": limits.DELIVERIES_MAX,
    }.items():
        assert f" to {bound}" in rows("## `[agents.KIND]`")[key][2], key
    for key, bound in {
        "calls_max": limits.CALLS_MAX,
        "calls_at_once": limits.CALLS_AT_ONCE_MAX,
        "seconds_max": limits.CALL_SECONDS_MAX,
        "reply_kib": limits.REPLY_KIB_MAX,
    }.items():
        assert f" to {bound}" in rows("## `[tools.NAME]`")[key][2], key
    mib = 1 << 20
    for words in (
        f"UTF-8, at most {limits.WORLD_FILE_BYTES_MAX // mib} MiB",
        f"name. At most {limits.MODELS_MAX}",
        f"At most {limits.KINDS_MAX} kinds, and {limits.AGENTS_MAX} agents",
        f"at most {limits.TABLE_BYTES_MAX // mib} MiB",
        f"{limits.ARGS_BYTES_MAX // mib} MiB of JSON for each agent",
        f"| {limits.STATE_BYTES_MAX // mib} MiB |",
        f"At most {limits.PYTHON_SOURCE_BYTES_MAX // mib} MiB and {limits.PYTHON_SOURCE_FILES_MAX} files",
        f"{limits.WASM_SOURCE_BYTES_MAX // mib} MiB of WebAssembly",
        f"{limits.JSON_DEPTH_MAX} levels deep",
        f"at most {limits.NAMES_MAX} entries each",
        f"At most {limits.MESSAGES_MAX}.",
        f"no dot. At most {limits.TOOL_SERVERS_MAX}.",
        f"at most {limits.SETTINGS_BYTES_MAX // 1024} KiB as JSON",
        f"at most {limits.BODY_BYTES_MAX // mib} MiB |",
    ):
        assert words in PAGE.replace("\n", " "), words


@pytest.mark.parametrize(
    "heading",
    ["## `[world]`", "## `[models.NAME]`", "## `[agents.KIND]`", "## `[tools.NAME]`", "## `[[messages]]`"],
)
def test_the_example_of_every_key_is_right(write: Write, heading: str) -> None:
    base = (
        "[world]\n{world}\n[models.storyteller]\n{models}\n[agents.editor]\nsource = 'trader.py'\n"
        "[agents.a]\n{agents}\n[tools.calc]\n{tools}\n[[messages]]\n{messages}\n"
    )
    given = {
        "world": {"name": 'name = "x"'},
        "models": {"path": 'path = "../models/stories"'},
        "agents": {"source": 'source = "trader.py"'},
        "tools": {"kind": 'kind = "python"'},
        "messages": {"to": 'to = "editor"', "body": 'body = "x"'},
    }
    part = re.findall(r"\w+", heading)[0]
    folder = write(files={"world/trader.py": "", "world/people.csv": "budget\n1\n", "models/stories/x": ""}) / "world"
    for key, cells in rows(heading).items():
        lines = given[part] | {key: cells[-1].strip("`")}
        if key == "columns":
            lines["table"] = 'table = "people.csv"'
        world = dict(given["world"])
        if part == "models" and key in URL_KEYS:
            lines = {name: text for name, text in lines.items() if name != "path"}
            lines = {"url": 'url = "http://127.0.0.1/v1"', "model": 'model = "m"'} | lines
            world["network"] = "network = true"
        texts = {
            name: "\n".join((lines if name == part else keys).values())
            for name, keys in (given | {"world": world}).items()
        }
        (folder / "world.toml").write_text(base.format(**texts), encoding="utf-8")
        World.read(folder)


def test_the_example_in_python_is_the_one_in_toml(write: Write) -> None:
    toml, python = (re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("toml", "python"))
    assert toml is not None
    assert python is not None
    files = {"narrator.py": "", "editor.py": ""}
    folder = write(files={f"world/{name}": text for name, text in files.items()} | {"models/stories/x": ""}) / "world"
    (folder / "world.toml").write_text(toml[1], encoding="utf-8")
    names: dict[str, Any] = {}
    text = python[1].replace("from turnwise import", "from turnwise.world import")
    exec(text.replace('"examples/story-circle"', repr(str(folder))), names)
    assert names["world"].resolve() == World.read(folder).resolve()


def test_the_table_is_read_as_it_says(write: Write) -> None:
    table = re.search(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    assert table is not None
    toml = '[world]\nname = "x"\n[agents.a]\nsource = "a.py"\ntable = "t.csv"\nargs = { mood = "calm" }\n'
    agents = World.read(write(toml, {"t.csv": table[1]})).resolve().agents
    assert [(agent.name, agent.args) for agent in agents] == [
        ("anna", '{"budget":10,"mood":"sad","rich":false}'),
        ("bob", '{"budget":12.5,"mood":"calm","rich":true}'),
    ]
