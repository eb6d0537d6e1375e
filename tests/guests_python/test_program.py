"""Compiling source files into a program, and carrying it."""

from __future__ import annotations

import pytest

from turnwise_guest.runtime.program import CannotPrepare, Program, module_name, prepare, prepare_reply


@pytest.mark.parametrize(
    ("file", "name", "is_package"),
    [
        ("narrator.py", "narrator", False),
        ("lib/words.py", "lib.words", False),
        ("lib/__init__.py", "lib", True),
        ("a/b/__init__.py", "a.b", True),
        ("my-agent.py", "my-agent", False),
    ],
)
def test_names_of_modules(file: str, name: str, is_package: bool) -> None:
    assert module_name(file) == (name, is_package)


def test_a_program_travels_as_text() -> None:
    files = {"narrator.py": "import lib\n", "lib/__init__.py": "x = 'ü'\n"}
    program = prepare("narrator.py", files)
    assert list(prepare("narrator", dict(reversed(files.items()))).modules) == list(program.modules)
    carried = Program.from_text(program.to_text())
    assert carried == program
    assert carried.to_text().isascii()
    assert carried.code("lib").co_filename == "lib/__init__.py"
    assert carried.source("narrator.py") == "import lib\n"
    assert carried.source("other.py") is None


@pytest.mark.parametrize(
    ("files", "file", "line", "message"),
    [
        ({"agent.py": "x = 1\ndef turn(t)\n"}, "agent.py", 2, "expected ':': def turn(t)"),
        ({"agent.py": "", "b.py": "  x\n"}, "b.py", 1, "unexpected indent"),
        ({"agent.py": "x = '\0'\n"}, "agent.py", 1, "null byte"),
        ({"agent.py": "s = '\ud800'\n"}, "agent.py", 1, "surrogates not allowed"),
        ({"agent.py": "(" * 5000}, "agent.py", 1, "too many nested parentheses"),
        ({"agent.py": "x = " + "-" * 100_000 + "1\n"}, "agent.py", 1, "too"),
        ({"agent.py": "return 5\n"}, "agent.py", 1, "'return' outside function"),
        ({"agent.py": "", "random.py": ""}, "random.py", 1, "belongs to a standard module: rename random.py"),
        ({"agent.py": "", "json/__init__.py": ""}, "json/__init__.py", 1, "rename the folder json"),
        ({"agent.py": "", "turnwise_guest/x.py": ""}, "turnwise_guest/x.py", 1, "rename the folder turnwise_guest"),
        ({"agent.py": "", "lib.py": "", "lib/__init__.py": ""}, "lib/__init__.py", 1, "and so is lib.py"),
        ({"other.py": ""}, "agent.py", 1, "there is no such file among other.py"),
        ({}, "agent.py", 1, "among no files"),
    ],
)
def test_what_cannot_become_a_program(files: dict[str, str], file: str, line: int, message: str) -> None:
    with pytest.raises(CannotPrepare) as caught:
        prepare("agent.py", files)
    assert (caught.value.file, caught.value.line) == (file, line)
    assert message in caught.value.message
    error = prepare_reply({"entry": "agent.py", "files": files})["error"]
    assert error == {"file": file, "line": line, "message": caught.value.message}
