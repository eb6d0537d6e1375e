"""Kind `wasm`: pure functions in the sandbox of agents, bounded by fuel, memory and bytes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.guests import SPINS, constant
from tests.tools.kinds.serving import call, calls, tools
from turnwise.tools.kinds.settings import SettingsError
from turnwise.tools.kinds.wasm import WasmServer, check, settings_of
from turnwise.tools.server import ToolResult, ToolUnavailableError
from turnwise.tools.spec import ToolSpec

ECHO = """
(module
  (memory (export "memory") 3)
  (global $heap (mut i32) (i32.const 65536))
  (func (export "turnwise_alloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (global.set $heap (i32.add (global.get $heap) (local.get $size)))
    (local.get $at))
  (data (i32.const 16) "{\\22state\\22:\\22\\22,\\22finish\\22:{\\22data\\22:   ")
  (data (i32.const 8) "}}")
  (func (export "turnwise_turn") (param $at i32) (param $len i32) (result i64)
    (memory.copy (i32.const 48) (local.get $at) (local.get $len))
    (memory.copy (i32.add (i32.const 48) (local.get $len)) (i32.const 8) (i32.const 2))
    (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.extend_i32_u (i32.add (local.get $len) (i32.const 34))))))
"""
"""A module whose result is its input envelope."""

COMPONENT = """
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 1024) "{\\22state\\22:\\22\\22,\\22finish\\22:{\\22text\\22:\\22from a component\\22}}")
    (data (i32.const 512) "\\00\\04\\00\\00\\31\\00\\00\\00")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "turn") (param i32 i32) (result i32) (i32.const 512)))
  (core instance $i (instantiate $m))
  (func (export "turn") (param "input" string) (result string)
    (canon lift (core func $i "turn") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
"""

ASKS = """
(module
  (import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (data (i32.const 16) "{\\22effect\\22:\\22tools\\22}")
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "turnwise_turn") (param i32 i32) (result i64) (call $effect (i32.const 16) (i32.const 18))))
"""

GROWS = """
(module
  (memory (export "memory") 1)
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "turnwise_turn") (param i32 i32) (result i64)
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (unreachable)))
"""


def made(folder: Path, source: str, name: str = "tool.wat", **settings: Any) -> WasmServer:
    """A server that does not confine this process, which has other tests to run."""
    (folder / name).write_text(source, encoding="utf-8")
    return WasmServer(settings_of({"path": name, **settings}), folder, confined=False)


def finishing(result: object) -> str:
    """A module with always the same result."""
    return constant({"state": "", "finish": result})


def test_the_list_of_tools(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    source = finishing({"tools": [{"name": "add", "description": "Adds.", "input_schema": schema}, {"name": "b"}]})
    assert tools(made(tmp_path, source)) == {
        "add": ToolSpec("add", "Adds.", schema, pure=True),
        "b": ToolSpec("b", pure=True),
    }


@pytest.mark.parametrize(
    ("output", "result"),
    [
        ({"finish": {"text": "a"}}, ToolResult("a")),
        (
            {"finish": {"data": {"b": [1, 2.5, None]}}, "log": [{"level": "info", "text": "x"}]},
            ToolResult('{"b":[1,2.5,null]}', {"b": [1, 2.5, None]}),
        ),
        ({"finish": {"text": "a", "data": 3}}, ToolResult("a", 3)),
        ({"error": "no such city"}, ToolResult("no such city", is_error=True)),
        ({}, ToolResult("the tool has no result: it did not call `finish`", is_error=True)),
        (
            {"finish": {"text": "a"}, "send": [{"to": "a", "body": "b"}], "wake_in": 1},
            ToolResult("the tool has send, wake_in in its output; it may finish, and log", is_error=True),
        ),
    ],
)
def test_results(tmp_path: Path, output: dict[str, object], result: ToolResult) -> None:
    output = output if "error" in output else {"state": "", **output}
    assert call(made(tmp_path, constant(output)), "one", {}) == result


def test_the_envelope_of_a_call(tmp_path: Path) -> None:
    """That of a turn; clock and seed follow from the call: equal calls are equal, and others have another seed."""
    one, same, other = calls(
        made(tmp_path, ECHO), ("one", {"b": "ö", "a": 1}), ("one", {"a": 1, "b": "ö"}), ("one", {"a": 2, "b": "ö"})
    )
    assert one == same
    text = '{"args":{"a":1,"b":"ö"},"call":"one"}'
    assert one.data.pop("seed") == hashlib.sha256(text.encode()).hexdigest()
    assert one.data == {
        "abi": 1,
        "self": "tool",
        "kind": "tool",
        "args": {"call": "one", "args": {"a": 1, "b": "ö"}},
        "round": 1,
        "turn": 1,
        "now_us": 946_684_800_000_000,
        "state": "",
        "inbox": [],
    }
    assert other.data["seed"] != same.data["seed"]


PYTHON = """
import random, time
TOOLS = [{"name": "roll", "description": "Rolls dice."}, {"name": "fail"}]

def turn(t):
    if t.args.get("list"):
        t.finish({"tools": TOOLS})
    elif t.args["call"] == "fail":
        raise ValueError("no dice")
    else:
        dice = [random.randint(1, 6) for _ in range(t.args["args"]["dice"])]
        t.finish({"data": [dice, t.random.random(), time.time()]})
"""

JAVASCRIPT = """
export function turn(t) {
  if (t.args.list) t.finish({ tools: [{ name: "roll" }] });
  else if (t.args.call === "fail") throw new Error("no dice");
  else {
    const dice = Array.from({ length: t.args.args.dice }, () => 1 + Math.floor(Math.random() * 6));
    t.finish({ data: [dice, Date.now()] });
  }
}
"""


@pytest.mark.parametrize(("name", "source"), [("tool.py", PYTHON), ("tool.js", JAVASCRIPT)])
def test_agents_languages(tmp_path: Path, name: str, source: str) -> None:
    """The SDK of agents does for tools, and chance is the same for the same call."""
    one, same, other, failed = calls(
        made(tmp_path, source, name),
        ("roll", {"dice": 20}),
        ("roll", {"dice": 20}),
        ("roll", {"dice": 21}),
        ("fail", {}),
    )
    assert one == same
    assert not one.is_error
    assert one.data[0] != other.data[0][:20]
    assert failed.is_error
    assert "no dice" in failed.text
    assert next(iter(tools(made(tmp_path, source, name)).values())).pure


def test_a_component(tmp_path: Path) -> None:
    assert call(made(tmp_path, COMPONENT), "one", {}) == ToolResult("from a component")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ([], "the result of the tool: Expected `object`, got `array`"),
        ({}, "the result of the tool has neither"),
        ({"text": 1}, "the result of the tool: Expected `str | null`, got `int` - at `$.text`"),
        ({"state": ""}, "the result of the tool: Object contains unknown field `state`"),
    ],
)
def test_results_that_are_none(tmp_path: Path, result: object, said: str) -> None:
    found = call(made(tmp_path, finishing(result)), "one", {})
    assert found.is_error
    assert found.text.startswith(said)


def test_an_output_that_is_none(tmp_path: Path) -> None:
    found = call(made(tmp_path, constant([])), "one", {})
    assert found.is_error
    assert found.text.startswith("the turn's output is not of the ABI's form")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (SPINS, "fuel: the turn used up its fuel (1,000,000 units"),
        (ASKS, "the tool asked for an effect; tools compute, and nothing else"),
        (GROWS, "memory: "),
        (ECHO.replace("(memory.copy", "(unreachable) (memory.copy"), "trap: "),
        (ECHO.replace("(i32.const 34)", "(i32.const 900000)"), "output_size: the output has 900"),
        (constant({"text": "x" * 2000}), "output_size: the output has 2011 bytes; at most 1024 are allowed"),
    ],
)
def test_what_goes_wrong_is_a_result(tmp_path: Path, source: str, said: str) -> None:
    """The same one each time, and the next call is answered as if nothing had been."""
    settings: dict[str, Any] = {"fuel": 1_000_000, "memory_mib": 4, "output_kib_max": 1}
    results = calls(made(tmp_path, source, **settings), ("one", {}), ("one", {}))
    assert results[0] == results[1]
    assert results[0].is_error
    assert results[0].text.startswith(said)


def test_arguments_without_a_text(tmp_path: Path) -> None:
    assert call(made(tmp_path, ECHO), "one", {"a": "\ud800"}).is_error


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("(module", "tool.wat"),
        ("(module)", "it does not export its `memory`"),
        (ECHO.replace("(module", '(module (import "env" "time" (func))', 1), "it imports `env.time`"),
        (finishing({"tools": [{"name": 1}]}), "its list of tools: Expected `str`, got `int` - at `$.tools[0].name`"),
        (finishing({"tools": [{"name": "a"}] * 257}), "its list of tools: Expected `array` of length <= 256"),
        (finishing({"state": ""}), "its list of tools: Object"),
        (SPINS, "its list of tools: fuel: "),
    ],
)
def test_code_that_cannot_be_used(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(ToolUnavailableError) as caught:
        tools(made(tmp_path, source, fuel=1_000_000))
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    server = WasmServer(settings_of({"path": "nowhere.wasm"}), tmp_path, confined=False)
    with pytest.raises(ToolUnavailableError, match=r"'nowhere\.wasm': No such file or directory"):
        tools(server)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "path"),
        ({"path": "tool.c"}, "path"),
        ({"path": "tool.wasm", "fuel": 0}, "fuel"),
        ({"path": "tool.wasm", "memory_mib": 5000}, "memory_mib"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of(settings)
    assert caught.value.key == key
    assert [found for found, _, _ in check(settings)] == [key]


CONFINED = """
import asyncio, json, os, socket, sys, threading
from pathlib import Path
from turnwise.tools.kinds.wasm import server as make

def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"

async def main():
    server = make({"path": "tool.wat"}, Path(sys.argv[1]))
    await server.start()
    said = {
        "file": tried(lambda: open(sys.argv[1] + "/tool.wat")),
        "socket": tried(lambda: socket.socket()),
        "process": tried(lambda: os.fork()),
    }
    results = await asyncio.gather(*(server.call("one", {"a": number}) for number in range(3)))
    said["results"] = [result.data["args"]["args"]["a"] for result in results]
    await server.close()
    print(json.dumps(said), flush=True)
    os._exit(0)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such measures")
def test_the_process_keeps_nothing_but_computing(tmp_path: Path) -> None:
    (tmp_path / "tool.wat").write_text(ECHO, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-c", CONFINED, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ),
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "file": "PermissionError",
        "socket": "PermissionError",
        "process": "PermissionError",
        "results": [0, 1, 2],
    }


C_TOOL = r"""
#include "turnwise.h"

void turn(tw_turn *t) {
  if (tw_member(t->args, "list").at) {
    tw_finish(t, tw_literal("{\"tools\":[{\"name\":\"add\"}]}"));
    return;
  }
  tw_text numbers = tw_member(tw_member(t->args, "args"), "numbers"), number;
  int64_t sum = 0;
  while (tw_next(&numbers, &number)) sum += tw_int(number);
  tw_out result = {0};
  tw_add(&result, tw_literal("{\"data\":"));
  tw_add_int(&result, sum);
  tw_add(&result, tw_literal("}"));
  tw_finish(t, tw_written(&result));
}
"""


def test_a_tool_in_c(tmp_path: Path) -> None:
    """The header of agents makes tools as it stands."""
    (tmp_path / "tool.c").write_text(C_TOOL, encoding="utf-8")
    header = Path(__file__).parents[3] / "guests" / "c"
    flags = ["--target=wasm32-freestanding", "-O2", "-s", "-nostdlib", "-Wl,--no-entry", f"-I{header}"]
    command = [sys.executable, "-m", "ziglang", "cc", *flags, "-o", tmp_path / "tool.wasm", tmp_path / "tool.c"]
    subprocess.run(command, check=True, capture_output=True, timeout=250)
    server = WasmServer(settings_of({"path": "tool.wasm"}), tmp_path, confined=False)
    assert list(tools(server)) == ["add"]
    server = WasmServer(settings_of({"path": "tool.wasm"}), tmp_path, confined=False)
    assert call(server, "add", {"numbers": [1, -2, 40]}) == ToolResult("39", 39)
