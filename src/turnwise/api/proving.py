"""Runs that are executed again and compared, and bundles, with which others do so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from turnwise.api.places import places
from turnwise.evidence.bundle import Bundled
from turnwise.evidence.bundle import bundle as make_bundle
from turnwise.evidence.verify import BundleVerification
from turnwise.evidence.verify import verify_bundle as verify_bundle_file
from turnwise.history.replay import OnProgress, Replay
from turnwise.history.replay import replay as replay_journal
from turnwise.history.verify import Verification
from turnwise.history.verify import verify as verify_journal
from turnwise.orchestrator.run_options import (
    ExecutionOptions,
    ResumeOptions,
    check_names,
    settings_of,
)
from turnwise.system.paths import StrPath


def replay(
    journal: StrPath,
    *,
    parents: Sequence[StrPath] = (),
    progress: OnProgress | None = None,
    **options: Unpack[ExecutionOptions],
) -> Replay:
    """Execute all turns of a journal again with the effects that were recorded, and compare.

    `parents` are as those of `open`.
    """
    check_names("replay", options, ExecutionOptions)
    return replay_journal(Path(journal), settings_of(options), progress, parents=places(parents))


def verify(
    journal: StrPath,
    *,
    rounds: tuple[int, int | None] = (1, None),
    agent: str | None = None,
    tolerant: bool = False,
    parents: Sequence[StrPath] = (),
    progress: OnProgress | None = None,
    **options: Unpack[ResumeOptions],
) -> Verification:
    """Execute all turns of a journal again, ask its models again what they were asked, and compare.

    `rounds` are the first and the last, None for the end of the run; `agent` keeps the requests of one agent. A model
    that `models` names is asked even if it is not the recorded one. `tolerant`: recorded answers of language models
    have to be near what the models give here, which other machines can tell, too, and sooner. `parents` are as those of
    `open`.
    """
    check_names("verify", options, ResumeOptions)
    settings, found = settings_of(options, models=True), places(parents)
    return verify_journal(
        Path(journal), settings, progress, rounds=rounds, agent=agent, tolerant=tolerant, parents=found
    )


def bundle(
    journal: StrPath,
    out: StrPath,
    *,
    with_models: bool = False,
    models: Mapping[str, StrPath] | None = None,
    sign: StrPath | None = None,
    parents: Sequence[StrPath] = (),
) -> Bundled:
    """Write a journal with everything that it takes to check it into one new file, for somebody else.

    `with_models` puts the files of its models into it; `models` says where they are, by name, if they are no longer
    where the run found them. `sign` is an Ed25519 private key in a PEM file. `parents` are as those of `open`.
    """
    folders = settings_of({"models": models}, models=True).models
    key = None if sign is None else Path(sign)
    found = places(parents)
    return make_bundle(Path(journal), Path(out), with_models=with_models, models=dict(folders), key=key, parents=found)


def verify_bundle(
    path: StrPath,
    *,
    trust: Sequence[StrPath] = (),
    rounds: tuple[int, int | None] = (1, None),
    agent: str | None = None,
    tolerant: bool = False,
    progress: OnProgress | None = None,
    **options: Unpack[ResumeOptions],
) -> BundleVerification:
    """Compare everything in a bundle with its digests, then verify its run as `verify` does with a journal.

    `trust` are Ed25519 public keys in PEM files, one of which must have signed it. Raises `DifferenceFound` for a
    bundle that does not hold.
    """
    check_names("verify_bundle", options, ResumeOptions)
    settings = settings_of(options, models=True)
    keys = [Path(key) for key in trust]
    return verify_bundle_file(Path(path), settings, progress, trust=keys, rounds=rounds, agent=agent, tolerant=tolerant)
