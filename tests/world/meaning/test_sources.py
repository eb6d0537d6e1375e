from __future__ import annotations

from pathlib import Path

import pytest

from tests.world.conftest import MINIMAL, Write, only_problem
from turnwise.world import Agent, SourceFiles, World

WORLD = '[world]\nname = "test"\n[agents.a]\nsource = "{}"\n'


def source_of(world: Path | World) -> SourceFiles:
    resolved = (World.read(world) if isinstance(world, Path) else world).resolve()
    return resolved.sources["a"]


def test_python_comes_with_its_modules(write: Write) -> None:
    files = {
        "agents/a.py": "import lib.words\n",
        "agents/lib/__init__.py": "",
        "agents/lib/words.py": "from . import more\n",
        "agents/lib/more.py": "import json\n",
        "agents/other.py": "",
        "lib/words.py": "",
    }
    folder = write(WORLD.format("agents/a.py"), files)
    source = source_of(folder)
    assert source.language == "python"
    assert source.entry == "a.py"
    assert source.path == (folder / "agents/a.py").resolve()
    assert source.files == (
        ("a.py", b"import lib.words\n"),
        ("lib/__init__.py", b""),
        ("lib/more.py", b"import json\n"),
        ("lib/words.py", b"from . import more\n"),
    )


def test_modules_may_import_each_other_in_a_ring(write: Write) -> None:
    source = source_of(write(files={"a.py": "import b", "b.py": "import c", "c.py": "import a, b"}))
    assert [name for name, _ in source.files] == ["a.py", "b.py", "c.py"]


def test_python_that_is_newer_than_ours_comes_with_its_modules(write: Write) -> None:
    files = {"a.py": "import b; yet another syntax", "b.py": "import c", "c.py": "", "other.py": ""}
    assert [name for name, _ in source_of(write(files=files)).files] == ["a.py", "b.py", "c.py"]


def test_the_same_text_has_the_same_bytes_on_every_system(write: Write) -> None:
    source = source_of(write(files={"a.py": b"\xef\xbb\xbfimport b\r\nx = 1\r", "b.py": b"y = '\xc3\xa9'\r\n"}))
    assert source.files == (("a.py", b"import b\nx = 1\n"), ("b.py", "y = 'é'\n".encode()))


@pytest.mark.parametrize(
    ("name", "content", "language"), [("a.wasm", b"\0asm\r\n\xff", "wasm"), ("a.wat", b"(module)\r\n", "wat")]
)
def test_webassembly_is_taken_as_it_is(write: Write, name: str, content: bytes, language: str) -> None:
    source = source_of(write(WORLD.format(name), {name: content}))
    assert (source.language, source.entry, source.files) == (language, name, ((name, content),))


@pytest.mark.parametrize(
    ("name", "files", "message", "hint"),
    [
        ("b.py", {}, 'there is no file "b.py"', "Create it in "),
        ("lib", {"lib/x.py": ""}, '"lib" is no source', "A source is a .py, .js, .mjs, .agent, .wasm or .wat file."),
        ("b.txt", {"b.txt": ""}, '"b.txt" is no source', "A source is a .py, .js, .mjs, .agent, .wasm or .wat file."),
        ("b.PY", {"b.PY": ""}, '"b.PY" is no source', "A source is a .py, .js, .mjs, .agent, .wasm or .wat file."),
        ("lib.py", {"lib.py/x.py": ""}, '"lib.py" is not a file', "Name a regular file."),
        ("a.py/b.py", {}, 'the file "a.py/b.py" cannot be found: Not a directory', "Correct the path."),
        ("x" * 300 + ".py", {}, "cannot be found: File name too long", "Correct the path."),
        ("loop.py", {}, 'the file "loop.py" cannot be found', "Correct the path."),
        ("../b.py", {}, 'the file "../b.py" is outside the world\'s folder', "a world's folder holds all of it"),
        ("lib/../../b.py", {"lib/x": ""}, "is outside the world's folder", "Copy it into"),
        ("link.py", {}, 'the file "link.py" is outside the world\'s folder', "Copy it into"),
        ("uses_link.py", {"uses_link.py": "import link"}, 'the file "link.py" is outside', "Copy it into"),
        ("b.py", {"b.py": b"x = '\xe9'"}, 'the file "b.py" is not UTF-8: byte 0xe9 at offset 5 (line 1)', "UTF-8"),
        (
            "b.py",
            {"b.py": "import c", "c.py": b"\n\xff"},
            '"c.py" is not UTF-8: byte 0xff at offset 1 (line 2)',
            "UTF-8",
        ),
        ("b.wat", {"b.wat": b"\xff"}, 'the file "b.wat" is not UTF-8', "UTF-8"),
    ],
)
def test_a_source_that_cannot_be_had(
    write: Write, name: str, files: dict[str, str | bytes], message: str, hint: str
) -> None:
    root = write(files={"b.py": ""})
    folder = write(files={f"world/{file}": text for file, text in files.items()}) / "world"
    write(files={"world/world.toml": WORLD.format(name), "world/a.py": ""})
    (folder / "link.py").symlink_to(root / "b.py")
    (folder / "loop.py").symlink_to(folder / "loop.py")
    problem = only_problem(folder)
    assert problem.where == f"{folder}/world.toml: agents.a.source"
    assert message in problem.message
    assert hint in problem.hint


def test_an_absolute_path_is_judged_by_where_it_leads(write: Write) -> None:
    folder = write()
    write(WORLD.format(folder / "a.py"))
    assert source_of(folder).entry == "a.py"
    write(WORLD.format("/etc/hostname.py"))
    assert "there is no file" in only_problem(folder).message


def test_a_world_in_a_linked_folder_is_a_world(write: Write, tmp_path: Path) -> None:
    write(files={"real/world.toml": MINIMAL, "real/a.py": "import b", "real/b.py": ""})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert source_of(tmp_path / "link") == source_of(tmp_path / "real")


def test_links_inside_the_world_are_followed(write: Write) -> None:
    folder = write(WORLD.format("link.py"), {"shared/b.py": "import c", "c.py": ""})
    (folder / "link.py").symlink_to(folder / "shared/b.py")
    assert source_of(folder).files == (("c.py", b""), ("link.py", b"import c"))


def test_sources_are_bounded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(files={"a.py": "import b, c\n", "b.py": "#" * 50, "c.py": "#" * 50})
    monkeypatch.setattr("turnwise.world.meaning.sources.PYTHON_SOURCE_BYTES_MAX", 100)
    problem = only_problem(folder)
    assert problem.message == '"a.py" and its local modules are too large'
    assert problem.hint == "At most 100 bytes of source are allowed for one kind."
    monkeypatch.setattr("turnwise.world.meaning.sources.PYTHON_SOURCE_BYTES_MAX", 40)
    assert only_problem(folder).message == 'the file "b.py" is too large'
    monkeypatch.undo()
    monkeypatch.setattr("turnwise.world.meaning.sources.PYTHON_SOURCE_FILES_MAX", 2)
    assert only_problem(folder).message == '"a.py" comes with more than 2 local modules'
    monkeypatch.setattr("turnwise.world.meaning.sources.WASM_SOURCE_BYTES_MAX", 10)
    assert "is too large" in only_problem(write(WORLD.format("a.wasm"), {"a.wasm": "x" * 11})).message


def test_sources_given_in_python_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.world.meaning.sources.PYTHON_SOURCE_BYTES_MAX", 10)
    monkeypatch.setattr("turnwise.world.meaning.sources.WASM_SOURCE_BYTES_MAX", 10)
    for source in ("pass\n" * 3, "(module     )", b"\0asm" * 3):
        assert "too large" in only_problem(World("test", agents={"a": Agent(source)})).message


def test_source_may_be_given_as_text(write: Write) -> None:
    text = """
        import words

        def turn(t):
            words.say(t)
    """
    folder = write(files={"words.py": "", "a.py": "\nimport words\n\ndef turn(t):\n    words.say(t)\n"})
    built = source_of(World("test", agents={"a": Agent(text)}, folder=folder))
    assert built == source_of(folder)
    assert hash(built) == hash(source_of(folder))
    assert built.path is None


def test_text_without_a_folder_has_no_modules(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(files={"words.py": ""}))
    built = source_of(World("test", agents={"a": Agent("import words\n")}))
    assert built.files == (("a.py", b"import words\n"),)


def test_text_is_named_after_its_kind() -> None:
    sources = World("test", agents={"b-1.x": Agent("pass\n"), "c": Agent(";; c\n(module)")}).resolve().sources
    assert (sources["b-1.x"].entry, sources["c"].entry) == ("b_1_x.py", "c.wat")


def test_bytes_are_webassembly() -> None:
    source = source_of(World("test", agents={"a": Agent(b"\0asm\1\0\0\0")}))
    assert (source.language, source.files) == ("wasm", (("a.wasm", b"\0asm\1\0\0\0"),))


def test_paths_without_a_folder_lead_anywhere(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(files={"lib/x": "", "a.py": "import b", "b.py": ""})
    monkeypatch.chdir(folder / "lib")
    built = source_of(World("test", agents={"a": Agent("../a.py")}))
    assert built == source_of(folder)


def test_a_single_line_is_a_path() -> None:
    assert only_problem(World("test", agents={"a": Agent("def turn(t): pass")})).message.endswith("is no source")


def test_javascript_comes_with_the_files_that_it_imports(write: Write) -> None:
    files = {
        "agents/a.js": "import './lib/b.js';\r\nexport function turn() {}",
        "agents/lib/b.js": "import('../c.mjs')",
        "agents/c.mjs": "",
        "agents/other.js": "",
    }
    source = source_of(write(WORLD.format("agents/a.js"), files))
    assert (source.language, source.entry) == ("javascript", "a.js")
    assert source.files == (
        ("a.js", b"import './lib/b.js';\nexport function turn() {}"),
        ("c.mjs", b""),
        ("lib/b.js", b"import('../c.mjs')"),
    )


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("export function turn(t) {\n}", "javascript"),
        ("const x = 1;\n  export default (t) => 1;\n", "javascript"),
        ("import { a } from './a.js'\nexport { turn } from './b.js'", "javascript"),
        ("def turn(t):\n    export = 1\n", "python"),
        ("# export function turn\ndef turn(t): pass", "python"),
        ("(module)\nexport function", "wat"),
    ],
)
def test_the_language_of_text_is_seen_from_it(text: str, language: str) -> None:
    assert source_of(World("w", agents={"a": Agent(text)})).language == language
