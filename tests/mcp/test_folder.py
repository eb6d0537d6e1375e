from __future__ import annotations

from pathlib import Path

import pytest

from turnwise.mcp.folder import ListedFolder, PathRefused


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "counting/../../outside",
        "/etc/passwd",
        "link",
        "link/world.toml",
        "",
        "a\0b",
        "a\nb",
        "..",
        "a\\b",
        "x" * 2000,
    ],
)
def test_no_name_leads_out(folder: Path, name: str) -> None:
    listed = ListedFolder(folder)
    with pytest.raises(PathRefused):
        listed.existing(name)
    with pytest.raises(PathRefused):
        listed.new(f"{name}/new.journal", ".journal")


def test_what_is_inside_may_be_named(folder: Path) -> None:
    (folder / "-v").mkdir()
    (folder / "inner").symlink_to(folder / "counting")
    listed = ListedFolder(folder)
    assert listed.existing("counting/world.toml") == "./counting/world.toml"
    assert listed.existing("inner") == "./counting"
    assert listed.existing("-v") == "./-v"  # which is no option then
    assert listed.new("counting/a.journal", ".journal") == "./counting/a.journal"


def test_a_new_file_is_new_and_a_journal(folder: Path) -> None:
    (folder / "dangling.journal").symlink_to(folder / "nowhere")
    listed = ListedFolder(folder)
    for name in ("no.journal", "a.py", "nowhere/a.journal", "dangling.journal"):
        with pytest.raises(PathRefused):
            listed.new(name, ".journal")


def test_worlds_are_listed_but_not_through_links(folder: Path) -> None:
    assert ListedFolder(folder).worlds() == ["counting"]
