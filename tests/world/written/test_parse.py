"""Every key: its type, its bounds, and what is said about a value that has neither."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.world.conftest import MINIMAL, Write, only_problem, problems_of
from turnwise.visible_text import visible
from turnwise.world import Agent, Grants, InitialMessage, Model, World

WORLD = '[world]\nname = "test"\n'
AGENT = '[agents.a]\nsource = "a.py"\n'
MODEL = MINIMAL + '[models.m]\npath = "."\n'
MESSAGE = MINIMAL + '[[messages]]\nto = "a"\nbody = ""\n'


@pytest.mark.parametrize(
    ("toml", "key", "message", "hint"),
    [
        # The table [world]
        (AGENT, "world.name", "is missing", 'Add name = "my-world".'),
        ("[world]\n" + AGENT, "world.name", "is missing", 'Add name = "my-world".'),
        ('world = "x"\n' + AGENT, "world", 'must be a table, and is the text "x"', "[world]"),
        ("[[world]]\n" + AGENT, "world", "must be a table, and is a list", "[world]"),
        ("[world]\nname = 3\n" + AGENT, "world.name", "must be a text, and is the number 3", 'name = "my-world"'),
        ('[world]\nname = ""\n' + AGENT, "world.name", "is 0 characters long", "1 to 100 characters"),
        ('[world]\nname = "a\\nb"\n' + AGENT, "world.name", 'is the text "a\\nb"', "on one line"),
        ('[world]\nname = "\\u202ea"\n' + AGENT, "world.name", 'is the text "\\u202ea"', "control characters"),
        (MINIMAL + "system = 3\n", "agents.a.system", "must be a text, and is the number 3", "You are a trader"),
        (MINIMAL + f'system = "{"é" * 32_769}"\n', "agents.a.system", "is too long", "At most 65536 bytes"),
        (WORLD + "seed = -1\n" + AGENT, "world.seed", "is the number -1, out of range", f"from 0 to {2**63 - 1}"),
        (WORLD + f"seed = {2**63}\n" + AGENT, "world.seed", "out of range", f"from 0 to {2**63 - 1}"),
        (WORLD + "seed = true\n" + AGENT, "world.seed", "must be a whole number, and is true", "from 0 to"),
        (WORLD + "seed = 1.0\n" + AGENT, "world.seed", "must be a whole number, and is the number 1.0", "from 0 to"),
        (WORLD + 'seed = "7"\n' + AGENT, "world.seed", 'must be a whole number, and is the text "7"', "from 0 to"),
        (WORLD + 'schedule = "Rounds"\n' + AGENT, "world.schedule", '"Rounds"', 'schedule = "rounds" or "sequential"'),
        (WORLD + "schedule = 1\n" + AGENT, "world.schedule", "is the number 1", 'schedule = "rounds" or "sequential"'),
        (
            WORLD + "rounds_max = 0\n" + AGENT,
            "world.rounds_max",
            "is the number 0, out of range",
            "from 1 to 2147483647",
        ),
        (
            WORLD + 'on_failure = "ignore"\n' + AGENT,
            "world.on_failure",
            '"ignore"',
            'on_failure = "continue" or "stop"',
        ),
        (
            WORLD + "round_seconds = -1\n" + AGENT,
            "world.round_seconds",
            "is the number -1, out",
            "from 0 to 1000000000",
        ),
        (WORLD + "round_seconds = nan\n" + AGENT, "world.round_seconds", "is the number nan, out", "from 0 to"),
        (WORLD + "round_seconds = inf\n" + AGENT, "world.round_seconds", "is the number inf, out", "from 0 to"),
        (WORLD + "round_seconds = 1e-7\n" + AGENT, "world.round_seconds", "less than a microsecond", "0.000001"),
        (WORLD + "round_seconds = 1e9\n" + AGENT, "world.round_seconds", "beyond the year 9999", "rounds_max"),
        (
            MINIMAL + "fuel = 1_000_000_000_000\n",
            "agents.a.fuel",
            "1,000,000 s on a slow",
            "turn_seconds_max under [world]",
        ),
        (MINIMAL + "fuel = 14_400_000_001\n", "agents.a.fuel", "14,400 s on a slow machine", "Lower it to 14400000000"),
        (WORLD + "time_start = 2000-01-01\n" + AGENT, "world.time_start", "value of type date", "2000-01-01T00:00:00Z"),
        (WORLD + "time_start = 2000-01-01T00:00:00\n" + AGENT, "world.time_start", "without an offset", "00:00:00Z"),
        (WORLD + 'time_start = "2000"\n' + AGENT, "world.time_start", 'is the text "2000"', "without quotes"),
        (WORLD + "time_start = 1969-12-31T23:59:59Z\n" + AGENT, "world.time_start", "is before 1970", "1970-01-01"),
        (
            WORLD + "sed = 1\n" + AGENT,
            "world.sed",
            'unknown key "sed"',
            "Did you mean seed? Known keys here: agents_max, contents_mib, name,",
        ),
        ("wrold = 1\n" + WORLD + AGENT, "wrold", 'unknown key "wrold"', "Did you mean world? Known keys here: agents,"),
        # Agents
        (WORLD, "agents", "the world has no agents", "[agents.narrator]"),
        (WORLD + "[agents]\n", "agents", "the world has no agents", 'source = "narrator.py"'),
        (WORLD + AGENT + "count = 0\n", "agents", "the world has no agents", "[agents.narrator]"),
        ("agents = 3\n" + WORLD, "agents", "must be a table, and is the number 3", "[agents]"),
        (WORLD + "[agents]\na = 3\n", "agents.a", "must be a table, and is the number 3", "[agents.a]"),
        (WORLD + "[agents.a]\n", "agents.a.source", "is missing", 'Add source = "agent.py".'),
        (WORLD + "[agents.a]\nsource = 3\n", "agents.a.source", "must be a path, and is the number 3", "in quotes"),
        (WORLD + '[agents.a]\nsource = ""\n', "agents.a.source", "is no path", "relative to the world's folder"),
        (WORLD + '[agents.a]\nsource = "a\\u0000.py"\n', "agents.a.source", "is no path", "Write a path"),
        (WORLD + '[agents.a]\nsource = "a\\nb"\n', "agents.a.source", "is no path", "Write a path"),
        (
            MINIMAL + "cuont = 3\n",
            "agents.a.cuont",
            'unknown key "cuont"',
            "Did you mean count? Known keys here: args,",
        ),
        (MINIMAL + "zzz = 3\n", "agents.a.zzz", 'unknown key "zzz"', "Known keys here: args, columns, count,"),
        (
            MINIMAL + 'count = "3"\n',
            "agents.a.count",
            'must be a whole number, and is the text "3"',
            "from 0 to 1000000",
        ),
        (MINIMAL + "count = -1\n", "agents.a.count", "is the number -1, out of range", "from 0 to 1000000"),
        (MINIMAL + "count = 1000001\n", "agents.a.count", "is the number 1000001, out of range", "from 0 to 1000000"),
        (MINIMAL + "count = false\n", "agents.a.count", "must be a whole number, and is false", "from 0 to 1000000"),
        (MINIMAL + "table = 3\n", "agents.a.table", "must be a path, and is the number 3", "in quotes"),
        (MINIMAL + 'columns = "x"\n', "agents.a.columns", 'must be a list of texts, and is the text "x"', '["budget"]'),
        (MINIMAL + 'columns = ["x"]\n', "agents.a.columns", "is there without a table", 'table = "people.csv"'),
        (MINIMAL + 'start = "yes"\n', "agents.a.start", 'must be true or false, and is the text "yes"', "start = true"),
        (MINIMAL + "start = 1\n", "agents.a.start", "must be true or false, and is the number 1", "start = true"),
        (MINIMAL + "fuel = 0\n", "agents.a.fuel", "is the number 0, out of range", f"from 1 to {2**63 - 1}"),
        (MINIMAL + "fuel = 5e9\n", "agents.a.fuel", "must be a whole number, and is the number 5000000000.0", "from 1"),
        (MINIMAL + "memory_mib = 5000\n", "agents.a.memory_mib", "is the number 5000, out of range", "from 1 to 4096"),
        (MINIMAL + "output_mib = 0\n", "agents.a.output_mib", "is the number 0, out of range", "from 1 to 256"),
        (MINIMAL + "effects_max = -1\n", "agents.a.effects_max", "is the number -1, out of", "from 0 to 100000"),
        (MINIMAL + "groups = 'g'\n", "agents.a.groups", 'must be a list of texts, and is the text "g"', '["writers"]'),
        (MINIMAL + "groups = [1]\n", "agents.a.groups.0", "must be a text, and is the number 1", '["writers"]'),
        (MINIMAL + f"groups = {['g'] * 1001}\n", "agents.a.groups", "has 1001 entries", "At most 1000"),
        (MINIMAL + "grants = []\n", "agents.a.grants", "must be a table, and is a list", "[agents.a.grants]"),
        (
            MINIMAL + "grants = { send = 'a' }\n",
            "agents.a.grants.send",
            "must be a list of texts, and is",
            '["editor"]',
        ),
        (MINIMAL + "grants = { sned = ['a'] }\n", "agents.a.grants.sned", 'unknown key "sned"', "Did you mean send? "),
        # Arguments and states
        (MINIMAL + "args = 3\n", "agents.a.args", "must be a table or a list of tables, and is the number 3", "mood ="),
        (MINIMAL + "args = [1]\n", "agents.a.args.0", "must be a table, and is the number 1", "the table of one agent"),
        (MINIMAL + "args = { x = nan }\n", "agents.a.args.x", "is nan, which JSON cannot say", "finite number"),
        (
            MINIMAL + "args = { x = [1, -inf] }\n",
            "agents.a.args.x.1",
            "is -inf, which JSON cannot say",
            "finite number",
        ),
        (MINIMAL + "args = { x = 2000-01-01 }\n", "agents.a.args.x", "is a date or time", 'in quotes: "2000-01-01"'),
        (MINIMAL + "args = { 'a b' = 07:30:00 }\n", 'agents.a.args."a b"', "is a date or time", '"07:30:00"'),
        (MINIMAL + f"args = {{ x = {2**63} }}\n", "agents.a.args.x", "beyond 64 bits", "in quotes"),
        (MINIMAL + "args = { x = " + "[" * 64 + "]" * 64 + " }\n", None, "nested deeper than 64 levels", "flatter"),
        (MINIMAL + "state = 3\n", "agents.a.state", "must be a table or a text, and is the number 3", "told = 0"),
        (MINIMAL + "state = [1]\n", "agents.a.state", "must be a table or a text, and is a list", "told = 0"),
        (MINIMAL + "state = { x = nan }\n", "agents.a.state.x", "is nan, which JSON cannot say", "finite number"),
        # Models
        (MINIMAL + "[models]\nm = 'x'\n", "models.m", 'must be a table, and is the text "x"', "[models.m]"),
        (MINIMAL + "[models.m]\n", "models.m.path", "is missing", 'Add path = "../models/…".'),
        (MINIMAL + "[models.m]\npath = []\n", "models.m.path", "must be a path, and is a list", "in quotes"),
        (MINIMAL + "[models.m]\npath = 'a.py'\n", "models.m.path", "is no folder: ", "--model m=PATH"),
        (MINIMAL + "[models.m]\npath = '~nobody/m'\n", "models.m.path", "is no folder: ", "--model m=PATH"),
        (MINIMAL + f"[models.m]\npath = '{'x' * 300}'\n", "models.m.path", "is no folder: ", "--model m=PATH"),
        (MODEL + "provider = 1\n", "models.m.provider", "must be a text, and is the number 1", 'provider = "auto"'),
        (MODEL + "provider = 'CPU!'\n", "models.m.provider", 'is the text "CPU!"', '"auto", "cpu", "cuda"'),
        (MODEL + "variant = 4\n", "models.m.variant", "must be a text, and is the number 4", 'variant = "q4"'),
        (MODEL + "variant = '../q4'\n", "models.m.variant", 'is the text "../q4"', '"q4", "fp16"'),
        (MODEL + "task = 'chat'\n", "models.m.task", 'is the text "chat"', 'task = "generate" or "infer" or "embed"'),
        (MODEL + "require = 'cuda'\n", "models.m.require", 'must be true or false, and is the text "cuda"', "true"),
        (
            MODEL + "device = 'gpu'\n",
            "models.m.device",
            'unknown key "device"',
            "Known keys here: accuracy_level, batching, context_tokens_max, key, kv_window, model, "
            "multiplications_max, path, provider, reply_kib, reproducible, requests_at_once, "
            "require, seconds_max, task, url, variant.",
        ),
        (MODEL + "accuracy_level = 2\n", "models.m.accuracy_level", "is the number 2", "Write accuracy_level = 4"),
        (MODEL + "accuracy_level = true\n", "models.m.accuracy_level", "is true", "Write accuracy_level = 4"),
        (MODEL + "batching = 'even'\n", "models.m.batching", 'is the text "even"', 'batching = "free"'),
        (MODEL + "reproducible = 'no'\n", "models.m.reproducible", "must be true or false", "true"),
        (MODEL + "reproducible = false\ntask = 'infer'\n", "models.m.reproducible", "to infer with", "Leave it out"),
        (MODEL + "kv_window = true\ntask = 'embed'\n", "models.m.kv_window", "to embed with", "Leave it out"),
        (MODEL + "reproducible = false\ntask = 'embed'\n", "models.m.reproducible", "to embed with", "Leave it out"),
        (
            MODEL + "reproducible = false\nbatching = 'free'\n",
            "models.m.reproducible",
            "beside batching",
            "as they come",
        ),
        (
            MODEL + "multiplications_max = 1\n",
            "models.m.multiplications_max",
            "out of range",
            "from 1000000 to 1000000000000000",
        ),
        (MODEL + "context_tokens_max = 7\n", "models.m.context_tokens_max", "out of range", "from 8 to 16777216"),
        # Messages
        (MINIMAL + "[messages]\nto = 'a'\n", "messages", "must be a list of tables, and is a table", "[[messages]]"),
        ("messages = [3]\n" + MINIMAL, "messages.0", "must be a table, and is the number 3", "key = value"),
        (MINIMAL + "[[messages]]\nto = 'a'\n", "messages.0.body", "is missing", 'Add body = "Hello.".'),
        (MINIMAL + "[[messages]]\nbody = 'a'\n", "messages.0.to", "is missing", 'Add to = "editor".'),
        (MESSAGE + "from = 'b'\n", "messages.0.from", 'unknown key "from"', "Known keys here: body, to."),
    ],
)
def test_a_bad_value_is_said_with_file_key_and_what_to_do(
    write: Write, toml: str, key: str | None, message: str, hint: str
) -> None:
    folder = write(toml)
    if key is None:
        problem = problems_of(folder)[0]
    else:
        problem = only_problem(folder)
        assert problem.where == f"{folder}/world.toml: {key}"
    assert message in problem.message
    assert hint in problem.hint


def test_a_misspelt_key_that_is_required_is_recognised(write: Write) -> None:
    missing, unknown = problems_of(write(WORLD + '[agents.a]\nsorce = "a.py"\n'))
    assert (missing.message, missing.hint) == (
        "is missing",
        'Did you mean source where it says sorce? Add source = "agent.py".',
    )
    assert "Did you mean source?" in unknown.hint


def test_everything_that_is_wrong_is_said_at_once(write: Write) -> None:
    problems = problems_of(
        write(
            '[world]\nname = "x"\nseed = "s"\nspeed = 3\n'
            '[models.m]\npath = "missing"\n'
            '[agents.a]\nsource = "missing.py"\ngrants = { generate = ["n"], send = ["b"] }\n'
            '[[messages]]\nto = "nobody"\nbody = 3\n'
        )
    )
    assert [problem.where.partition(": ")[2] for problem in problems] == [
        "world.seed",
        "world.speed",
        "messages.0.body",
        "agents.a.grants.generate.0",
        "agents.a.grants.send.0",
        "messages.0.to",
        "agents.a.source",
        "models.m.path",
    ]


def test_what_follows_from_a_problem_is_not_said_too(write: Write) -> None:
    toml = MINIMAL + (
        'grants = { send = ["b-2", "b-*", "g"] }\n'
        '[agents.b]\nsource = "a.py"\ncount = "3"\n'
        '[agents.c]\nsource = "a.py"\ngroups = "g"\n'
        '[[messages]]\nto = "b-3"\nbody = ""\n'
    )
    assert [problem.where.partition(": ")[2] for problem in problems_of(write(toml))] == [
        "agents.b.count",
        "agents.c.groups",
    ]


def test_a_long_list_of_problems_is_cut_and_counted(write: Write) -> None:
    problems = problems_of(write(MINIMAL + "".join(f"x{i} = 1\n" for i in range(150))))
    assert len(problems) == 101
    assert problems[-1].message == "and 50 more problems"


def test_long_and_strange_values_are_shown_short_and_visible(write: Write) -> None:
    problem = only_problem(write(MINIMAL + 'start = "\\u001b[31m\\u202e' + "x" * 500 + '"\n'))
    assert len(problem.message) < 150
    assert '"\\e[31m\\u202exxx' in problem.message
    assert visible(problem.message) == problem.message


class Strange:
    """What no world file can hold."""


@pytest.mark.parametrize(
    ("world", "key", "message"),
    [
        ({"name": "\ud800"}, "world.name", "surrogate"),
        ({"name": None}, "world.name", "a value of type NoneType"),
        ({"time_start": datetime(2000, 1, 1)}, "world.time_start", "without an offset"),
        ({"models": {"m": Model(3)}}, "models.m.path", "must be a path, and is the number 3"),
        ({"models": {"m": Model(b".")}}, "models.m.path", "must be a path, and is a value of type bytes"),
        ({"models": {3: Model(".")}}, "models.3", 'unknown key "3"'),
        ({"messages": [InitialMessage("a", "\ud800")]}, "messages.0.body", "surrogate"),
        ({"messages": [("a", "b")]}, "messages.0", "must be a table, and is a list"),
        ({"agents": {"a": "a.py"}}, "agents.a", 'must be a table, and is the text "a.py"'),
        ({"agents": [Agent("a.py")]}, "agents", "must be a table, and is a list"),
        ({"agents": {"a": Agent(None)}}, "agents.a.source", "is missing"),
        ({"agents": {"a": Agent(b"MZ")}}, "agents.a.source", "these bytes are not WebAssembly"),
        ({"agents": {"a": Agent("x = '\ud800'\n")}}, "agents.a.source", "surrogate"),
        ({"agents": {"a": Agent("a\n", args={"x": {1: 2}})}}, "agents.a.args.x", "has a key that is the number 1"),
        ({"agents": {"a": Agent("a\n", args={"x": {1, 2}})}}, "agents.a.args.x", "is a value of type set"),
        ({"agents": {"a": Agent("a\n", args={"x": Strange()})}}, "agents.a.args.x", "is a value of type Strange"),
        ({"agents": {"a": Agent("a\n", args={"x": ["\udfff"]})}}, "agents.a.args.x.0", "surrogate"),
        ({"agents": {"a": Agent("a\n", args={"\ud800": 1})}}, "agents.a.args", "surrogate"),
        ({"agents": {"a": Agent("a\n", args={"x": math.nan})}}, "agents.a.args.x", "is nan"),
        ({"agents": {"a": Agent("a\n", args={"x": 10**5000})}}, "agents.a.args.x", "of very many digits"),
        ({"agents": {"a": Agent("a\n", state="\ud800")}}, "agents.a.state", "surrogate"),
        ({"agents": {"a": Agent("a\n", state="x" * (4 << 20) + "x")}}, "agents.a.state", "is too long"),
        ({"agents": {"a": Agent("a\n", state={"x": "x" * (4 << 20)})}}, "agents.a.state", "bytes of JSON"),
        ({"agents": {"a": Agent("a\n", args={"x": "é" * (1 << 19)})}}, "agents.a.args", "is 1048584 bytes of JSON"),
        ({"agents": {"a": Agent("a\n", grants=Grants(send=[3]))}}, "agents.a.grants.send.0", "must be a text"),
        ({"messages": [InitialMessage("a", "é" * (1 << 20))]}, "messages.0.body", "is too long"),
    ],
)
def test_a_bad_value_in_python_is_said_with_its_key(world: dict[str, Any], key: str | None, message: str) -> None:
    complete: dict[str, Any] = {"name": "built", "agents": {"a": Agent("pass\n")}, **world}
    built = World(**complete)
    problem = only_problem(built)
    label = "World(…)" if world.get("name", "") is None else 'World("'
    assert problem.where.startswith(label)
    assert problem.where.endswith(f"): {key}")
    assert message in problem.message
    assert problem.hint


def test_any_mapping_and_sequence_will_do_in_python(tmp_path: Path) -> None:
    from collections import OrderedDict
    from types import MappingProxyType

    args = MappingProxyType({"b": (1, 2.5, None), "a": OrderedDict(x=True)})
    world = World("built", agents={"a": Agent("pass\n", args=args, state=MappingProxyType({}))}, folder=tmp_path)
    agent = world.resolve().agents[0]
    assert (agent.args, agent.state) == ('{"a":{"x":true},"b":[1,2.5,null]}', "{}")
