"""The header for agents in C: what it reads, writes and draws, compiled and executed in a sandbox."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.test_python_agents import envelope, execute
from turnwise.sandbox.build.code import Code, Source, prepare
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
AGENT = r"""
#include "turnwise.h"

/* Sends back each member `name` of its state's array, as it reads it, and all that it can do. */
void turn(tw_turn *t) {
  tw_text items = tw_member(t->state, "items"), item;
  while (tw_next(&items, &item)) {
    if (item.at[0] == '"') tw_send(t, tw_literal("text"), tw_string(item));
    else if (item.at[0] == '{' || item.at[0] == '[') tw_send(t, tw_literal("json"), item);
    else tw_send(t, tw_literal("number"), tw_int_text(tw_int(item)));
  }
  tw_send(t, t->self, tw_int_text(t->now_us));
  tw_send(t, tw_literal("chance"), tw_int_text(tw_randint(t, -5, 1000000007)));
  tw_send(t, tw_literal("bits"), tw_int_text((int64_t)tw_random_bits(tw_chance(t), 53)));
  tw_send(t, tw_literal("double"), tw_int_text((int64_t)(tw_random_double(tw_chance(t)) * 9007199254740992.0)));
  tw_log(t, tw_literal("debug"), tw_literal("a \"line\"\n\x01 of €"));
  tw_record_int(t, tw_literal("n"), INT64_MIN);
  tw_record_number(t, tw_literal("x"), tw_literal("1.5"));
  tw_record_text(t, tw_literal("y"), tw_literal("z"));
  tw_wake_in(t, 7);
  tw_spawn(t, tw_literal("k"), tw_literal("a"), tw_literal("{\"b\":1}"), tw_literal("s"));
  tw_spawn(t, tw_literal("k"), tw_literal("b"), TW_NONE, TW_NONE);
  tw_stop(t, tw_literal("c"));
  tw_stop(t, tw_literal("d"));
  tw_finish(t, tw_literal("[1,null]"));
  tw_text message;
  while (tw_next_message(t, &message))
    if (tw_equal(tw_string(tw_member(message, "body")), tw_literal("fail"))) tw_fail(t, tw_literal("as \"told\""));
    else if (tw_equal(tw_string(tw_member(message, "body")), tw_literal("ask")))
      tw_set_state(t, tw_generate(tw_literal("m"), tw_literal("once \"upon\""), 5));
    else if (tw_equal(tw_string(tw_member(message, "body")), tw_literal("grow")))
      for (;;) *(volatile char *)tw_room_(1 << 20) = 1;
}
"""
ITEMS: list[Any] = [
    "",
    "plain",
    'quotes " and \\ and /',
    "\n\t\r\b\f\x01\x1f",
    "é ü € 😀 \U0010ffff",
    0,
    7,
    -1,
    2**63 - 1,
    -(2**63),
    [],
    {},
    [1, [2, {"a": "]}"}], "x,y"],
    {"a": {"b": [': "', "}"]}, "c": 1},
    "last",
]


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    folder = tmp_path_factory.mktemp("c")
    (folder / "agent.c").write_text(AGENT, encoding="utf-8")
    command = [sys.executable, "-m", "ziglang", "cc", "--target=wasm32-freestanding", "-O2", "-s", "-nostdlib"]
    command += ["-Wall", "-Wextra", "-Werror", "-Wl,--no-entry", f"-I{ROOT / 'guests/c'}"]
    command += ["-o", str(folder / "agent.wasm"), str(folder / "agent.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content = (folder / "agent.wasm").read_bytes()
    return asyncio.run(prepare([Source("agents.a.source", "wasm", {"agent.wasm": content}, "agent.wasm")]))[0]


def played(code: Code, body: str = "", replies: tuple[bytes, ...] = (), *, ascii_only: bool = False) -> TurnResult:
    value = json.loads(envelope("c")) | {"state": json.dumps({"items": ITEMS}, ensure_ascii=ascii_only)}
    value["inbox"] = [{"from": "you", "round": 2, "body": "x"}, {"from": "you", "round": 2, "body": body}]
    job = TurnJob(0, code.hash, json.dumps(value, ensure_ascii=ascii_only).encode(), replies, 10**8, 16 * MIB, MIB)
    return asyncio.run(execute([code], [job]))[0]


@pytest.mark.parametrize("ascii_only", [False, True])
def test_what_is_read_is_written_again(code: Code, ascii_only: bool) -> None:
    output = json.loads(played(code, ascii_only=ascii_only).body)
    sent = [(message["to"], message["body"]) for message in output["send"]]
    expected = []
    for item in ITEMS:
        if isinstance(item, str):
            expected.append(("text", item))
        elif isinstance(item, int):
            expected.append(("number", str(item)))
        else:
            expected.append(("json", json.dumps(item)))
    assert sent[: len(ITEMS)] == expected
    assert sent[len(ITEMS)] == ("agent-1", "946684800000000")


def test_chance_is_that_of_other_languages(code: Code) -> None:
    sent = {message["to"]: int(message["body"]) for message in json.loads(played(code).body)["send"][-3:]}
    chance = random.Random(int("5eed" * 16, 16))
    assert sent["chance"] == chance.randint(-5, 1000000007)
    assert sent["bits"] == chance.getrandbits(53)
    assert sent["double"] == chance.random() * 2**53


def test_all_that_an_agent_can_do_is_in_its_output(code: Code) -> None:
    output = json.loads(played(code).body)
    del output["send"]
    assert output == {
        "state": json.dumps({"items": ITEMS}, ensure_ascii=False),
        "log": [{"level": "debug", "text": 'a "line"\n\x01 of €'}],
        "record": [{"name": "n", "value": -(2**63)}, {"name": "x", "value": 1.5}, {"name": "y", "value": "z"}],
        "spawn": [{"kind": "k", "name": "a", "args": {"b": 1}, "state": "s"}, {"kind": "k", "name": "b"}],
        "stop": ["c", "d"],
        "wake_in": 7,
        "finish": [1, None],
    }


def test_a_failure_is_declared(code: Code) -> None:
    assert json.loads(played(code, "fail").body) == {"error": 'as "told"'}


def test_an_effect_suspends_the_turn_and_its_reply_goes_on(code: Code) -> None:
    asked = played(code, "ask")
    assert asked.status == "needs"
    request = {"effect": "generate", "model": "m", "prompt": 'once "upon"', "temperature": 0, "tokens_max": 5}
    assert json.loads(asked.body) == request
    reply = b'{"ok":{"text":"a \\"time\\"","finish":"end","tokens":2,"prompt_tokens":3}}'
    assert json.loads(played(code, "ask", (reply,)).body)["state"] == 'a "time"'
    refused = b'{"error":{"kind":"denied","message":"no"}}'
    assert json.loads(played(code, "ask", (refused,)).body)["state"] == ""


def test_lack_of_memory_ends_the_turn(code: Code) -> None:
    result = played(code, "grow")
    assert (result.status, result.failure) == ("failed", "memory")
