"""Opens the files of one model folder, which is not trusted.

No file outside the folder is opened. The one exception: the Hugging Face cache keeps `snapshots/<revision>/<file>` as
links into `blobs/` of the same repository, and those are followed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from turnwise.errors import ModelError
from turnwise.inference.onnx.graph_facts import Graph

CONFIG_BYTES_MAX: Final = 16 * 1024 * 1024
WHAT_A_MODEL_IS: Final = (
    "a folder in onnxruntime-genai's layout (genai_config.json, model.onnx, tokenizer.json) "
    "or in Optimum's (config.json, onnx/model.onnx, tokenizer.json)"
)
COPY: Final = "Copy the folder again from where the model comes from."

NOT_JSON: Final = (b"Infinity", b"NaN")
"""Values that Python's json writes and reads, and JSON does not have."""

_T = TypeVar("_T")


class FolderFiles:
    """Opens files of one folder, and keeps a list of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, Path] = {}
        root = path.resolve()
        self._roots = [root]
        if root.parent.name == "snapshots":
            self._roots.append(root.parent.parent / "blobs")

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def file(self, name: str, bytes_max: int | None = None, *, named_by: Path | None = None) -> Path:
        """Return the file of that name, which must lie inside the folder."""
        by = f", named by {named_by.name}," if named_by else ""
        relative = Path(name)
        if not name or relative.is_absolute() or ".." in relative.parts or "\0" in name or "\\" in name:
            raise ModelError(
                f"the file {name!r}{by} is not inside the model folder",
                where=str(self.path),
                expected="a path inside the folder",
                actual=name,
                hint="Models may only use files of their own folder: correct the name, or do not use this model.",
            )
        path = self.path / relative
        if not path.is_file():
            raise ModelError(
                f"{name}{by} is missing",
                where=str(self.path),
                expected=WHAT_A_MODEL_IS,
                hint=f"Expected {WHAT_A_MODEL_IS}. {COPY}",
            )
        real = path.resolve()
        if not any(real.is_relative_to(root) for root in self._roots):
            raise ModelError(
                f"{name}{by} is a link that leads out of the model folder",
                where=str(self.path),
                expected="a file inside the folder",
                actual=str(real),
                hint="Put the file itself into the folder.",
            )
        if bytes_max is not None and (size := path.stat().st_size) > bytes_max:
            raise ModelError(
                f"has {size} bytes, at most {bytes_max} are allowed", where=str(path), expected=bytes_max, actual=size
            )
        self.files[relative.as_posix()] = path
        return path

    def json(self, path: Path, form: type[_T]) -> _T:
        """Read a configuration. `Infinity` and `NaN` are read as Python's json writes them. Raises ModelError."""
        try:
            content = path.read_bytes()
            try:
                return msgspec.json.decode(content, type=form)
            except msgspec.DecodeError as error:
                if isinstance(error, msgspec.ValidationError) or not any(word in content for word in NOT_JSON):
                    raise
            return msgspec.convert(json.loads(content), type=form)
        except OSError as error:
            raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ModelError(
                str(error) or "is nested too deeply",
                where=str(path),
                expected="JSON of the form that this file has in other models",
                hint=f"The file is damaged, or written by something else. {COPY}",
            ) from error

    def external(self, graph_path: Path, graph: Graph) -> list[Path]:
        """Return the files that hold the graph's weights: there, inside the folder, and long enough."""
        found: dict[str, Path] = {}
        base = graph_path.parent.relative_to(self.path)
        for tensor in graph.external:
            if tensor.location not in found:
                if not tensor.location or Path(tensor.location).is_absolute() or ".." in Path(tensor.location).parts:
                    self.file(tensor.location, named_by=graph_path)
                found[tensor.location] = self.file((base / tensor.location).as_posix(), named_by=graph_path)
            path = found[tensor.location]
            size = path.stat().st_size
            if tensor.offset + tensor.size > size:
                raise ModelError(
                    f"has {size} bytes, and tensor {tensor.name!r} needs {tensor.offset + tensor.size}",
                    where=str(path),
                    expected=tensor.offset + tensor.size,
                    actual=size,
                    hint=f"The file is incomplete or belongs to another graph. {COPY}",
                )
        return list(found.values())
