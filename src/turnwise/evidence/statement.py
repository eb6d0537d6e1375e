"""The statement of a bundle: an in-toto statement that names each member by its SHA-256, and says which run it is.

What it says of the run is made from the journal, and is made again and compared when a bundle is read; only the version
of what made the bundle is no more than said. Models are described as in the model-signing format of OpenSSF: files
with their digests (`resources`), and one digest over these.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from turnwise._version import __version__
from turnwise.evidence.archive import Content, Member
from turnwise.evidence.canonical_json import canonical_json, parse
from turnwise.journal import Journal
from turnwise.journal.run import Run
from turnwise.sandbox.languages import InterpretedLanguage

STATEMENT: Final = "statement.json"
SIGNATURE: Final = "signature.dsse.json"
JOURNAL: Final = "run.journal"
INTERPRETERS: Final[Mapping[InterpretedLanguage, str]] = {"python": "interpreter.wasm", "javascript": "javascript.wasm"}
"""Members that hold the interpreters of languages."""
PLAN: Final = "world/plan.json"
CODES: Final = "world/codes"
MODELS: Final = "models"

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:turnwise:run:v1"
STATEMENT_BYTES_MAX: Final = 64 * 1024 * 1024

_SERIALIZATION: Final = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model of a run, as its bundle describes it."""

    name: str
    """Name in the world."""
    sha256: str
    """Hash (hex) in the plan."""
    entry: str = ""
    """File within its files that the run named; empty for the folder."""
    files: Mapping[str, str] | None = None
    """SHA-256 (hex) of its files by name, which are inside the bundle; None if the model is named by its hash alone."""

    def as_json(self) -> dict[str, object]:
        """The model as the statement has it."""
        found: dict[str, object] = {"name": self.name, "sha256": self.sha256}
        if self.files is not None:
            resources = [
                {"name": name, "algorithm": "sha256", "digest": digest} for name, digest in sorted(self.files.items())
            ]
            found |= {
                "entry": self.entry,
                "serialization": _SERIALIZATION,
                "resources": resources,
                "digest": {"sha256": model_digest(self.files)},
            }
        return found


def model_digest(files: Mapping[str, str]) -> str:
    """SHA-256 (hex) over the digests of a model's files in the order of their names, as model-signing makes it."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in sorted(files.items()))).hexdigest()


def member_of_model(model: str, file: str) -> str:
    """The name of the member that holds a file of a model."""
    return f"{MODELS}/{model}/{file}"


def interpreters(file: Journal) -> list[str]:
    """SHA-256 (hex) of the interpreters of a run's agents; one a language at most, if it is honest."""
    return sorted({source.interpreter for source in file.header.codes.values() if source.interpreter is not None})


def run_facts(run: Run, file: Journal) -> dict[str, Any]:
    """Facts that a statement has of a run; all of them follow from the journal."""
    return {
        "world": run.world_name,
        "seed": str(run.seed),
        "head": run.head,
        "execution": run.execution,
        "status": run.status,
        "rounds": len(run.rounds),
        "turns": len(run.turns),
        "last_round": run.last_round,
        "versions": [writer.versions for writer in file.header.writers()],
        "numeric_classes": dict(run.numeric_classes),
        "interpreters": interpreters(file),
    }


def statement(members: Iterable[Content], facts: Mapping[str, Any], models: Sequence[ModelFacts]) -> bytes:
    """The statement about some members, as canonical JSON."""
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": member.name, "digest": {"sha256": member.sha256}} for member in members],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "made_by": {"name": "turnwise", "version": __version__},
                "run": dict(facts),
                "models": [model.as_json() for model in models],
            },
        }
    )


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that was read."""

    subjects: Mapping[str, str]
    """SHA-256 (hex) of each member by name."""
    made_by: str
    """Version of Turnwise that made the bundle, as it says."""
    run: Mapping[str, Any]
    """Facts of the run."""
    models: tuple[ModelFacts, ...]
    """Models of the run."""

    @classmethod
    def read(cls, content: bytes) -> Statement:
        """Read a statement. Raises ValueError for what is none, or one of another kind."""
        value = _members(parse(content), {"_type", "subject", "predicateType", "predicate"}, "the statement")
        if value["_type"] != STATEMENT_TYPE:
            raise ValueError(f"it is not a {STATEMENT_TYPE}")
        if value["predicateType"] != PREDICATE_TYPE:
            raise ValueError(f"it says {value['predicateType']!r}, not {PREDICATE_TYPE}")
        subjects: dict[str, str] = {}
        for item in _list(value["subject"], "subject"):
            subject = _members(item, {"name", "digest"}, "a subject")
            digest = _members(subject["digest"], {"sha256"}, "the digest of a subject")
            name = _text(subject["name"], "the name of a subject")
            if name in subjects:
                raise ValueError(f"it names {name} twice")
            subjects[name] = _digest(digest["sha256"])
        predicate = _members(value["predicate"], {"made_by", "run", "models"}, "the predicate")
        made_by = _members(predicate["made_by"], {"name", "version"}, "made_by")
        if made_by["name"] != "turnwise":
            raise ValueError("it was not made by turnwise")
        run = predicate["run"]
        if not isinstance(run, dict):
            raise ValueError("run is not an object")
        models = tuple([_model(item) for item in _list(predicate["models"], "models")])
        return cls(subjects, _text(made_by["version"], "a version"), run, models)

    def difference(self, members: Iterable[Member]) -> str | None:
        """Name the first member that is not as the statement says; None if all are, and none is missing."""
        left = dict(self.subjects)
        for member in members:
            if member.name in (STATEMENT, SIGNATURE):
                continue
            expected = left.pop(member.name, None)
            if expected is None:
                return f"{member.name} is not named by its statement"
            if expected != member.sha256:
                return f"{member.name} has SHA-256 {member.sha256}, and its statement says {expected}"
        return f"{min(left)} is missing" if left else None


def _model(value: object) -> ModelFacts:
    if isinstance(value, dict) and value.keys() == {"name", "sha256"}:
        return ModelFacts(_text(value["name"], "the name of a model"), _digest(value["sha256"]))
    keys = {"name", "sha256", "entry", "serialization", "resources", "digest"}
    model = _members(value, keys, "a model")
    files: dict[str, str] = {}
    for item in _list(model["resources"], "resources"):
        resource = _members(item, {"name", "algorithm", "digest"}, "a resource")
        if resource["algorithm"] != "sha256":
            raise ValueError("a resource has a digest that is not SHA-256")
        files[_text(resource["name"], "the name of a resource")] = _digest(resource["digest"])
    found = ModelFacts(
        _text(model["name"], "the name of a model"), _digest(model["sha256"]), _text(model["entry"], "entry"), files
    )
    if found.as_json() != value:
        raise ValueError(f"the model {found.name} is not described as it must be")
    return found


def _members(value: object, keys: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != keys:
        raise ValueError(f"{what} does not have the members {', '.join(sorted(keys))}")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} is not a list")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} is not a text")
    return value


def _digest(value: object) -> str:
    text = _text(value, "a digest")
    if len(text) != 64 or any(character not in "0123456789abcdef" for character in text):
        raise ValueError(f"{json.dumps(text)} is not a SHA-256 in hex")
    return text
