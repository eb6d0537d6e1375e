"""A new world to begin with.

`guessing` is a game between two agents that needs no model, with comments that teach; `haggle` is a market whose people
talk by the model that comes with Turnwise.
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
    "haggle": ("world.toml", "crier.py", "person.py", "speech.py", "people.csv", "people-gruff.csv"),
}
"""The files of each world that there is to begin with."""


def create_world(folder: Path, template: str = "guessing") -> tuple[Path, ...]:
    """Write a small world that runs into a new folder, or an empty one, and returns its files, world.toml first.

    The world is named like the folder. Nothing is ever overwritten: raises UsageError where something is in the way,
    and for an unknown template.
    """
    if template not in TEMPLATES:
        raise UsageError(f"there is no template {quoted(template)}", hint=f"Use one of: {', '.join(TEMPLATES)}.")
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
        return tuple(_write(folder / file, name, template) for file in TEMPLATES[template])
    except FileExistsError as error:
        raise UsageError(
            f"{quoted(str(error.filename))} is there already", hint="Name a new folder: nothing is ever overwritten."
        ) from None
    except OSError as error:
        raise UsageError(
            f"the world cannot be written to {quoted(str(folder))}: {error.strerror}",
            hint="Name a folder that can be written.",
        ) from None


def _write(path: Path, name: str, template: str) -> Path:
    text = _original(template, path.name).read_text(encoding="utf-8")
    if path.name == "world.toml":
        text = text.replace(f'name = "{template}"', f"name = {json.dumps(name, ensure_ascii=False)}")
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
    return path


def _original(template: str, file: str) -> Traversable:
    """Return a file of a template. A wheel takes `haggle` in from the examples; a checkout has it there."""
    packaged = files(__package__).joinpath("templates", template, file)
    return packaged if packaged.is_file() else Path(__file__).parents[3] / "examples" / template / file
