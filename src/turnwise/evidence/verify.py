"""Verifies a bundle: everything in it is compared, then its run is executed again with what it brings along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from turnwise.demo import BUILTIN_DEMO, model_folder
from turnwise.evidence.opened import OpenBundle, open_bundle
from turnwise.history.replay import OnProgress
from turnwise.history.verify import Verification, verify
from turnwise.inference.folders.model_files import model_files
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class BundleVerification:
    """Result of verifying a bundle: what it is and who signed it, and the verification of its run."""

    sha256: str
    """SHA-256 (hex) of its statement, which names everything in it."""
    members: int
    """Number of members whose digests were compared."""
    signers: tuple[str, ...]
    """Ids of the keys that it names as signers; anybody can write an id."""
    trusted: str | None
    """Id of the trusted key that signed it; None if no key was given, and so nothing was proved of who made it."""
    made_by: str
    """Version of Turnwise that made it, as it says."""
    run: Verification
    """Verification of its run."""


def verify_bundle(
    path: Path,
    settings: Settings,
    progress: OnProgress | None = None,
    *,
    trust: Sequence[Path] = (),
    rounds: tuple[int, int | None] = (1, None),
    agent: str | None = None,
    tolerant: bool = False,
) -> BundleVerification:
    """Verify a bundle. Models that `settings` names go before those that are inside.

    Raises `EvidenceError` for a bundle that does not hold, and `TurnwiseError` if its run cannot be executed here.
    """
    with open_bundle(path, trust=trust) as bundle:
        models = {**_builtin(bundle), **bundle.models, **settings.models}
        chosen = replace(settings, models=models, interpreters=bundle.interpreters)
        found = verify(bundle.journal, chosen, progress, rounds=rounds, agent=agent, tolerant=tolerant)
        return BundleVerification(
            bundle.sha256,
            len(bundle.statement.subjects),
            bundle.signers,
            bundle.trusted,
            bundle.statement.made_by,
            found,
        )


def _builtin(bundle: OpenBundle) -> dict[str, Path]:
    """Models that every installation has, by their hashes."""
    sha256 = model_files(ModelSpec("demo", model_folder(BUILTIN_DEMO), variant=None)).sha256
    return {model.name: model_folder(BUILTIN_DEMO) for model in bundle.statement.models if model.sha256 == sha256}
