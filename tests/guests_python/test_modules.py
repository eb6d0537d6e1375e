"""The standard modules that agents have are whole: late imports and codecs are there."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from .conftest import Interpreter

SCAN = """
import dis, importlib, sys, types

def codes(values):
    seen = set()
    pending = list(values)
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, types.CodeType):
            yield value
            pending += value.co_consts
        elif isinstance(value, types.FunctionType):
            pending.append(value.__code__)
        elif isinstance(value, staticmethod | classmethod):
            pending.append(value.__func__)
        elif isinstance(value, property):
            pending += [value.fget, value.fset, value.fdel]
        elif isinstance(value, type):
            pending += vars(value).values()

def imported(code, package):
    instructions = list(dis.get_instructions(code))
    for index, instruction in enumerate(instructions):
        if instruction.opname == "IMPORT_NAME":
            level = instructions[index - 2].argval
            name = instruction.argval
            yield f"{package}.{name}".strip(".") if level else name

def turn(t):
    missing = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] not in sys.stdlib_module_names:
            continue
        for code in codes(vars(module).values()):
            for other in imported(code, module.__package__):
                try:
                    importlib.import_module(other)
                except ImportError:
                    missing[other] = f"{name}: {code.co_qualname}"
    t.finish(missing)
"""

LEFT_OUT = {
    "_ios_support": "iOS",
    "_pyrepl.main": "the interactive prompt",
    "_pyrepl.readline": "the interactive prompt",
    "_pyrepl.unix_console": "the interactive prompt",
    "_pyrepl.windows_console": "the interactive prompt",
    "ctypes": "native code",
    "getopt": "modules that are run as programs",
    "grp": "users' groups; shutil does without",
    "importlib.readers": "files in packages",
    "java.lang": "Java",
    "nt": "Windows",
    "plistlib": "macOS",
    "py_compile": "writing bytecode into archives",
    "pwd": "users' folders; os.path does without",
    "pydoc": "help()",
    "readline": "the interactive prompt",
    "rlcompleter": "the interactive prompt",
    "sitecustomize": "starting Python",
    "socket": "uuid.getnode asks the network, and does without",
    "subprocess": "os.popen, uuid.getnode",
    "tarfile": "archives of files",
    "traceback.difflib": "how `from . import` reads to the scan",
    "urllib.error": "Path.from_uri",
    "urllib.request": "Path.as_uri, Path.from_uri",
    "usercustomize": "starting Python",
    "vms_lib": "OpenVMS",
    "winreg": "Windows",
}
"""What is not there, and what for."""

CODECS = """
import encodings.aliases, sys
def turn(t):
    missing = set()
    for name in sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values()}):
        if name != name.lower():
            continue  # an alias that CPython itself never finds, since it looks for names in lower case
        try:
            assert "a".encode(name).decode(name) == "a"
        except LookupError as error:
            if "unknown encoding" in str(error):
                missing.add(encodings.aliases.aliases.get(name, name))
        except UnicodeError:
            pass
    t.finish(sorted(missing))
"""


def test_what_modules_import_late_is_there(interpreter: Interpreter) -> None:
    missing = interpreter.play(SCAN)["finish"]
    assert {name: by for name, by in missing.items() if name not in LEFT_OUT} == {}
    assert "getopt" in missing, "the scan finds what is missing"


def test_every_encoding_with_a_name_is_there_but_those_of_windows_and_bzip2(interpreter: Interpreter) -> None:
    assert interpreter.play(CODECS)["finish"] == ["bz2_codec", "mbcs"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("ast.unparse(ast.parse('x = 1+2'))", "x = 1 + 2"),
        ("'é'.encode('iso-8859-15').hex()", "e9"),
        ("bytes.fromhex('93fa967b').decode('shift_jis')", "日本"),
        ("'中'.encode('gb18030').hex()", "d6d0"),
        ("'Привет'.encode('koi8-r').decode('koi8_r')", "Привет"),
        ("inspect.getsource(turn).splitlines()[0]", "def turn(t):"),
        ("inspect.getsource(helper.double)", "def double(x):\n    return 2 * x\n"),
        ("type(t'{1}').__name__", "Template"),
        ("string.templatelib.Template('a').strings[0]", "a"),
        ("type(hashlib.sha256(b'').digest()).__name__", "bytes"),
    ],
)
def test_what_was_missing_works(interpreter: Interpreter, expression: str, expected: str) -> None:
    files = {
        "agent.py": "import ast, hashlib, helper, inspect, string, string.templatelib\n"
        f"def turn(t):\n    t.finish({expression})\n",
        "helper.py": "def double(x):\n    return 2 * x\n",
    }
    assert interpreter.play(files)["finish"] == expected


NAMES = """
import importlib, turnwise_guest.runtime.modules as modules
def turn(t):
    missing = []
    for name in modules.ADVERTISED:
        module = importlib.import_module(name)
        missing += [f"{name}.{one}" for one in getattr(module, "__all__", ()) if not hasattr(module, one)]
    t.finish(missing)
"""


def test_what_modules_say_that_they_have_is_there(interpreter: Interpreter) -> None:
    assert interpreter.play(NAMES)["finish"] == []


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("hashlib.pbkdf2_hmac('sha256', b'p', b's', 1)", "module 'hashlib' has no attribute 'pbkdf2_hmac'"),
        ("hashlib.scrypt(b'p', salt=b's', n=2, r=1, p=1)", "module 'hashlib' has no attribute 'scrypt'"),
        ("pathlib.Path('/a').as_uri()", "urllib.request"),
        ("pathlib.Path.from_uri('file:///a')", "urllib"),
        ("os.popen('ls')", "subprocess"),
        ("help(int)", "pydoc"),
    ],
)
def test_parts_that_need_what_a_sandbox_does_not_have_say_so(
    interpreter: Interpreter, expression: str, said: str
) -> None:
    error = interpreter.play(f"import hashlib, os, pathlib\ndef turn(t):\n    {expression}\n")["error"]
    assert said in error
    assert expression in error, "the traceback shows the agent's own line"


def test_every_part_that_is_missing_is_told_to_those_who_write_agents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "agents-python.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("Parts of these modules that need"))
    for name in ("hashlib.pbkdf2_hmac", "hashlib.scrypt", "Path.as_uri", "Path.from_uri", "os.popen", "help()"):
        assert f"`{name}`" in line


def test_every_hash_that_is_guaranteed_can_be_made(interpreter: Interpreter) -> None:
    source = """
import hashlib, hmac
def turn(t):
    t.finish({name: hmac.new(b"k", b"text", name).hexdigest()[:8] for name in sorted(hashlib.algorithms_guaranteed)
              if not name.startswith("shake")})
"""
    expected = {
        name: hmac.new(b"k", b"text", name).hexdigest()[:8]
        for name in sorted(hashlib.algorithms_guaranteed)
        if not name.startswith("shake")
    }
    assert interpreter.play(source)["finish"] == expected
