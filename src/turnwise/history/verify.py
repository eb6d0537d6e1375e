"""Verify: execute every turn of a journal again, ask its models again, and compare.

A replay, whose one gap is closed as far as the machine allows: what the turns ask of models is asked of them again
while the turns are replayed, and each reply is compared with the recorded one. The level that held is said of each
model, with the reason why it is no higher.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from turnwise._version import __version__
from turnwise.core.compare import Difference
from turnwise.errors import UsageError
from turnwise.history.asked import Asked
from turnwise.history.model_witness import ModelWitness
from turnwise.history.nearness import Nearness
from turnwise.history.replay import OnProgress, Replay, missing_end_text, replay_rounds, silent, taken_over
from turnwise.history.reply_difference import TokenDifference
from turnwise.history.tool_witness import ToolVerification, ToolWitness, Witnesses
from turnwise.journal import Journal
from turnwise.journal.file.stored_json import stored_object
from turnwise.orchestrator.loop_thread import run_alone
from turnwise.orchestrator.settings import Settings

Level = Literal["L0", "L1", "L2"]
"""`L2`: each reply was computed again, and is the same whatever ran beside it. `L1`: each reply was computed again in
the recorded waves, and is the same. `L0`: replies were taken from the journal, or are not the same."""


@dataclass(frozen=True, slots=True)
class ModelVerification:
    """One model that the verified turns asked.

    `level` is what held, and `reasons` say why it is no higher, and what is not as it was. `requests` counts those of
    the run, `compared` the replies that were compared. `sha256` (hex) is the hash of what was asked here, None if it
    was not loaded. `nearness` is there where the check was tolerant: no level is claimed then, and answers were only
    held to be near what the model gives here.
    """

    name: str
    level: Level
    requests: int
    compared: int
    sha256: str | None
    reasons: tuple[str, ...]
    nearness: Nearness | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of verifying a journal.

    `rounds` and `turns` count those that were executed and equal, `replies` the replies of models that were computed
    again and equal. `head` (hex) is the run's, or that of the last round that was equal; `difference` is the first,
    None if all was equal. `models` are those that were asked; `notes` say what was compared otherwise than usual, and
    `unproved` what was taken from the journal. `token` says where two answers part, if the first difference is of
    answers whose tokens are known. `tools` are those that were called.
    """

    rounds: int
    turns: int
    replies: int
    head: str
    difference: Difference | None
    models: tuple[ModelVerification, ...]
    notes: tuple[str, ...]
    unproved: tuple[str, ...]
    token: TokenDifference | None = None
    tools: tuple[ToolVerification, ...] = ()


def verify(
    journal: Path,
    settings: Settings,
    progress: OnProgress | None = None,
    *,
    rounds: tuple[int, int | None] = (1, None),
    agent: str | None = None,
    tolerant: bool = False,
    parents: Sequence[Path] = (),
) -> Verification:
    """Verify the rounds from the first to the last of `rounds` (None: to the end of the run).

    All turns are executed; with an `agent`, models are asked its requests only. `tolerant`: recorded answers of
    language models are held against the model, once, and have to be near what it gives here. Raises `TurnwiseError` if
    the journal cannot be executed here.
    """
    return run_alone(_verify(journal, settings, progress or silent, rounds, agent, tolerant, parents))


async def _verify(
    path: Path,
    settings: Settings,
    progress: OnProgress,
    rounds: tuple[int, int | None],
    agent: str | None,
    tolerant: bool,
    parents: Sequence[Path],
) -> Verification:
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal.open(path, parents=parents))
        first, last = _chosen(journal, rounds)
        if agent is not None and agent not in {record.name for record in journal.queries.agents()}:
            raise UsageError(
                f"there is no agent {agent!r} in this run",
                where="--agent",
                actual=agent,
                hint="turnwise log names the agents.",
            )
        witness = ModelWitness(journal, settings, first, last, agent, tolerant=tolerant)
        if strangers := sorted(settings.models.keys() - witness.models.keys()):
            raise UsageError(
                f"the run has no model {strangers[0]!r}",
                where="--model",
                expected=sorted(witness.models),
                actual=strangers[0],
                hint="Name a model as the world does.",
            )
        await stack.enter_async_context(witness)
        tools = await stack.enter_async_context(ToolWitness(journal, last))
        bound = None if rounds[1] is None else last
        replayed = await replay_rounds(
            path, settings, progress, first=first, last=bound, witness=Witnesses(witness, tools), parents=parents
        )
        await witness.drain()
        return _verification(journal, replayed, witness, tools, first, agent)


def _chosen(journal: Journal, rounds: tuple[int, int | None]) -> tuple[int, int]:
    newest = journal.rounds.last_round
    first, last = rounds[0], newest if rounds[1] is None else rounds[1]
    if not 1 <= first <= max(last, 1) or last > newest:
        raise UsageError(
            f"there are no rounds {first} to {last} in this run",
            where="--rounds",
            expected=f"rounds of 1 to {newest}",
            actual=f"{first}..{last}",
            hint="Write --rounds A..B, A.., ..B or A.",
        )
    return first, last


def _verification(
    journal: Journal, replayed: Replay, witness: ModelWitness, tools: ToolWitness, first: int, agent: str | None
) -> Verification:
    difference = _first(_first(replayed.difference, witness.difference), tools.difference)
    models = tuple([_level(model, difference) for model in witness.models.values() if model.requests])
    replies = sum(model.compared for model in models) - sum(
        1 for model in witness.models.values() if model.difference is not None
    )
    missing = replayed.missing_end
    notes = [*([] if missing is None else [missing_end_text(missing)]), *replayed.notes, *_notes(journal)]
    unproved = [*replayed.unproved, *_unproved(models, first, agent)]
    if left := sum(tool.calls - tool.compared for tool in tools.tools):
        unproved.append(taken_over(left, "result of tools", "results of tools"))
    head = replayed.head
    token = witness.token if difference is witness.difference else None
    return Verification(
        replayed.rounds,
        replayed.turns,
        replies,
        head,
        difference,
        models,
        tuple(notes),
        tuple(unproved),
        token,
        tools.tools,
    )


def _first(replayed: Difference | None, asked: Difference | None) -> Difference | None:
    """The first of a difference in a replay and one of a reply. Of one round, the reply comes before what came of it.

    A turn that asks something else than is recorded comes before all replies to what is recorded.
    """
    if replayed is None or asked is None:
        return replayed or asked
    if replayed.round == asked.round:
        return replayed if replayed.what.endswith(": request") else asked
    return replayed if replayed.round < asked.round else asked


def _level(model: Asked, difference: Difference | None) -> ModelVerification:
    reasons = list(model.reasons)
    level: Level = "L0"
    if model.nearness is not None and model.difference is None and model.usable:
        reasons.append("answers were held to be near what the model gives here, and not computed again")
        if model.compared < model.requests:
            reasons.append(f"{model.compared:,} of {model.requests:,} replies were compared")
    elif model.difference is not None:
        reasons.append("a reply is another")
        if not reasons[:-1] and not model.processor_noted:
            reasons.append("the kind of processor is not recorded, and another kind may round otherwise")
    elif not model.usable:
        if not reasons:
            reasons.append("it may answer otherwise when it is asked the same again on this machine")
    elif difference is not None:
        reasons.append(f"verifying ended with the difference in round {difference.round}")
    elif model.compared < model.requests:
        reasons.append(f"{model.compared:,} of {model.requests:,} replies were compared")
    elif model.another_file:
        reasons.append("the replies of the other file are equal all the same")
    elif model.promise == "plan-bound":
        level = "L1"
        reasons.append("it is plan-bound: its replies are the same in the recorded waves, and need not be in others")
    else:
        level = "L2"
    sha256 = None if model.info is None else model.info.sha256
    return ModelVerification(model.name, level, model.requests, model.compared, sha256, tuple(reasons), model.nearness)


def _notes(journal: Journal) -> Iterator[str]:
    written = {
        str(stored_object(writer.versions, "versions of a writer", journal.path).get("turnwise"))
        for writer in journal.header.writers()
    }
    if others := sorted(written - {__version__}):
        yield f"the journal was written by turnwise {', '.join(others)}, this is {__version__}"


def _unproved(models: tuple[ModelVerification, ...], first: int, agent: str | None) -> Iterator[str]:
    if first > 1:
        yield f"what came before round {first} was taken from the journal; its heads were compared"
    if agent is not None:
        yield f"replies to other agents than {agent} were taken from the journal"
    for model in models:
        if left := model.requests - model.compared:
            yield taken_over(left, f"reply of {model.name}", f"replies of {model.name}")
