"""Built-in demo, so that the first run needs nothing else: `builtin:demo`, a model that haggles.

It has 1.2 million parameters, haggles in simple English and can do nothing else. `training/demo` of the repository
makes it, from text that the scripts there write. `builtin:demo` stands wherever the path of a model's folder may.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from turnwise.errors import UsageError

BUILTIN_DEMO: Final = "builtin:demo"
_BUILTIN: Final = "builtin:"


def is_builtin(path: str | os.PathLike[str]) -> bool:
    """Return True if a path names something that comes with Turnwise, instead of a file or a folder."""
    return os.fspath(path).startswith(_BUILTIN)


def model_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder that the path of a model means: that of `builtin:demo`, or the path itself.

    Raises UsageError for another `builtin:` name, and where the files of the model are missing.
    """
    if not is_builtin(path):
        return Path(path)
    if os.fspath(path) != BUILTIN_DEMO:
        raise UsageError(
            f"no model called {os.fspath(path)!r} comes with Turnwise",
            actual=os.fspath(path),
            expected=BUILTIN_DEMO,
            hint=f"Write {BUILTIN_DEMO}, or the path of a folder: ./{os.fspath(path)} if that is what it is called.",
        )
    folder = Path(__file__).parent / "model"
    if not (folder / "model.onnx").is_file():
        raise UsageError(
            f"{BUILTIN_DEMO} is missing from this installation: {folder} has no model.onnx",
            hint="Install Turnwise anew, or name another model. training/README.md tells how the demo model is made.",
        )
    return folder
