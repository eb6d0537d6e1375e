"""Whole turns through the runtime, natively: importing, failing, and the envelope's reading."""

from __future__ import annotations

import json
import random
import sys

import pytest

from turnwise_guest.runtime.execute import execute
from turnwise_guest.runtime.failure import TEXT_CHARS_MAX

from .conftest import ENVELOPE, Play, compact, no_bytes, no_effect, prepare_with


def test_a_turn(play: Play) -> None:
    source = "def turn(t):\n    t.state['n'] = t.state.get('n', 0) + 1\n    t.send('b', 'ü')\n"
    assert play(source, state='{"n":4}') == {"send": [{"body": "ü", "to": "b"}], "state": '{"n":5}'}


def test_local_modules_and_packages(play: Play) -> None:
    files = {
        "agent.py": "import lib.words, deep.er.most\nfrom lib import helper\nfrom lib.words import hello\n"
        "def turn(t):\n    t.state = [hello(), helper.twice(2), deep.er.most.X, __name__, __file__]\n",
        "lib/__init__.py": "from . import words\nfrom .helper import twice\n",
        "lib/words.py": "from .helper import twice\ndef hello():\n    return 'hi' * twice(1)\n",
        "lib/helper.py": "def twice(n):\n    return 2 * n\n",
        "deep/er/most.py": "import agent\nX = agent.__name__\n",
        "unused.py": "raise ValueError('is not imported')\n",
    }
    assert json.loads(play(files)["state"]) == ["hihi", 4, "agent", "agent", "agent.py"]


def test_a_module_is_imported_once(play: Play) -> None:
    files = {
        "agent.py": "import a, b\ndef turn(t):\n    t.state = a.shared is b.a.shared\n",
        "a.py": "shared = object()\n",
    }
    assert play({**files, "b.py": "import a\n"})["state"] == "true"


def test_the_modules_own_chance_is_seeded_for_each_turn(play: Play) -> None:
    source = "import random\ndef turn(t):\n    t.state = [random.random(), t.random.random()]\n"
    random.seed(1)
    first = play(source)
    random.seed(2)
    assert play(source) == first
    own = "def turn(t):\n    t.state = t.random.random()\n"
    assert json.loads(play(own)["state"]) == json.loads(first["state"])[1]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("x = 1\n", "agent.py has no function turn: define `def turn(t: Turn) -> None:`"),
        ("turn = 5\n", "turn in agent.py is no function but 5"),
        ("async def turn(t): pass\n", "turn in agent.py is an async function"),
        ("def turn(t):\n    yield 1\n", "turn in agent.py is a generator"),
        ("async def turn(t):\n    yield 1\n", "turn in agent.py is a generator"),
    ],
)
def test_functions_that_would_do_nothing(play: Play, source: str, text: str) -> None:
    assert play(source)["error"].startswith(text)


def test_a_callable_object_will_do(play: Play) -> None:
    source = "class Agent:\n    def __call__(self, t):\n        t.state = 1\nturn = Agent()\n"
    assert play(source) == {"state": "1"}


@pytest.mark.parametrize(
    ("body", "end"),
    [
        ("raise ValueError('bad')", "ValueError: bad"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("exit(3)", "SystemExit: 3"),
        ("turn(t)", "RecursionError: maximum recursion depth exceeded"),
        (
            "raise MemoryError",
            "MemoryError: the turn asked for more memory than it may have (`memory_mib` of its kind)",
        ),
        ("raise MemoryError('mine')", "MemoryError: mine"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("t.send('b', {1})", "turnwise_guest.NotJSON: body is a set"),
        ("t.generate('m', 'x')", "turnwise_guest.EffectError: denied: no"),
        ("raise ValueError('half \\ud800')", "ValueError: half \\ud800"),
    ],
)
def test_what_is_raised_fails_the_turn_with_a_traceback(play: Play, body: str, end: str) -> None:
    def effect(_: str) -> str:
        return compact({"error": {"kind": "denied", "message": "no"}})

    error = play(f"def turn(t):\n    {body}\n", effect=effect)["error"]
    assert error.startswith('Traceback (most recent call last):\n  File "agent.py", line 2, in turn\n    ')
    assert error.splitlines()[-1].startswith(end)
    assert "execute.py" not in error
    error.encode()


def test_a_state_that_is_no_json_is_told_without_a_traceback(play: Play) -> None:
    error = play("def turn(t):\n    t.state['a'] = [{1}]\n")["error"]
    assert error.startswith("t.state['a'][0] is a set, which is not a JSON value")


def test_failing_while_imported(play: Play) -> None:
    files = {"agent.py": "import lib.bad\ndef turn(t): pass\n", "lib/bad.py": "x = 1\nx / 0\n"}
    error = play(files)["error"]
    assert 'File "agent.py", line 1, in <module>\n    import lib.bad' in error
    assert 'File "lib/bad.py", line 2, in <module>\n    x / 0' in error
    assert "importlib" not in error


def test_chained_errors_and_groups_show_own_frames_only(play: Play) -> None:
    source = (
        "import json\ndef turn(t):\n    try:\n        json.loads('{')\n    except ValueError as error:\n"
        "        raise ExceptionGroup('several', [KeyError('x'), error]) from error\n"
    )
    error = play(source)["error"]
    assert "direct cause" in error
    assert "json.loads('{')" in error
    assert "several (2 sub-exceptions)" in error
    assert "decoder.py" not in error


def test_a_long_traceback_loses_its_middle(play: Play) -> None:
    error = play("def turn(t):\n    raise ValueError('<' + 'x' * 1_000_000 + '>')\n")["error"]
    assert len(error) < TEXT_CHARS_MAX + 100
    assert error.endswith("x>")
    assert "characters left out" in error


def test_an_error_that_cannot_be_shown_is_shown(play: Play) -> None:
    source = "class E(Exception):\n    def __str__(self):\n        raise ValueError\ndef turn(t):\n    raise E\n"
    assert "<exception str() failed>" in play(source)["error"]


def test_what_an_agent_does_to_its_streams_is_its_own_matter(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import sys\ndef turn(t):\n    sys.stdout = None\n    print('gone')\n"
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    assert play(source) == {"state": "{}"}


@pytest.mark.parametrize("args", [{}, {"program": "no"}, {"x": {"program": "no"}}, {"x": '"program":"', "y": "}"}])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("first", [False, True])
def test_the_program_is_found_wherever_it_stands(
    play: Play, args: dict[str, object], separators: tuple[str, str], first: bool
) -> None:
    source = "def turn(t):\n    t.state = t.args\n"
    program = prepare_with(lambda text: execute(text, no_effect, no_bytes), source)["program"]
    envelope = {**ENVELOPE, "args": args}
    envelope = {"program": program, **envelope} if first else {**envelope, "program": program}
    reply = json.loads(execute(json.dumps(envelope, separators=separators), no_effect, no_bytes))
    assert json.loads(reply["state"]) == args
    play("def turn(t): pass\n")  # restores what the bare call left


def test_another_abi_is_refused() -> None:
    assert "version 1 of the ABI, not 2" in execute(compact({**ENVELOPE, "abi": 2, "program": ""}), no_effect, no_bytes)
