"""Replay: execute every turn of a journal again, in sandboxes, with the effects that were recorded, and compare.

Nothing is asked of a model, and code that agents had executed is executed again: replay proves that the agents' logic,
the order, the end and the journal belong together.
What it compares: the first agents with the plan, the outcome of each round and how it was carried out (fuel,
executions, what failed turns said and printed), both chains, and how the run ended. The first difference ends it, since
all that follows may be its consequence. What it takes from the journal instead, `Replay.unproved` says.

Fuel is counted alike by one version of wasmtime only. A journal of another version is replayed without a bound, and
turns that ran out of fuel or stack then are taken from the journal: `Replay.notes` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from turnwise.core.calling import CALL, TOOLS
from turnwise.core.compare import Difference, first_agents_difference, first_difference
from turnwise.core.events import Advance, Answer, End, OutsideChange, Request
from turnwise.core.head import ended
from turnwise.core.machine import Machine
from turnwise.core.question import ASK
from turnwise.core.records import EffectRecord, EndRecord, ParkRecord, RoundRecord, TurnRecord
from turnwise.core.run_python import RUN_PYTHON
from turnwise.core.snapshot import Snapshot, take
from turnwise.core.state import first_agents
from turnwise.history.recorded import Departure, RecordedEffects
from turnwise.history.replay_driver import Nowhere, ReplayDriver
from turnwise.history.rounds_ahead import RoundsAhead, worthwhile
from turnwise.journal import Journal
from turnwise.journal.file.stored_json import stored_object
from turnwise.orchestrator.loop_thread import run_alone
from turnwise.orchestrator.run_sources import check_codes, stored_sources
from turnwise.orchestrator.settings import Settings
from turnwise.sandbox.build.code import Code, prepare
from turnwise.sandbox.pool.pool import Pool

OnProgress = Callable[[int, int], None]
"""Told (rounds done, rounds in all)."""


class Witness(Protocol):
    """Sees what a replay takes from the journal, to prove it in another way."""

    def asked(self, request: Request, effect: EffectRecord) -> None:
        """A turn of the round in progress asked a model, and was given the recorded reply."""

    def taken(self, turns: Sequence[TurnRecord | ParkRecord]) -> None:
        """Take note of turns of the round in progress that could not be executed, nor models asked for them."""

    async def round(self, record: RoundRecord) -> bool:
        """Take note of a round that was played, also of one that differs; False: the replay need not go on."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Result of a replay.

    `rounds` and `turns` count those that were equal. `head` (hex) is the run's, its end included, or that of the last
    round that was equal; `difference` is None if all was equal. `notes` say what was compared otherwise than usual;
    `unproved` what was taken from the journal, and so is not proved by this replay. `missing_end` is the
    end that must follow the last round (`quiet`, `rounds_max`) where the journal has none: the run was stopped just
    before, waits for something from outside, or somebody has removed it, which the journal alone cannot tell.
    """

    rounds: int
    turns: int
    head: str
    difference: Difference | None
    notes: tuple[str, ...]
    unproved: tuple[str, ...] = ()
    missing_end: EndRecord | None = None


def replay(
    journal: Path, settings: Settings, progress: OnProgress | None = None, *, parents: Sequence[Path] = ()
) -> Replay:
    """Replay a journal. Raises `TurnwiseError` if it cannot be replayed here.

    `parents` are files, and folders, in which to look for what a fork goes on from, if that was moved.
    """
    return run_alone(replay_rounds(journal, settings, progress or silent, parents=parents))


def silent(_done: int, _total: int) -> None:
    """Tells nobody."""


async def replay_rounds(
    path: Path,
    settings: Settings,
    progress: OnProgress,
    *,
    first: int = 1,
    last: int | None = None,
    witness: Witness | None = None,
    parents: Sequence[Path] = (),
) -> Replay:
    """Replay the rounds from `first` to `last` (default: all, and the end).

    The state before `first` is what the journal holds of it, and is compared with the head of the round before. What a
    `witness` sees is its to prove, and is not named in `Replay.unproved`.
    """
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal.open(path, parents=parents))
        plans = [plan for _, plan in journal.header.plans()]
        codes: dict[str, Code] = {}
        for changed in plans:
            sources = stored_sources(journal, changed, settings.interpreters)
            prepared = await prepare(list(sources.values()), interpreters=settings.interpreters)
            made = dict(zip(sources, prepared, strict=True))
            check_codes(journal, changed, made)
            codes |= {code.hash: code for code in made.values()}
        foreign = _foreign(journal)
        machine = journal.machine.at(first - 1)
        driver = ReplayDriver(machine, Nowhere(), foreign)
        driver.contents.load = journal.contents.read
        journal.contents.check()
        effects = RecordedEffects(
            driver.on_replies,
            driver.on_failure,
            lambda place: machine.world.agents[place].name,
            None if witness is None else witness.asked,
            driver.on_left,
        )
        driver.effects = effects
        total, turns = _counts(journal, first, last)
        if journal.queries.is_redacted():
            driver.withhold(journal.queries.withheld_messages(), journal.contents.withheld())
        in_parallel = not driver.is_redacted and worthwhile(turns, total, settings.workers_count)
        world = journal.machine.at(first - 1).world if in_parallel else None
        records: Iterable[RoundRecord] = journal.rounds.between(first, last)
        ahead = None if world is None else RoundsAhead(driver, world, records)
        pool = await stack.enter_async_context(
            Pool(
                list(codes.values()),
                workers=settings.workers_count,
                on_results=driver.on_results if ahead is None else ahead.on_results,
                on_failure=driver.on_failure,
                transport=settings.transport,
                deadline_ms=settings.deadline_ms,
            )
        )
        driver.sandboxes = pool
        if ahead is not None:
            ahead.pool, driver.sandboxes, records = pool, ahead, ahead
        return await _compare(journal, machine, driver, effects, records, total, progress, first, last, witness)


def _counts(journal: Journal, first: int, last: int | None) -> tuple[int, int]:
    """The numbers of rounds and turns that are to be executed."""
    rounds = turns = 0
    for summary in journal.rounds.summaries(first):
        if last is None or summary.round <= last:
            rounds, turns = rounds + 1, turns + summary.turns
    return rounds, turns


async def _compare(
    journal: Journal,
    machine: Machine,
    driver: ReplayDriver,
    effects: RecordedEffects,
    records: Iterable[RoundRecord],
    total: int,
    progress: OnProgress,
    first: int,
    last: int | None,
    witness: Witness | None,
) -> Replay:
    follower = journal.chains.follow(first)
    head = follower.head
    done = turns = answers = people = waves = taken = called = 0
    stopped = False
    difference = first_agents_difference(first_agents(machine.plan), journal.queries.agents(0))
    given = (
        len(machine.plan.messages) if machine.world.round == 0 else 0
    )  # inputs of the first round that the machine knows of by itself
    if difference is None:
        for record in records:
            driver.expect(record)
            effects.expect(record)
            for message in record.inputs[given:]:
                came_late = message.round == record.round  # while the last round was in progress
                driver.input(message.to, message.body, record.round if came_late else 0)
            for change in record.changes:
                machine.step(OutsideChange(change))
            for answer in record.answers:
                machine.step(Answer(answer.question, answer.reply))
            given = 0
            people += sum(_is_of_person(machine, answer.question) for answer in record.answers)
            difference = await _round(driver, record) or follower.broken(record) or _snapshot(journal, machine, record)
            if witness is not None:
                witness.taken(driver.taken_turns)
            taken += len(driver.taken_turns)
            stopped = witness is not None and not await witness.round(record)
            if difference is not None or stopped:
                break
            head = record.head
            done += 1
            turns += len(record.turns)
            answers += sum(effect.kind not in (RUN_PYTHON, ASK, CALL, TOOLS) for _, effect in record.effects())
            called += sum(effect.kind == CALL for _, effect in record.effects())
            waves += len(record.waves)
            progress(done, total)
    notes = list(driver.notes)
    missing: EndRecord | None = None
    whole = not stopped and (last is None or last >= journal.rounds.last_round)
    if difference is None and whole:
        difference, end = _end(journal, machine, head, driver.foreign is not None or driver.is_redacted)
        if difference is None and journal.rounds.end_record is None:
            missing, end = end, None
            if missing is None:
                notes.append(
                    f"no end is recorded: what came after round {machine.world.round}, if anything did, is not in the "
                    "journal"
                )
        head = head if difference is not None or end is None or end.head is None else end.head
    difference = difference or journal.chains.broken_link()
    if driver.is_redacted and not taken and difference is None:
        notes.append("every turn could be executed: what was taken out can be computed again from the rest")
    unproved = list(_unproved(journal, answers, waves) if witness is None else _unproved(journal, 0, 0))
    if called and witness is None:
        unproved.append(taken_over(called, "result of tools", "results of tools", "no tool was called"))
    if people:
        unproved.append(taken_over(people, "answer of people", "answers of people"))
    if taken:
        unproved.append(taken_over(taken, "turn", "turns", "texts that were given to it are redacted"))
    return Replay(done, turns, head.hex(), difference, tuple(notes), tuple(unproved), missing)


def _is_of_person(machine: Machine, question: int) -> bool:
    """Return whether a person is asked by the question of a turn that waits, and not a tool."""
    place = machine.world.asked.get(question)
    parked = None if place is None else machine.world.agents[place].parked
    return parked is None or parked.questions[question].kind == ASK


async def _round(driver: ReplayDriver, record: RoundRecord) -> Difference | None:
    """Play one round; where it leaves the record."""
    try:
        outcome = await driver.round()
    except Departure as departure:
        return departure.difference
    if isinstance(outcome, RoundRecord):
        driver.found(outcome)
    if isinstance(outcome, EndRecord):
        return Difference(record.round, None, "the run goes on", "another round", f"it has ended: {outcome.reason}")
    agents = driver.machine.world.agents
    return first_difference(
        record, driver.comparable(record, outcome), lambda place: agents[place].name, execution=True
    )


def _snapshot(journal: Journal, machine: Machine, record: RoundRecord) -> Difference | None:
    """Compare the snapshot that the journal holds of a round, if it holds one, with the world that has been played."""
    kept = journal.snapshots.of(record.round)
    if kept is None:
        return None
    taken = take(machine.world)
    for name in Snapshot.__slots__:
        expected, actual = getattr(kept, name), getattr(taken, name)
        if expected != actual:
            return Difference(record.round, None, f"snapshot: {name}", expected, actual)
    return None


def missing_end_text(end: EndRecord) -> str:
    """Return what is to be said of a run whose end is missing, for people."""
    why = "it had reached its bound" if end.reason == "rounds_max" else "nobody had anything left to do"
    return (
        f"this run was over after round {end.round}: {why}, and its end is missing. It was stopped before its "
        "end was written, it waits for something from outside, or its end was removed; the head is that of its last "
        "round. `turnwise resume` writes the end of a run that was stopped."
    )


def _end(journal: Journal, machine: Machine, head: bytes, foreign: bool) -> tuple[Difference | None, EndRecord | None]:
    """Compare how the run ended with how it must end after its last round; return that end, unless it goes on."""
    recorded = journal.rounds.end_record
    action = None if machine.waits else machine.step(Advance())[0]
    found = action.record if isinstance(action, End) else None
    last = machine.world.round
    if recorded is None:
        if found is not None and found.reason in ("finished", "failed") and machine.rule > 1:
            # Such an end is committed together with its round.
            return Difference(last, None, "how the run ended", "no end is recorded", found.reason), None
        return None, found
    if found is not None and foreign and found.message is not None and recorded.message is not None:
        found = replace(found, message=recorded.message)  # what a failure says is the version's own
        found = replace(found, head=ended(head, found, machine.rule))
    for what in ("reason", "round", "result", "message", "head"):
        expected, actual = getattr(recorded, what), None if found is None else getattr(found, what)
        if found is None:
            return Difference(last, None, "how the run ended", expected, "the run goes on"), None
        if expected != actual:
            shown = [value.hex() if isinstance(value, bytes) else value for value in (expected, actual)]
            return Difference(last, None, f"how the run ended: {what}", *shown), None
    return None, recorded


def _unproved(journal: Journal, answers: int, waves: int) -> Iterator[str]:
    """Name the things that a replay takes as they are recorded."""
    if journal.header.rule == 1:
        yield "the head does not cover how the run ended: the journal was begun in format 1 or 2"
    if answers:
        yield taken_over(answers, "answer to an effect", "answers to effects", "no model was asked")
    if waves:
        yield taken_over(waves, "batch plan of waves", "batch plans of waves")


def taken_over(count: int, one: str, many: str, why: str = "") -> str:
    """Say how many things were taken as the journal has them."""
    which = f"1 {one} was" if count == 1 else f"{count:,} {many} were"
    return f"{which} taken from the journal{'; ' * bool(why)}{why}"


def _foreign(journal: Journal) -> str | None:
    """Return the version of wasmtime that made the journal, if it is another one than ours."""
    writers = journal.header.writers()
    what = "versions of a writer"
    recorded = {stored_object(writer.versions, what, journal.path).get("wasmtime") for writer in writers}
    recorded.discard(version("wasmtime"))
    return ", ".join(sorted(str(other) for other in recorded)) or None
