"""Choice of a graph in a folder that is not a language model's: for `infer` and `embed`.

Variants are named as in Optimum's convention: `model.onnx` is `fp32`, `model_<variant>.onnx` are other forms of it.
Where none is named, the most exact one is taken, as with language models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnwise.errors import ModelError
from turnwise.inference.folders.files import FolderFiles
from turnwise.inference.folders.layouts import optimum
from turnwise.inference.plans.model_spec import Task

_PLACES: Final[dict[Task, tuple[str, str]]] = {
    "infer": ("", f"{optimum.GRAPHS}/"),
    "embed": (f"{optimum.GRAPHS}/", ""),
}
"""Places inside a folder where graphs are looked for: the first that has any counts."""

_HINTS: Final[dict[Task, str]] = {
    "infer": 'Name the file itself: path = "….onnx".',
    "embed": "Call the encoder's graph model.onnx.",
}


@dataclass(frozen=True, slots=True)
class GraphChoice:
    """The graph's `name` inside its folder, its `variant`, and all `variants`; None and none where it is the only one.

    The first of the variants is taken when none is named.
    """

    name: str
    variant: str | None
    variants: tuple[str, ...]


def choose_graph(path: Path, variant: str | None, task: Task) -> GraphChoice:
    """Choose among the graphs of a folder. A single one may be called as it likes. Raises ModelError."""
    place, stems = next(((place, stems) for place in _PLACES[task] if (stems := _stems(path / place))), ("", []))
    there = tuple(optimum.ranked(stems))
    if variant is not None and variant not in there:
        has = f"There: {', '.join(there)}." if there else "The folder holds no variants: name none."
        raise ModelError(f"there is no variant {variant!r}", where=str(path), expected=there, actual=variant, hint=has)
    if len(stems) == 1:
        return GraphChoice(f"{place}{stems[0]}.onnx", variant, ())
    if there:
        chosen = variant or there[0]
        stem = "model" if chosen == optimum.EXACT else f"model_{chosen}"
        return GraphChoice(f"{place}{stem}.onnx", chosen, there)
    raise ModelError(
        f"holds {len(stems)} .onnx files and no model.onnx",
        where=str(path),
        expected="a .onnx file, or a folder with one",
        actual=[f"{stem}.onnx" for stem in stems],
        hint=_HINTS[task] if stems else "Export the model to ONNX, or correct the path.",
    )


def infer_graph(path: Path, variant: str | None) -> tuple[FolderFiles, GraphChoice]:
    """Return the graph at `path`: a .onnx file, or one of a folder. Raises ModelError."""
    if path.is_dir():
        return FolderFiles(path), choose_graph(path, variant, "infer")
    if not path.is_file():
        raise ModelError(
            "does not exist",
            where=str(path),
            expected="a .onnx file, or a folder with one",
            hint="Correct the path: it names a .onnx file, or a folder with one.",
        )
    if variant is not None:
        raise ModelError(
            f"is one graph, and has no variant {variant!r}",
            where=str(path),
            actual=variant,
            hint="Name its folder as the path, or no variant.",
        )
    return FolderFiles(path.parent), GraphChoice(path.name, None, ())


def _stems(folder: Path) -> list[str]:
    """Names of the graphs in a folder, without `.onnx`."""
    try:
        return sorted(item.stem for item in folder.iterdir() if item.suffix == ".onnx" and item.is_file())
    except OSError:
        return []
