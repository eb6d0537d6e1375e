"""Recursion of CPython's C code ends in an exception that an agent can catch, as it does outside of the sandbox."""

from __future__ import annotations

import re

import pytest

from turnwise_guest.jsontext import NESTING_MAX, decode, nesting

from .conftest import Interpreter

DEPTH = 100_000
"""Five hundred times what JSON outputs may have, and what 4 MB of the default memory hold."""

BUILD = f"""
def lists():
    value = []
    for _ in range({DEPTH}): value = [value]
    return value

def tuples():
    value = ()
    for _ in range({DEPTH}): value = (value,)
    return value

def dicts():
    value = {{}}
    for _ in range({DEPTH}): value = {{"a": value}}
    return value

class Link:
    def __init__(self, other): self.other = other

def links():
    value = None
    for _ in range({DEPTH}): value = Link(value)
    return value

def nested(make, value=None, times=20_000):
    for _ in range(times): value = make(value)
    return value

def turn(t):
    try:
        try_it()
    except (RecursionError, MemoryError, ValueError, TypeError, EOFError) as error:
        t.log(type(error).__name__)
    else:
        t.log("fine")
"""

KINDS = {
    "freeing lists": "lists()",
    "freeing tuples": "tuples()",
    "freeing dicts": "dicts()",
    "freeing objects": "links()",
    "freeing closures": "nested(lambda value: (lambda: value))",
    "freeing iterators": "nested(itertools.chain, iter([]))",
    "freeing partials": "nested(lambda value: functools.partial(map, value), print)",
    "comparing lists": "lists() == lists()",
    "comparing tuples": "tuples() < tuples()",
    "comparing dicts": "dicts() == dicts()",
    "hashing": "hash(tuples())",
    "printing a list": "print(lists())",
    "printing a dict": "repr(dicts())",
    "printing a deque": "repr(nested(lambda value: collections.deque([value])))",
    "printing nicely": "pprint.pformat(lists())",
    "pickling": "pickle.dumps(lists())",
    "pickling in Python": "pickle._dumps(lists())",
    "unpickling": f"pickle.loads(b']' * {DEPTH} + b'a' * {DEPTH - 1} + b'.')",
    "copying": "copy.deepcopy(lists())",
    "writing JSON": "json.dumps(lists())",
    "writing indented JSON": "json.dumps(dicts(), indent=1)",
    "reading JSON": f"json.loads('[' * {DEPTH})",
    "reading JSON objects": f"""json.loads('{{"a":' * {DEPTH})""",
    "reading TOML": f"tomllib.loads('a=' + '[' * {DEPTH})",
    "compiling brackets": f"eval('(' * {DEPTH})",
    "compiling a sum": "eval('1' + '+1' * 20_000)",
    "compiling attributes": "eval('a' + '.a' * 20_000)",
    "compiling calls": "eval('a' + '()' * 20_000)",
    "parsing a sum": f"ast.parse('1' + '+1' * {DEPTH})",
    "compiling a tree": "compile(ast.Expression(nested(minus, ast.Constant(1, lineno=1, col_offset=1))), 'x', 'eval')",
    "telling a tree": "ast.dump(nested(minus, ast.Constant(1, lineno=1, col_offset=1)))",
    "writing a tree": "ast.unparse(nested(minus, ast.Constant(1, lineno=1, col_offset=1)))",
    "regular expressions": f"re.compile('(' * {DEPTH})",
    "XML": "xml.etree.ElementTree.tostring(xml.etree.ElementTree.fromstring('<a>' * 20_000 + '</a>' * 20_000))",
    "calling oneself": "call()",
    "being called": "Call.__call__()",
    "making oneself": "New()",
    "a key that sorts": "key(1)",
    "a key that bisects": "bisected(1)",
    "a cached function": "cached(1)",
    "types": "hash(nested(lambda value: list[value], int))",
    "groups of exceptions": "nested(lambda value: ExceptionGroup('', [value]), ValueError()).split(KeyError)",
}
HELPERS = """
import ast, bisect, collections, copy, functools, itertools, json, pickle, pprint, re, tomllib, xml.etree.ElementTree

def minus(value): return ast.UnaryOp(ast.USub(), value, lineno=1, col_offset=1)
def call(): call()
class Call: pass
Call.__call__ = Call()
class New:
    def __new__(cls): return New()
def key(_): return sorted([1, 2], key=key)
def bisected(_): return bisect.bisect([1], 1, key=bisected)
@functools.lru_cache(None)
def cached(n): return cached(n + 1)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_deep_structures_end_in_exceptions(interpreter: Interpreter, kind: str) -> None:
    output = interpreter.play(f"{HELPERS}{BUILD}\ndef try_it():\n    {KINDS[kind]}\n")
    assert output["log"][0]["text"] in ("fine", "RecursionError", "MemoryError", "ValueError", "TypeError", "EOFError")


def test_ordinary_recursion_keeps_its_bound(interpreter: Interpreter) -> None:
    source = "def down(n): return n and 1 + down(n - 1)\ndef turn(t): t.finish(down(900))\n"
    assert interpreter.play(source)["finish"] == 900


@pytest.mark.parametrize("link", ["__context__", "__cause__"])
def test_a_chain_of_exceptions_is_told(interpreter: Interpreter, link: str) -> None:
    source = f"""
def turn(t):
    last = None
    for number in range(20_000):
        error = ValueError(number)
        error.{link} = last
        last = error
    raise last
"""
    assert interpreter.play(source)["error"].endswith("ValueError: 19999")


def test_nested_groups_of_exceptions_are_told(interpreter: Interpreter) -> None:
    source = """
def turn(t):
    error = ValueError("innermost")
    for _ in range(20_000):
        error = ExceptionGroup("group", [error])
    raise error
"""
    assert "ExceptionGroup" in interpreter.play(source)["error"]


@pytest.mark.parametrize("body", ["[" * 5000, '{"a":' * 5000, "[" * 5000 + "]" * 5000, '["\\"["' + ",[" * 5000])
def test_a_deep_mail_does_not_lose_the_others(interpreter: Interpreter, body: str) -> None:
    source = """
def turn(t):
    for message in t.inbox:
        try:
            t.log(f"{message.sender}: {message.json()}")
        except ValueError as error:
            t.log(f"{message.sender}: {error}")
"""
    inbox = [{"from": "rude", "round": 1, "body": body}, {"from": "kind", "round": 1, "body": '{"hello":1}'}]
    told = [line["text"] for line in interpreter.play(source, inbox=inbox)["log"]]
    assert re.match(r"rude: .*nested more than 1000 levels deep", told[0])
    assert told[1] == "kind: {'hello': 1}"


def test_the_state_can_be_as_deep_as_what_is_read(interpreter: Interpreter) -> None:
    source = "def turn(t):\n    t.state = []\n    for _ in range(t.args['levels'] - 1): t.state = [t.state]\n"
    deep = interpreter.play(source, args={"levels": NESTING_MAX})
    assert deep == {"state": "[" * NESTING_MAX + "]" * NESTING_MAX}
    assert "t.state" in interpreter.play(source, args={"levels": NESTING_MAX + 1})["error"]
    assert interpreter.play("def turn(t): pass\n", state=deep["state"]) == deep


@pytest.mark.parametrize(
    ("text", "levels"),
    [("1", 0), ("[]", 1), ("[[],[]]", 2), ('{"a":[{}]}', 3), ('"[[["', 0), (r'["\"[[", "[", {}]', 2), ('"[' * 9, 4)],
)
def test_levels_are_counted_outside_of_strings(text: str, levels: int) -> None:
    assert nesting(text) == levels


def test_many_brackets_are_not_deep() -> None:
    assert len(decode("[" + "[]," * 5000 + "[]]")) == 5001
    with pytest.raises(ValueError, match="nested more than 1000 levels"):
        decode("[" * 1001 + "]" * 1001)
