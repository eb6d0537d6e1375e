"""Opens a bundle: reads it to its last byte, compares everything, and unpacks what is asked for into a new folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

from turnwise.errors import EnvironmentFailure, UsageError
from turnwise.evidence.archive import Member, is_archive, read_archive, read_member
from turnwise.evidence.errors import EvidenceError, broken
from turnwise.evidence.signature import PublicKey, SignedStatement, read_envelope
from turnwise.evidence.statement import (
    CODES,
    INTERPRETERS,
    JOURNAL,
    MODELS,
    PLAN,
    SIGNATURE,
    STATEMENT,
    STATEMENT_BYTES_MAX,
    Statement,
    interpreters,
    member_of_model,
    run_facts,
)
from turnwise.journal import Journal
from turnwise.journal.run import Run
from turnwise.sandbox.languages import InterpretedLanguage

_IN_MEMORY: Final = {STATEMENT: STATEMENT_BYTES_MAX, SIGNATURE: 2 * STATEMENT_BYTES_MAX}
"""Bytes of members that are read into memory, at most."""


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """A bundle whose every byte was compared with its statement, and its statement with the run's journal."""

    path: Path
    """File of the bundle."""
    sha256: str
    """SHA-256 (hex) of its statement, which names everything in it."""
    statement: Statement
    """The statement."""
    signers: tuple[str, ...]
    """Ids of the keys that it names as signers; anybody can write an id."""
    trusted: str | None
    """Id of the key that the caller trusts and that signed it; None if no key was given."""
    journal: Path
    """The run's journal, unpacked."""
    interpreters: dict[InterpretedLanguage, Path]
    """The interpreters that are inside, unpacked, by the language of their agents."""
    models: dict[str, Path]
    """Folders, or files, of the models that are inside, unpacked."""


@contextmanager
def open_bundle(path: Path, *, trust: Sequence[Path] = (), whole: bool = True) -> Iterator[OpenBundle]:
    """Open a bundle, and unpack its journal; with `whole`, its interpreters and models, too.

    What is unpacked goes when the context ends. With keys to `trust`, one of them must have signed it. Raises
    `EvidenceError` for whatever does not hold, naming it, before anything is executed.
    """
    if not is_archive(path):
        raise UsageError("this is not a bundle", where=str(path), hint="turnwise bundle JOURNAL -o FILE makes one.")
    keys = [PublicKey.read(key) for key in trust]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="turnwise-bundle-")))
        journal = folder / JOURNAL
        try:
            members, texts = _read(path, journal)
        except OSError as error:
            raise EnvironmentFailure(
                f"the bundle could not be read: {error.strerror}", where=str(path), hint="Look at the disk."
            ) from error
        said, envelope = _said(path, texts)
        if (found := said.difference(members)) is not None:
            raise broken(path, found)
        trusted = _trusted(path, keys, envelope)
        by_name = {member.name: member for member in members}
        _check_run(path, said, journal, by_name)
        _check_models(path, said, by_name)
        unpacked: dict[InterpretedLanguage, Path] = {}
        models = {}
        if whole:
            for language, name in INTERPRETERS.items():
                if (found_there := _unpack(path, by_name.get(name), folder)) is not None:
                    unpacked[language] = found_there
            for model in said.models:
                if model.files is not None:
                    for file in model.files:
                        _unpack(path, by_name[member_of_model(model.name, file)], folder)
                    models[model.name] = folder / MODELS / model.name / model.entry
        signers = () if envelope is None else tuple([name for name, _ in envelope.signatures])
        digest = by_name[STATEMENT].sha256
        yield OpenBundle(path, digest, said, signers, trusted, journal, unpacked, models)


@contextmanager
def journal_of(path: Path) -> Iterator[Path]:
    """The journal that a file is or, if it is a bundle, that it holds, for as long as the context lasts."""
    if not is_archive(path):
        yield path
        return
    with open_bundle(path, whole=False) as bundle:
        yield bundle.journal


def _read(path: Path, journal: Path) -> tuple[list[Member], dict[str, bytes]]:
    """Read all members; the journal is unpacked on the way, and what says things is kept."""
    texts: dict[str, list[bytes]] = {}
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))

        def take(name: str, size: int) -> Callable[[bytes], object] | None:
            if name in _IN_MEMORY:
                if size > _IN_MEMORY[name]:
                    raise broken(path, f"{name} is larger than any", expected=_IN_MEMORY[name], actual=size)
                texts[name] = []
                return texts[name].append
            if name == JOURNAL:
                out: IO[bytes] = stack.enter_context(journal.open("xb"))
                journal.chmod(0o600)
                return out.write
            return None

        members = read_archive(file, path, take)
    return members, {name: b"".join(parts) for name, parts in texts.items()}


def _said(path: Path, texts: dict[str, bytes]) -> tuple[Statement, SignedStatement | None]:
    if STATEMENT not in texts:
        raise broken(path, f"{STATEMENT} is missing")
    try:
        said = Statement.read(texts[STATEMENT])
    except ValueError as error:
        raise broken(path, f"{STATEMENT} cannot be read: {error}") from error
    if SIGNATURE not in texts:
        return said, None
    try:
        envelope = read_envelope(texts[SIGNATURE])
    except ValueError as error:
        raise broken(path, f"{SIGNATURE} cannot be read: {error}") from error
    if envelope.payload != texts[STATEMENT]:
        raise broken(path, f"what {SIGNATURE} signs is not {STATEMENT}")
    return said, envelope


def _trusted(path: Path, keys: Sequence[PublicKey], envelope: SignedStatement | None) -> str | None:
    if not keys:
        return None
    for key in keys:
        if envelope is not None and key.signed(envelope):
            return key.id
    named = "nobody has signed it" if envelope is None else "its signature is not by a key that you trust"
    raise EvidenceError(
        named,
        where=str(path),
        expected=[key.id for key in keys],
        actual=None if envelope is None else [name for name, _ in envelope.signatures],
        hint="Do not believe it before you know who made it. Nothing of it was executed.",
    )


def _check_run(path: Path, said: Statement, journal: Path, members: dict[str, Member]) -> None:
    """Compare what the statement says, and the files that show the world, with the journal."""
    if JOURNAL not in members:
        raise broken(path, f"{JOURNAL} is missing")
    with Run.open(journal) as run, Journal.open(journal) as file:
        facts = run_facts(run, file)
        for name in sorted(facts.keys() | said.run.keys()):
            expected, actual = said.run.get(name), facts.get(name)
            if expected != actual:
                what = f"its statement says of the run's {name} what its journal does not"
                raise broken(path, what, expected=expected, actual=actual)
        plan = [(name, sha256) for name, sha256 in run.plan.models]
        if plan != [(model.name, model.sha256) for model in said.models]:
            raise broken(path, "its statement does not name the models of the run")
        shown = {PLAN: file.header.plan.encode()}
        for code, source in file.header.codes.items():
            shown |= {f"{CODES}/{code}/{name}": content for name, content in source.files}
        wanted = interpreters(file)
    for name in members:
        if name.startswith(("world/", f"{CODES}/")) and name not in shown:
            raise broken(path, f"{name} is not of the run")
    for name, content in shown.items():
        if name not in members or b"".join(read_member(path, members[name])) != content:
            raise broken(path, f"{name} is not what the journal holds")
    for name in INTERPRETERS.values():
        if name in members and members[name].sha256 not in wanted:
            raise broken(path, f"{name} is not the one of the run", expected=wanted)


def _check_models(path: Path, said: Statement, members: dict[str, Member]) -> None:
    """Compare the files of models with their descriptions; no member may be of no use."""
    known = {STATEMENT, SIGNATURE, JOURNAL, *INTERPRETERS.values()}
    for model in said.models:
        for file, digest in (model.files or {}).items():
            name = member_of_model(model.name, file)
            known.add(name)
            if name not in members or members[name].sha256 != digest:
                raise broken(path, f"{name} is not what its model's description says")
        if model.entry and model.entry not in (model.files or {}):
            raise broken(path, f"the model {model.name} has no file {model.entry}")
    for name in members:
        if name not in known and not name.startswith("world/"):
            raise broken(path, f"{name} is of no use in a bundle")


def _unpack(path: Path, member: Member | None, folder: Path) -> Path | None:
    """Unpack a member, whose name is a plain path, below a new folder."""
    if member is None:
        return None
    target = folder / member.name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.open("xb") as file:
        for chunk in read_member(path, member):
            file.write(chunk)
    return target
