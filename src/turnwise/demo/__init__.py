"""The model that comes with Turnwise: 1.2 million parameters that haggle in simple English, and can do nothing else.

It is made by `training/demo` of the repository from text that the scripts there write. World files name it by
`path = "builtin:demo"`.
"""

from __future__ import annotations

import os
from pathlib import Path

BUILTIN_DEMO = "builtin:demo"


def model_path() -> Path:
    """The model's folder, in onnxruntime-genai's layout."""
    return Path(__file__).parent / "model"


def builtin(path: str | os.PathLike[str]) -> Path | None:
    """The folder of a model that comes with Turnwise, if `path` names one, else None."""
    return model_path() if os.fspath(path) == BUILTIN_DEMO else None
