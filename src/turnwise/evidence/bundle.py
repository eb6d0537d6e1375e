"""Makes a bundle of a journal: with the codes and the plan as files, the interpreter, and models if they are wanted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from turnwise.errors import EnvironmentFailure, ModelError, TurnwiseError, UsageError
from turnwise.evidence.archive import Content, content_of, write_archive
from turnwise.evidence.signature import read_private_key, sign
from turnwise.evidence.statement import (
    CODES,
    INTERPRETERS,
    JOURNAL,
    PLAN,
    SIGNATURE,
    STATEMENT,
    ModelFacts,
    interpreters,
    member_of_model,
    run_facts,
    statement,
)
from turnwise.inference.folders.model_files import model_files
from turnwise.journal import Journal
from turnwise.journal.file.copying import copy_journal
from turnwise.journal.run import Run
from turnwise.orchestrator.writer_notes import specs_of
from turnwise.sandbox.build.installed import interpreter_hash, interpreter_path


@dataclass(frozen=True, slots=True)
class Bundled:
    """A bundle that was made."""

    path: Path
    """Its file."""
    size: int
    """Bytes of it."""
    head: str
    """Head of the run."""
    sha256: str
    """SHA-256 (hex) of its statement, which names everything in it."""
    key_id: str | None
    """Id of the key that signed it; None without a signature."""
    models: dict[str, bool]
    """Models of the run by name; True for those that are inside."""
    has_interpreter: bool
    """True if the interpreters of its agents are inside."""
    notes: tuple[str, ...]
    """Lines about what is not inside."""


def bundle(
    journal: Path,
    out: Path,
    *,
    with_models: bool = False,
    models: dict[str, Path] | None = None,
    key: Path | None = None,
    parents: Sequence[Path] = (),
) -> Bundled:
    """Write a bundle of a journal to a new file.

    `models` are folders of models that are no longer where the run found them. `key` is an Ed25519 private key, and
    `parents` are files and folders in which to look for what a fork goes on from, if that was moved. The
    same journal and options give the same bytes.
    """
    signing = None if key is None else read_private_key(key)
    if out.exists():
        raise UsageError("the file exists already, and is not overwritten", where=str(out), hint="Give another name.")
    with TemporaryDirectory(prefix="turnwise-bundle-") as folder:
        copy = Path(folder) / JOURNAL
        whole_copy(journal, copy, parents)
        with Run.open(copy) as run, Journal.open(copy) as file:
            run.check()
            notes: list[str] = []
            contents = [_content(journal, JOURNAL, copy), *_world(journal, file)]
            has_interpreter = _add_interpreter(interpreters(file), contents, notes)
            found = _models(file, run, models or {}, with_models=with_models)
            for _, members in found:
                contents += members
            head, facts_of_run = run.head, run_facts(run, file)
        contents.sort(key=lambda content: content.name)
        said = statement(contents, facts_of_run, [facts for facts, _ in found])
        first = [content_of(STATEMENT, said)]
        if signing is not None:
            first.append(content_of(SIGNATURE, sign(said, signing)))
        _write(out, [*first, *contents])
    return Bundled(
        out,
        out.stat().st_size,
        head,
        first[0].sha256,
        None if signing is None else _key_id(signing),
        {facts.name: facts.files is not None for facts, _ in found},
        has_interpreter,
        tuple(notes),
    )


def whole_copy(journal: Path, copy: Path, parents: Sequence[Path] = ()) -> None:
    """Copy a journal as one file that refers to no other: what a fork has of its parents is copied into it."""
    copy_journal(journal, copy, parents)
    try:
        Journal.detach(copy, parents=[*parents, journal.resolve().parent])
    except BaseException:
        copy.unlink(missing_ok=True)
        raise


def _key_id(key: object) -> str:
    from turnwise.evidence.signature import key_id

    return key_id(key.public_key())  # type: ignore[attr-defined]  # it is a private key


def _content(where: Path, name: str, source: bytes | Path) -> Content:
    try:
        return content_of(name, source)
    except ValueError as error:
        raise UsageError(
            f"a file of the run cannot be put into a bundle: {error}",
            where=str(where),
            hint="Give the file a plainer name in the world, and run it again.",
        ) from error


def _world(where: Path, file: Journal) -> list[Content]:
    """The plan and the files of all codes, as people read them."""
    contents = [_content(where, PLAN, file.header.plan.encode())]
    for code, source in sorted(file.header.codes.items()):
        contents += [_content(where, f"{CODES}/{code}/{name}", content) for name, content in source.files]
    return contents


def _add_interpreter(wanted: list[str], contents: list[Content], notes: list[str]) -> bool:
    found = 0
    for language, name in INTERPRETERS.items():
        if found < len(wanted) and interpreter_hash(language) in wanted:
            contents.append(content_of(name, interpreter_path(language)))
            found += 1
    if found < len(wanted):
        notes.append("an interpreter of its agents is another build than this installation's, and was not put into it")
    return 0 < found == len(wanted)


def _models(
    file: Journal, run: Run, folders: dict[str, Path], *, with_models: bool
) -> list[tuple[ModelFacts, list[Content]]]:
    """The models of the plan, with the members that hold their files."""
    specs = {spec.name: spec for spec in specs_of(file, folders)} if run.plan.models else {}
    if strangers := sorted(folders.keys() - {name for name, _ in run.plan.models}):
        raise UsageError(f"the run has no model {strangers[0]!r}", where="--model", hint="Name one of the world.")
    found: list[tuple[ModelFacts, list[Content]]] = []
    for name, sha256 in run.plan.models:
        if not with_models:
            found.append((ModelFacts(name, sha256), []))
            continue
        if name not in specs:
            raise ModelError(
                f"the journal does not say where the model {name} is",
                where=str(run.path),
                hint=f"Say where it is: --model {name}=PATH",
            )
        try:
            files = model_files(specs[name])
        except ModelError as error:
            raise ModelError(
                f"the model {name} cannot be read: {error.message}",
                where=error.where,
                hint=f"If it lies elsewhere now, say where: --model {name}=PATH",
            ) from error
        if files.sha256 != sha256:
            raise ModelError(
                f"the model {name} is not the one that the run used",
                where=str(specs[name].path),
                expected=sha256,
                actual=files.sha256,
                hint=f"Give the folder with the right model: --model {name}=PATH",
            )
        members = [_content(path, member_of_model(name, file_name), path) for file_name, path in files.files.items()]
        digests = {file_name: member.sha256 for file_name, member in zip(files.files, members, strict=True)}
        found.append((ModelFacts(name, sha256, files.entry, digests), members))
    return found


def _write(out: Path, contents: list[Content]) -> None:
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except OSError as error:
        raise UsageError(
            f"the bundle cannot be written: {error.strerror}",
            where=str(out),
            hint="Give a name that is free, in a folder that can be written.",
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            write_archive(file, contents)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        out.unlink(missing_ok=True)
        if isinstance(error, OSError | ValueError):
            raise _unwritten(out, error) from error
        raise


def _unwritten(out: Path, error: Exception) -> TurnwiseError:
    what = error.strerror if isinstance(error, OSError) else str(error)
    return EnvironmentFailure(
        f"the bundle could not be written: {what}", where=str(out), hint="No file was left. Look at the disk."
    )
