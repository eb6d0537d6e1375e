"""The decoder gives one answer for one text, whatever the interpreter around it is set to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnwise.core import json_text
from turnwise.core.canonical import canonical, in_order
from turnwise.core.json_text import INTEGER_DIGITS_MAX, NestedTooDeeplyError, decode, integer_text

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.text(alphabet='[]{}"\\a', max_size=6) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='ab{"', max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def levels_of_text(text: str) -> int:
    """The rule: lists and objects open at once, counted character by character."""
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


@given(VALUES, st.integers(1, 6))
@example({"a": [[[]]]}, 3)
@example({"a": [[[]]]}, 4)
@example([["["]], 2)
def test_levels_are_those_of_the_text(value: Any, nesting_max: int) -> None:
    text = json.dumps(value)
    if levels_of_text(text) > nesting_max:
        with pytest.raises(NestedTooDeeplyError, match=str(nesting_max)):
            decode(text, nesting_max)
    else:
        assert decode(text, nesting_max) == value


@pytest.mark.parametrize("hidden", [3, 300, 100_000])
def test_a_repeated_key_hides_no_depth(hidden: int) -> None:
    text = '{"a":' + "[" * hidden + "]" * hidden + ',"a":1}'
    with pytest.raises(NestedTooDeeplyError):
        decode(text, 3)
    assert decode('{"a":[[1]],"a":1}', 3) == {"a": 1}


@pytest.mark.parametrize("text", ["[NaN]", "[Infinity]", "[-Infinity]", "[1", "", "[01]", "{1:2}"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(text)


@given(st.integers() | st.integers(1, 4300).map(lambda digits: 7 * 10 ** (digits - 1) + 3))
@example(-(10**511))
@example(10**512)
@example(-(10**1024) + 1)
def test_whole_numbers_survive(value: int) -> None:
    text = integer_text(value)
    assert text == str(value)
    assert decode(f"[{text}]") == [value]


def test_the_digits_of_a_whole_number_are_bounded() -> None:
    most = "9" * INTEGER_DIGITS_MAX
    assert decode(f"[-{most}]") == [-int(most)]
    with pytest.raises(ValueError, match="4301 digits"):
        decode(f"[-{most}9]")


PROGRAM = """
import sys
from turnwise.core.canonical import canonical, in_order
from turnwise.core.envelope import decode_needs, decode_output
from turnwise.core.round_outcome import merged
from turnwise.core.turn import Completed, Needs

sys.stdout.reconfigure(encoding="utf-8", newline="\\n")
for digits in (1, 511, 512, 513, 640, 641, 1024, 4299, 4300, 4301, 5000):
    for number in ("1" * digits, "-" + "9" * digits):
        text = '{"b": [%s, 1.5, true, null, "\\u00e9\\\\ud83d\\\\ude00"], "a": {}}' % number
        output = decode_output('{"state": "", "finish": %s}' % text)
        print(output.output.finish if isinstance(output, Completed) else output.failure)
        needs = decode_needs('{"effect": "generate", "model": "m", "x": %s}' % text)
        print(needs.requests[0].body if isinstance(needs, Needs) else needs.failure)
        if digits <= 4300:
            print(merged('{"z": 1}', output.output.finish))
for depth in (63, 64, 65, 400, 2000, 100_000):
    text = "[" * depth + "]" * depth
    print(depth, type(decode_output('{"state": "", "finish": %s}' % text)).__name__)
    print(depth, type(decode_output('{"state": "", "finish": {"a": %s, "a": 1}}' % text)).__name__)
print(canonical({"\\u00e9": 1, "z": 2, "Z": 3, "\\U0001f600": [0.1, 1e300, 5e-324]}))
"""

ENVIRONMENTS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "short integers": ({"PYTHONINTMAXSTRDIGITS": "640"}, ()),
    "unlimited integers": ({"PYTHONINTMAXSTRDIGITS": "0"}, ()),
    "another hash seed": ({"PYTHONHASHSEED": "1"}, ()),
    "locale C": ({"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ()),
    "a time zone": ({"TZ": "Pacific/Kiritimati"}, ()),
    "warnings are errors": ({"PYTHONWARNINGS": "error"}, ()),
    "optimised": ({}, ("-OO",)),
    "development mode": ({}, ("-X", "dev")),
    "a low recursion limit": ({}, ("-c", "import sys; sys.setrecursionlimit(200)\n" + PROGRAM)),
    "a high recursion limit": ({}, ("-c", "import sys; sys.setrecursionlimit(20_000)\n" + PROGRAM)),
}


def answers_of(program: str, environment: dict[str, str], options: tuple[str, ...]) -> str:
    """What a program writes in such an environment. `options` may hold another program after `-c`."""
    arguments = options if "-c" in options else (*options, "-c", program)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        [sys.executable, *arguments],
        env={**kept, "PYTHONPATH": paths, **environment},
        capture_output=True,
        check=True,
        encoding="utf-8",
    ).stdout


def answers(environment: dict[str, str], options: tuple[str, ...]) -> str:
    return answers_of(PROGRAM, environment, options)


@pytest.fixture(scope="module")
def usual() -> str:
    """Answers of the interpreter as it comes."""
    return answers({}, ())


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_nothing_around_the_interpreter_reaches_an_answer(name: str, usual: str) -> None:
    assert usual.count("a whole number of") == 8
    assert usual.count("Failed") == 11
    assert answers(*ENVIRONMENTS[name]) == usual


@given(VALUES)
@example({"a": [[10**4000]]})
@example({"a": 10**4000, "b": ["é", {"c": -(10**600)}, 1.5, True, None]})
def test_long_integers_are_written_as_usual_where_the_interpreter_refuses(value: Any) -> None:
    usual = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert canonical(value) == usual
    finally:
        sys.set_int_max_str_digits(limit)


def test_long_integers_leave_the_order_of_keys_as_it_is_asked_for() -> None:
    value = {"b": 10**700, "a": {"z": 1, "y": 2}}
    long = "1" + "0" * 700
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert canonical(value) == f'{{"a":{{"y":2,"z":1}},"b":{long}}}'
        assert in_order(value) == f'{{"b":{long},"a":{{"z":1,"y":2}}}}'
    finally:
        sys.set_int_max_str_digits(limit)


@given(VALUES, VALUES, st.integers(1, 6))
@example([[1], [1]], 1, 3)
@example([[1], [1]], 1, 2)
@example([[], [], []], 1, 3)
@example(["[[["], 1, 2)
@example(['"[[['], 1, 2)
@example(["[[[\\"], 1, 2)
@example(['"', [[[1]]]], 1, 4)
@example([["]]"], [[[1]]]], 1, 4)
def test_levels_of_a_text_with_a_repeated_key_are_those_of_the_text(hidden: Any, shown: Any, nesting_max: int) -> None:
    text = f'{{"a":{json.dumps(hidden)},"a":{json.dumps(shown)}}}'
    if levels_of_text(text) > nesting_max:
        with pytest.raises(NestedTooDeeplyError, match=str(nesting_max)):
            decode(text, nesting_max)
    else:
        assert decode(text, nesting_max) == {"a": shown}


def test_a_text_that_is_as_deep_as_allowed_and_too_deep_for_the_stack_is_not_said_to_be_deeper() -> None:
    inside = 99_999
    with pytest.raises(RecursionError):
        decode("[" + "[" * inside + "]" * inside + ",[]]", inside + 1)
    with pytest.raises(NestedTooDeeplyError):
        decode("[" + "[" * inside + "]" * inside + ",[]]", inside)


SPACE = st.text(" \n\t\r\x00", max_size=3)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    text=st.text('[]{}",:0123456789.eE+-truefalsnNIy \n\t\\u\ud800é')
    | st.builds(lambda value, before, after: before + json.dumps(value) + after, ANY, SPACE, SPACE)
)
@example(text="")
@example(text=" 1")
@example(text="1 ")
@example(text="1 2")
@example(text="\ufeff1")
@example(text='{"a":1,"a":2}')
@example(text="[NaN]")
def test_a_text_that_is_not_nested_deeply_is_read_as_the_decoder_reads_it(text: str) -> None:
    """Value, or the words of the error: both may reach an outcome."""

    def said(read: Callable[[str], Any]) -> object:
        try:
            return repr(read(text))
        except (ValueError, RecursionError) as error:
            return type(error), str(error)

    theirs = json.JSONDecoder(parse_int=json_text._integer, parse_constant=json_text._refuse_constant)
    assert said(decode) == said(theirs.decode)


@pytest.mark.parametrize("size", [0, 600])
@pytest.mark.parametrize("before", ["1", "-", "x", "[", "]", '"'])
def test_what_stands_before_a_value_is_no_part_of_it(before: str, size: int) -> None:
    value = "a" * size
    assert decode(f' "{value}"') == value
    with pytest.raises(ValueError, match="line 1 column"):
        decode(f'{before}"{value}"')
