"""Forking: a new run that goes on from any round of another, with something changed, and copies nothing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from turnwise.core.calling import CALL
from turnwise.core.events import Answer, Input
from turnwise.core.plan import Plan
from turnwise.core.records import ChangeRecord, MessageRecord
from turnwise.errors import UsageError
from turnwise.journal import Journal
from turnwise.orchestrator import outside_box
from turnwise.orchestrator.assembly import accepted_tools, check_models, prepare_parts
from turnwise.orchestrator.fork_changes import ForkChanges, answers_of, inputs_of, records_of
from turnwise.orchestrator.forked_calls import ForkedCalls, ToolMode, recorded_calls
from turnwise.orchestrator.model_hosts import Spec
from turnwise.orchestrator.parts import comes, connect
from turnwise.orchestrator.progress import Status
from turnwise.orchestrator.run_sources import code_source, source, stored_sources
from turnwise.orchestrator.session import Session
from turnwise.orchestrator.settings import Settings
from turnwise.orchestrator.tool_servers import tools_of_journal
from turnwise.orchestrator.writer_notes import endpoints_of, info_of, specs_of, versions_of
from turnwise.world import SourceFiles
from turnwise.world.files import Refused
from turnwise.world.meaning.sources import from_file


async def fork(
    parent: Path,
    at: int,
    changes: ForkChanges,
    journal: Path,
    settings: Settings,
    status: Status,
    parents: Sequence[Path] = (),
) -> Session:
    """Begin a fork of a run after round `at`, in a new journal.

    Models that `settings` names are taken from there; one with another content is a change. `parents` are where to look
    for what the run itself was forked from.
    """
    async with AsyncExitStack() as stack:
        status.doing = "reading the journal"
        with Journal.open(parent, parents=parents) as old:
            plan = old.header.plan_at(at)
            _check_round(old, at, changes)
            machine = old.machine.at(at)
            files = _sources(plan, changes.sources)
            sources = stored_sources(old, plan) | {
                kind: source(f"--source {kind}", found) for kind, found in files.items()
            }
            specs: list[Spec] = [*specs_of(old, settings.models), *endpoints_of(old, settings.models)]
            known = old.header.codes
            later = list(_later(old, at)) if changes.repeat_inputs else []
            repeated = list(_later_answers(old, at, changes.repeat_inputs, settings.tools))
            last = old.rounds.last_round
            point, depth = old.fork_point(at, journal.absolute())
            pending = old.rounds.coming(max(at, last) + 1) if changes.repeat_inputs else {}
            tools = replace(tools_of_journal(old), mode=settings.tools)
            recorded = recorded_calls(old, at) if tools.servers and tools.mode == "recorded" else None
        servers = tools.servers if tools.mode == "live" else ()
        prepared = await prepare_parts(stack, settings, status, sources, specs, servers)
        prepared = replace(prepared, park_after_ms=tools.park_after_ms)
        if tools.servers and tools.mode != "live":
            prepared = replace(prepared, desk=ForkedCalls(recorded))
        models = prepared.host.models
        for name, sha256 in plan.models:
            if name not in settings.models and models[name].sha256 != sha256:
                check_models(parent, plan, models)  # raises: a model that nobody named must be what it was
        codes = {kind: code.hash for kind, code in prepared.codes.items()}
        hashes = {name: models[name].sha256 for name, _ in plan.models}
        records = records_of(machine.world, plan, changes, codes, hashes)
        text = accepted_tools(str(parent), plan, prepared.listed, settings)
        records += [] if text is None else [ChangeRecord("plan", text=text)]
        given = answers_of(machine.questions(), changes, at)
        coming = _coming(at, records, [*inputs_of(machine.world, changes, later), *given, *repeated])
        for round_, entries in pending.items():
            coming.setdefault(round_, []).extend(entry for entry in entries if isinstance(entry, Input | Answer))
        new = {
            codes[kind]: code_source(found, prepared.codes[kind])
            for kind, found in files.items()
            if codes[kind] not in known
        }
        outside_box.discard(journal)
        file = stack.enter_context(
            Journal.create_fork(
                journal,
                parent=point,
                depth=depth,
                info=info_of(specs, tools),
                versions=versions_of(models),
                codes=new,
                coming=coming,
                moved=[parent, *parents],
            )
        )
        comes(machine, file)
        continued = file.header.continued_versions(at)
        if continued is not None:
            machine.continued_by(continued)
        status.doing = "starting sandboxes"
        return await connect(stack, settings, prepared, machine, file)


def _check_round(old: Journal, at: int, changes: ForkChanges) -> None:
    """Raise UsageError for a round after which no fork can begin."""
    last = old.rounds.last_round
    if not 0 <= at <= last:
        raise UsageError(
            f"there is no round {at} in this run",
            where="--at",
            expected=f"0 to {last}",
            actual=at,
            hint=f"Give the round after which the fork goes on: 0 (the beginning) to {last}.",
        )
    if at:
        old.rounds.summary(at)  # raises where nobody moved
    end = old.rounds.end_record
    if end is not None and at == last and end.reason in ("finished", "failed") and changes != ForkChanges():
        raise UsageError(
            f"the run ended with round {at} ({end.reason}), so nothing can be changed after it",
            where="--at",
            hint=f"Fork at an earlier round: --at {max(0, at - 1)}",
        )


def _later(old: Journal, at: int) -> Iterator[MessageRecord]:
    """Yield what came from outside after a round. What the world itself sends at the beginning is left out."""
    given = len(old.header.plans()[0][1].messages) if at == 0 else 0
    for number in old.rounds.holding("inputs", at + 1):
        for message in old.rounds.round(number).inputs:
            if given:
                given -= 1
            else:
                yield message


def _later_answers(old: Journal, at: int, people: bool, mode: ToolMode) -> Iterator[Answer]:
    """Yield the answers that came after a round, each to the question that it answered.

    Those of people only if they are wanted; outcomes of calls that were made before, or if they are taken as recorded.
    """
    parks = old.rounds.parks
    for round_, answers in parks.answers(at + 1, old.rounds.last_round).items():
        for answer in answers:
            asked = parks.question(answer.question)
            if asked is None:
                continue
            is_call = asked[2].kind == CALL
            if (is_call and mode == "recorded") or (is_call and asked[0] <= at) or (people and not is_call):
                digest = parks.asked_digest(*asked)
                yield Answer(answer.question, answer.reply, round_ - 1, digest)


def _sources(plan: Plan, sources: Mapping[str, Path]) -> dict[str, SourceFiles]:
    kinds = [kind.name for kind in plan.kinds]
    found = {}
    for kind, path in sources.items():
        if kind not in kinds:
            raise UsageError(
                f"there is no kind of agent {kind!r}; agents of one kind have one source",
                where="--source",
                actual=kind,
                hint=f"Name a kind: {', '.join(kinds)}.",
            )
        try:
            found[kind] = from_file(path.name, path.absolute().parent, None)
        except Refused as error:
            raise UsageError(error.message, where=f"--source {kind}={path}", hint=error.hint) from error
    return found


def _coming(
    at: int, records: Sequence[ChangeRecord], inputs: Sequence[Input | Answer]
) -> dict[int, list[ChangeRecord | Input | Answer]]:
    """Everything that comes from outside, by the round that begins with it."""
    coming: dict[int, list[ChangeRecord | Input | Answer]] = {at + 1: list(records)} if records else {}
    for entry in inputs:
        coming.setdefault(entry.after + 1, []).append(entry)
    return coming
