"""The files of a model that decide what it computes, found without loading it: to hand it on, or to name it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from turnwise.inference.folders.content_hash import changed_hash, content_hash
from turnwise.inference.folders.embedding_folder import read_embed_folder
from turnwise.inference.folders.files import FolderFiles
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.folders.spec_changes import changed_folder, changed_graph
from turnwise.inference.folders.task import task_of
from turnwise.inference.folders.variants import infer_graph
from turnwise.inference.onnx.graph_facts import read_graph
from turnwise.inference.plans.model_spec import ModelSpec


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model.

    - `files`: paths by name, relative to the spec's path where that is a folder, else to the folder that it lies in
    - `entry`: the name that the spec's path has beside them; empty where it is the folder
    - `sha256`: the model's hash (hex), as a plan has it
    """

    files: dict[str, Path]
    entry: str
    sha256: str


def model_files(spec: ModelSpec) -> ModelFiles:
    """Find the files of a model of any task. Raises ModelError for what is no model."""
    task = task_of(spec)
    if task == "generate":
        changed = changed_folder(spec, read_model_folder(spec.path, spec.variant))
        files, changes = dict(changed.folder.files), changed.changes
    elif task == "infer":
        folder, choice = infer_graph(spec.path, spec.variant)
        changes = _add_graph(spec, folder, choice.name)
        files = folder.files
    else:
        embed = read_embed_folder(spec.path, spec.variant)
        changes = _add_graph(spec, embed.files, embed.graph.name)
        files = embed.files.files
    digest = changed_hash(content_hash(dict(sorted(files.items()))), changes)
    root = spec.path if spec.path.is_dir() else spec.path.parent
    named = {path.relative_to(root).as_posix(): path for path in files.values()}
    return ModelFiles(dict(sorted(named.items())), "" if spec.path.is_dir() else spec.path.name, digest)


def _add_graph(spec: ModelSpec, files: FolderFiles, name: str) -> dict[str, int]:
    """Add a graph and the files of its weights; return what the spec changes of it."""
    path = files.file(name)
    graph, changes = changed_graph(spec, read_graph(path), path)
    files.external(path, graph)
    return dict(changes)
