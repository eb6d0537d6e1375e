"""Downloads a model from a hub of the Hugging Face kind: only the files of one model, each checked against the hub.

`huggingface_hub` (the extra `hub`) does the transport: it resumes what was interrupted, and skips what is there. Which
files belong to the model, whether they are what the hub says they are, and what was pulled is decided here. Names come
from the hub and are not trusted.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.errors import EnvironmentFailure, ModelError, UsageError
from turnwise.inference.folders.layouts import genai, optimum
from turnwise.system.user_folders import models_folder

RECORD: Final = "turnwise-model.json"
"""Name of the file, beside the model's files, that says what was pulled."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
FILES_MAX: Final = 1000
READ_BYTES: Final = 1024 * 1024
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,255}")
_NAME = re.compile(r"[A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*")
_MODULE = re.compile(r"[0-9]+_[A-Za-z]+/config\.json")
"""Path of a file in which sentence-transformers describes an encoder's pooling."""
_BESIDE: Final = (".json", ".jinja")
_INSTALL: Final = "Install it: pip install 'turnwise[hub]'."


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as the hub lists it. `sha256` is known for large files, `sha1` (of git: with a header) for the others."""

    name: str
    size: int
    sha256: str | None
    sha1: str | None


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model that is here now. `path` is what a world file names."""

    path: Path
    repository: str
    revision: str
    variant: str | None
    files: int
    size: int


def split_name(text: str) -> tuple[str, str | None]:
    """`owner/name` and the revision of `owner/name@revision`. Raises UsageError for anything else."""
    repository, at, revision = text.partition("@")
    if not _REPOSITORY.fullmatch(repository) or (at and not _REVISION.fullmatch(revision)):
        raise UsageError(
            f"{text!r} names no repository",
            expected="owner/name or owner/name@revision",
            actual=text,
            hint="Write it as owner/name, or owner/name@revision for a branch, tag or commit.",
        )
    return repository, revision if at else None


def choose(files: Sequence[HubFile], variant: str | None) -> tuple[list[HubFile], str, str | None]:
    """Return the files of one model, the folder inside the repository that it is in, and its variant.

    Raises ModelError if there is no such model.
    """
    names = {file.name for file in files}
    folders = sorted(str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).name == genai.CONFIG)
    if folders:
        folder = _genai_folder(folders, variant)
        inside = [file for file in files if str(PurePosixPath(file.name).parent) == folder]
        chosen = [file for file in inside if _beside(file.name) or ".onnx" in PurePosixPath(file.name).name]
        return chosen, folder, None if folder == "." else folder
    graphs = {PurePosixPath(name).stem for name in names if re.fullmatch(rf"{optimum.GRAPHS}/[^/]+\.onnx", name)}
    there = optimum.graphs(graphs)
    if not there or optimum.CONFIG not in names:
        raise ModelError(
            f"holds no model: neither {genai.CONFIG} nor {optimum.CONFIG} with {optimum.GRAPHS}/model.onnx",
            expected=[genai.CONFIG, f"{optimum.GRAPHS}/model.onnx"],
            hint="Look for a repository with ONNX files, such as those of onnx-community.",
        )
    if variant is not None and variant not in there:
        raise _no_variant(variant, list(there))
    name = variant or next(iter(there))
    graph = there[name]
    data = re.compile(re.escape(graph) + r"([._]data.*)?")
    beside = [file for file in files if ("/" not in file.name and _beside(file.name)) or _MODULE.fullmatch(file.name)]
    return [*beside, *(file for file in files if data.fullmatch(file.name))], ".", name


def _genai_folder(folders: list[str], variant: str | None) -> str:
    if variant is None and len(folders) == 1:
        return folders[0]
    if variant is None and "." in folders:
        return "."
    short = [folder for folder in folders if variant in (folder, PurePosixPath(folder).name)]
    if variant is None or len(short) != 1:
        raise _no_variant(variant, folders)
    return short[0]


def _no_variant(variant: str | None, there: Sequence[str]) -> ModelError:
    message = "holds several models" if variant is None else f"has no variant {variant!r}"
    return ModelError(
        message, expected=list(there), actual=variant, hint=f"Name one with --variant: {', '.join(there)}."
    )


def _beside(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix in _BESIDE or path.name.upper().startswith(("LICENSE", "LICENCE"))


def pull(
    repository: str,
    revision: str | None = None,
    *,
    variant: str | None = None,
    folder: Path | None = None,
    show_progress: bool = False,
    on_chosen: Callable[[Sequence[HubFile]], None] | None = None,
) -> Pulled:
    """Download a model, or what is missing of it. `on_chosen` is told the files before the first is fetched.

    Raises UsageError or ModelError where the repository is not as asked, EnvironmentFailure where the hub or the disk
    fails; what has arrived is kept, and pulling again goes on from there.
    """
    hub = _library()
    where = f"{repository}@{revision}" if revision else repository
    target = folder or models_folder() / repository
    try:
        commit, files = _listed(hub, repository, revision)
        chosen, inside, found = choose(files, variant)
        if on_chosen is not None:
            on_chosen(chosen)
        _fetch(hub, repository, commit, chosen, target, show_progress)
    except ModelError as error:
        raise ModelError(
            error.message, where=where, expected=error.expected, actual=error.actual, hint=error.hint
        ) from error
    path = target if inside == "." else target / inside
    record = {"format": 1, "repository": repository, "revision": commit, "variant": found}
    try:
        for file in chosen:
            _check(target / file.name, file)
        (path / RECORD).write_text(canonical(record), encoding="utf-8")
    except OSError as error:
        raise _failure(str(path), error) from error
    return Pulled(path, repository, commit, found, len(chosen), sum(file.size for file in chosen))


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UsageError("huggingface_hub is not installed", where="models pull", hint=_INSTALL) from error
    return huggingface_hub


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _listed(hub: Any, repository: str, revision: str | None) -> tuple[str, list[HubFile]]:
    """Return the commit that a revision is, and its files."""
    api = hub.HfApi(endpoint=_endpoint())
    info = _asked(hub, repository, lambda: api.model_info(repository, revision=revision, files_metadata=True))
    siblings = list(info.siblings or ())
    if not info.sha or len(siblings) > FILES_MAX:
        raise ModelError(f"lists {len(siblings)} files", expected=f"at most {FILES_MAX}", actual=len(siblings))
    files = []
    for item in siblings:
        name = str(item.rfilename)
        if _NAME.fullmatch(name) and not {".", ".."} & set(PurePosixPath(name).parts):
            large = getattr(item.lfs, "sha256", None) if item.lfs else None
            files.append(HubFile(name, int(item.size or 0), large, item.blob_id if large is None else None))
    return str(info.sha), files


def _fetch(hub: Any, repository: str, commit: str, files: Sequence[HubFile], target: Path, show_progress: bool) -> None:
    switch = hub.utils.enable_progress_bars if show_progress else hub.utils.disable_progress_bars
    switch()
    for file in files:

        def fetched(file: HubFile = file) -> object:
            return hub.hf_hub_download(repository, file.name, revision=commit, local_dir=target, endpoint=_endpoint())

        _asked(hub, f"{repository}: {file.name}", fetched)


def _asked(hub: Any, where: str, ask: Callable[[], Any]) -> Any:
    """Call the library, and raise its errors as ours."""
    errors = hub.errors
    try:
        return ask()
    except errors.GatedRepoError as error:
        hint = "Accept its conditions on the hub, then log in: hf auth login."
        raise UsageError("this model must be asked for", where=where, hint=hint) from error
    except errors.RevisionNotFoundError as error:
        raise UsageError("there is no such revision", where=where, hint="Name a branch, tag or commit.") from error
    except errors.RepositoryNotFoundError as error:
        hint = "Check the name. A private repository needs a login: hf auth login."
        raise UsageError("the hub has no such repository", where=where, hint=hint) from error
    except (errors.HTTPError, errors.LocalEntryNotFoundError, OSError, RuntimeError, ValueError) as error:
        raise _failure(where, error) from error


def _failure(where: str, error: Exception) -> EnvironmentFailure:
    """Make the error for what went wrong: the disk, the folder, or what lies between the hub and here."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    code = error.errno if isinstance(error, OSError) else None
    kept = "What has arrived is kept: the same command goes on from there."
    if code in _FULL:
        return EnvironmentFailure(f"the disk is full: {said}", where=where, hint=f"Make room. {kept}")
    if code in _UNWRITABLE:
        return EnvironmentFailure(f"cannot be written: {said}", where=where, hint="Name another folder: --to FOLDER.")
    hint = f"Check the network, and HF_ENDPOINT if it is set. {kept}"
    return EnvironmentFailure(f"the download failed: {said}", where=where, hint=hint)


def _check(path: Path, file: HubFile) -> None:
    """Compare a file with what the hub says of it. One that differs is deleted, since nothing can be done with it."""
    size = path.stat().st_size
    if file.sha256 is not None:
        digest, expected = hashlib.sha256(), file.sha256
    else:
        digest, expected = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), file.sha1 or ""
    with path.open("rb") as opened:
        while block := opened.read(READ_BYTES):
            digest.update(block)
    if expected and digest.hexdigest() != expected:
        path.unlink()
        raise EnvironmentFailure(
            "is not what the hub says it is, and has been deleted",
            where=str(path),
            expected=expected,
            actual=digest.hexdigest(),
            hint="Pull the model again. If it happens again, the hub or the network changes files.",
        )


@dataclass(frozen=True, slots=True)
class Local:
    """A model below a folder. `repository` and `revision` are known for those that were pulled."""

    path: Path
    convention: str
    variants: tuple[str, ...]
    size: int
    repository: str | None
    revision: str | None


def local_models(folder: Path, *, depth_max: int = 4) -> list[Local]:
    """Models below a folder, by path. Links are not followed."""
    found: list[Local] = []
    waiting = [(folder, 0)]
    while waiting:
        path, depth = waiting.pop()
        if (model := _local(path)) is not None:
            found.append(model)
        elif depth < depth_max:
            waiting += [(item, depth + 1) for item in _folders(path)]
    return sorted(found, key=lambda model: str(model.path))


def _folders(path: Path) -> list[Path]:
    try:
        return [item for item in path.iterdir() if item.is_dir() and not item.is_symlink() and item.name[0] != "."]
    except OSError:
        return []


def _local(path: Path) -> Local | None:
    there = optimum.variants(path) if (path / optimum.CONFIG).is_file() else []
    if (path / genai.CONFIG).is_file():
        convention, there = genai.CONVENTION, []
    elif there:
        convention = optimum.CONVENTION
    else:
        return None
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and ".onnx" in file.name)
    record: dict[str, Any] = {}
    try:
        stored = json.loads((path / RECORD).read_text(encoding="utf-8"))
        record = stored if isinstance(stored, dict) else {}
    except (OSError, ValueError, RecursionError):
        pass
    repository, revision = (
        value if isinstance(value := record.get(key), str) else None for key in ("repository", "revision")
    )
    return Local(path, convention, tuple(there), size, repository, revision)
