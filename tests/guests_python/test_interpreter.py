"""The interpreter module itself: what is stored in it, and what a turn finds."""

from __future__ import annotations

import hashlib
import json

from turnwise.sandbox.python import module_info, module_path
from turnwise_guest import __version__
from turnwise_guest.runtime.modules import ADVERTISED

from .conftest import Interpreter, compact, prepare_with

PRINTS = "def turn(t):\n    print('told', t.self_name)\n    print('no end', end='')\n"
USES_CHANCE = """
import datetime, os, random, secrets, time, uuid
def turn(t):
    own = t.random.random() if t.args["first"] == "own" else None
    t.state = {
        "module": [random.random(), random.randrange(10**9)],
        "own": own or t.random.random(),
        "time": [time.time(), time.monotonic(), str(datetime.datetime.now())],
        "entropy": [os.urandom(4).hex(), secrets.token_hex(4), str(uuid.uuid4())],
        "order": list({"a", "b", "c", "d", "e"}), "hash": hash("a"),
    }
"""


def test_the_description_fits_the_component() -> None:
    info = module_info()
    content = module_path().read_bytes()
    assert info.sha256 == hashlib.sha256(content).hexdigest()
    assert info.bytes == len(content)
    assert info.sdk == __version__
    assert info.modules == ADVERTISED
    assert info.engine.startswith("3.14.")


def test_every_advertised_module_is_there(interpreter: Interpreter) -> None:
    source = "".join(f"import {name}\n" for name in ADVERTISED) + "def turn(t):\n    t.finish(len(t.args))\n"
    assert "error" not in interpreter.play(source)


def test_other_modules_are_refused_with_the_list_of_those_there_are(interpreter: Interpreter) -> None:
    error = interpreter.play("import numpy\ndef turn(t): pass\n")["error"]
    assert 'File "agent.py", line 1' in error
    assert "ModuleNotFoundError: 'numpy' is neither a file beside the agent's" in error
    assert "It has: abc, " in error


def test_a_turn_through_the_component(interpreter: Interpreter) -> None:
    files = {
        "agent.py": "from lib.words import greeting\ndef turn(t):\n"
        "    for message, answer in zip(t.inbox, t.generate_all('m', [m.body for m in t.inbox])):\n"
        "        t.send(message.sender, greeting(answer.text))\n"
        "    t.state['told'] += 1\n",
        "lib/words.py": "def greeting(text):\n    return f'Grüße: {text}'\n",
    }
    asked = []

    def effect(request: str) -> str:
        asked.append(json.loads(request))
        ok = {"text": "früh", "finish": "end", "tokens": 1, "prompt_tokens": 2}
        return compact({"results": [{"ok": ok}]})

    inbox = [{"from": "editor", "round": 2, "body": "Hündchen"}]
    output = interpreter.play(files, effect=effect, inbox=inbox, state='{"told":4}')
    assert output == {"send": [{"body": "Grüße: früh", "to": "editor"}], "state": '{"told":5}'}
    assert [one["prompt"] for one in asked[0]["effects"]] == ["Hündchen"]


def test_printed_lines_leave_one_by_one_and_the_last_at_the_end(interpreter: Interpreter) -> None:
    interpreter.play(PRINTS)
    assert interpreter.printed == b"told narrator-1\nno end"
    assert sum(call.endswith("output-stream.write") for call in interpreter.calls) == 2


def test_a_small_turn_asks_the_host_for_nothing_it_could_do_without(interpreter: Interpreter) -> None:
    interpreter.play("def turn(t): t.random.random()\n")
    assert interpreter.calls == ["cli/environment/get-environment", "cli/environment/get-arguments"]


def test_chance_and_time_are_the_same_in_every_execution(interpreter: Interpreter) -> None:
    first = interpreter.play(USES_CHANCE, args={"first": "module"})
    fuel = interpreter.fuel
    assert interpreter.play(USES_CHANCE, args={"first": "module"}) == first
    assert interpreter.fuel == fuel
    other = json.loads(interpreter.play(USES_CHANCE, args={"first": "module"}, seed="0f" * 32)["state"])
    state = json.loads(first["state"])
    assert other["module"][0] != state["module"][0]
    assert other["own"] != state["own"]
    assert state["time"][0] < 946_684_801


def test_the_turns_own_chance_and_the_modules_do_not_disturb_each_other(interpreter: Interpreter) -> None:
    one, other = (json.loads(interpreter.play(USES_CHANCE, args={"first": f})["state"]) for f in ("own", "module"))
    assert one["own"] == other["own"]
    assert one["module"] == other["module"]


def test_failures_come_as_tracebacks_of_the_agents_own_lines(interpreter: Interpreter) -> None:
    files = {
        "agent.py": "import helper\ndef turn(t):\n    helper.divide(1, 0)  # here\n",
        "helper.py": "def divide(a, b):\n    return a / b\n",
    }
    error = interpreter.play(files)["error"]
    assert error.splitlines()[0] == "Traceback (most recent call last):"
    assert 'File "agent.py", line 3, in turn\n    helper.divide(1, 0)  # here' in error
    assert 'File "helper.py", line 2, in divide\n    return a / b' in error
    assert error.endswith("ZeroDivisionError: division by zero")
    assert "turnwise" not in error


def test_running_out_of_memory_and_recursion_are_told(interpreter: Interpreter) -> None:
    hoard = "kept = []\ndef turn(t):\n    while True:\n        kept.append(bytearray(1 << 20))\n"
    assert interpreter.play(hoard)["error"].endswith("(`memory_mib` of its kind)")
    crumbs = "kept = []\ndef turn(t):\n    while True:\n        kept.append([kept])\n"
    crumbs_error = interpreter.play(crumbs)["error"]
    assert "MemoryError" in crumbs_error
    assert "`memory_mib` of its kind" in crumbs_error
    assert "RecursionError" in interpreter.play("def turn(t):\n    turn(t)\n")["error"]


def test_there_are_no_files_and_no_threads(interpreter: Interpreter) -> None:
    assert "FileNotFoundError" in interpreter.play("def turn(t):\n    open('/etc/passwd')\n")["error"]
    assert "PermissionError" not in interpreter.play("import os\ndef turn(t):\n    t.state = dict(os.environ)\n")
    thread = "import threading\ndef turn(t):\n    threading.Thread(target=print).start()\n"
    assert "can't start new thread" in interpreter.play(thread)["error"]


def test_source_that_does_not_compile_is_told_by_file_and_line(interpreter: Interpreter) -> None:
    files = {"agent.py": "import other\ndef turn(t): pass\n", "other.py": "x = 1\ndef f(:\n    pass\n"}
    error = prepare_with(interpreter.call, files)["error"]
    assert (error["file"], error["line"]) == ("other.py", 2)
    assert "invalid syntax" in error["message"]


def test_a_failed_turn_leaves_nothing_behind(interpreter: Interpreter) -> None:
    spoils = "import json, random\njson.dumps = None\nrandom.seed = None\ndef turn(t):\n    raise SystemExit(7)\n"
    assert interpreter.play(spoils)["error"].endswith("SystemExit: 7")
    assert interpreter.play("import json\ndef turn(t):\n    t.state = json.dumps([1])\n") == {"state": '"[1]"'}
