"""A new world to begin with.

`guessing` is a game between two agents that needs no model, with comments that teach, in one of several languages;
`haggle` is a market whose people talk by the model that comes with Turnwise; `tools` is a shop whose clerk calls tools.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from turnwise.errors import UsageError
from turnwise.world.limits import TITLE_LENGTH_MAX
from turnwise.world.problems import quoted

TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "guessing": ("world.toml", "keeper.py", "guesser.py"),
    "tools": ("world.toml", "clerk.py", "calc.py", "shelf/apples.txt", "shelf/pears.txt"),
    "haggle": ("world.toml", "crier.py", "person.py", "speech.py", "people.csv", "people-gruff.csv"),
}
"""The files of each world that there is to begin with."""

LANGUAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "python": TEMPLATES["guessing"],
    "javascript": ("world.toml", "keeper.js", "guesser.js", "turnwise.d.ts"),
    "c": ("world.toml", "keeper.c", "guesser.c", "turnwise.h"),
}
"""The files of `guessing` in each language: the same game, with the same outcome."""

_SHARED: Final[Mapping[str, str]] = {
    "turnwise.d.ts": "guests/javascript/turnwise.d.ts",
    "turnwise.h": "guests/c/turnwise.h",
}
"""Files that are not a template's own, where they lie in a checkout."""

_SOURCES: Final[Mapping[str, tuple[str, str]]] = {"javascript": (".js", ".js"), "c": (".wasm", ".c")}
"""Endings, by language, of what a world file names and of what its author writes."""


def create_world(folder: Path, template: str = "guessing", language: str = "python") -> tuple[Path, ...]:
    """Write a small world that runs into a new folder, or an empty one, and returns its files, world.toml first.

    The world is named like the folder. Nothing is ever overwritten: raises UsageError where something is in the way,
    and for an unknown template or language.
    """
    if template not in TEMPLATES:
        raise UsageError(f"there is no template {quoted(template)}", hint=f"Use one of: {', '.join(TEMPLATES)}.")
    if language not in LANGUAGES:
        raise UsageError(f"there is no template in {quoted(language)}", hint=f"Use one of: {', '.join(LANGUAGES)}.")
    if language != "python" and template != "guessing":
        raise UsageError(f"the template {quoted(template)} is in Python only", hint="Leave out --lang, or --template.")
    name = folder.resolve().name
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= TITLE_LENGTH_MAX:
        raise UsageError(
            f"a world cannot be named {quoted(name)}",
            hint=f"Use 1 to {TITLE_LENGTH_MAX} characters that print, without spaces around them.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(
                f"the folder {quoted(str(folder))} is not empty", hint="Name a new folder: nothing is ever overwritten."
            )
        files = LANGUAGES[language] if template == "guessing" else TEMPLATES[template]
        return tuple(_write(folder, file, name, template, language) for file in files)
    except FileExistsError as error:
        raise UsageError(
            f"{quoted(str(error.filename))} is there already", hint="Name a new folder: nothing is ever overwritten."
        ) from None
    except OSError as error:
        raise UsageError(
            f"the world cannot be written to {quoted(str(folder))}: {error.strerror}",
            hint="Name a folder that can be written.",
        ) from None


def _write(folder: Path, file: str, name: str, template: str, language: str) -> Path:
    own = template if language == "python" or file == "world.toml" else f"{template}-{language}"
    text = _original(own, file).read_text(encoding="utf-8")
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    if file == "world.toml":
        text = text.replace(f'name = "{template}"', f"name = {json.dumps(name, ensure_ascii=False)}")
        if language in _SOURCES:
            named, written = _SOURCES[language]
            text = text.replace('.py"', f'{named}"').replace(".py", written)
    with path.open("x", encoding="utf-8", newline="\n") as output:
        output.write(text)
    return path


def _original(template: str, file: str) -> Traversable:
    """Return a file of a template. A wheel takes in what lies elsewhere in a checkout."""
    packaged = files(__package__).joinpath("templates", template, *file.split("/"))
    return (
        packaged if packaged.is_file() else Path(__file__).parents[3] / _SHARED.get(file, f"examples/{template}/{file}")
    )
