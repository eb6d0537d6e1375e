"""Imports of JavaScript agents, found in their text."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnwise.world.meaning.script_imports import imported_files


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import { a } from './a.js';", ["a.js"]),
        ('import a, { b } from "./a.js"\nexport * from "./lib/b.js"', ["a.js", "lib/b.js"]),
        ("import './a.js'; import './a.js'", ["a.js"]),
        ("import(\n './a.js')", ["a.js"]),
        ("export { x } from'./lib/../a.js'", ["a.js"]),
        ("import 'turnwise'; import './nowhere.js'; import '../outside.js'; import './lib'", []),
        ("import x from './a.js\n'", []),
        ("const from = 'a.js'; reimport('./a.js')", []),
        ("// import './a.js' is found in comments, too", ["a.js"]),
    ],
)
def test_files_beside_the_agent_are_found(text: str, found: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "world"
    (folder / "lib").mkdir(parents=True)
    for name in ("a.js", "lib/b.js", "../outside.js"):
        (folder / name).write_text("")
    assert imported_files(text, "agent.js", folder) == found


def test_names_are_relative_to_the_file_that_imports(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for name in ("a.js", "lib/b.js"):
        (tmp_path / name).write_text("")
    assert imported_files("import '../a.js'; import './b.js'", "lib/c.js", tmp_path) == ["a.js", "lib/b.js"]
