"""Recorded waves, asked again of their models by their recorded plans, and compared.

A model of class `plan-bound` gives the same bits for the same batches. So what it answered in a run can be computed
again on the same machine and versions, wave by wave, without playing anything else of the run.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from turnwise.core.compare import Difference
from turnwise.core.effects_budget import is_too_large
from turnwise.core.records import EffectRecord, RoundRecord, WaveRecord
from turnwise.core.sampling import index_text
from turnwise.core.streams import effect_stream
from turnwise.core.withheld import WithheldTokens
from turnwise.errors import JournalError, TurnwiseError
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.check_request import AnswerDeparture, CheckReply, CheckRequest
from turnwise.inference.requests.generate_request import STREAM_BYTES, GenerateReply, GenerateRequest
from turnwise.journal import Journal
from turnwise.journal.file.errors import damaged
from turnwise.orchestrator.assembly import check_models
from turnwise.orchestrator.loop_thread import run_alone
from turnwise.orchestrator.reproducibility import recorded_plan
from turnwise.orchestrator.settings import Settings
from turnwise.orchestrator.writer_notes import specs_of


@dataclass(frozen=True, slots=True)
class Reissue:
    """Outcome of a wave that was issued again."""

    round: int
    """Round of the wave."""
    wave: int
    """Number of the wave in its round."""
    model: str
    """Name of the model."""
    plan: BatchPlan
    """Plan by which the wave ran."""
    requests: int
    """Requests that were compared: all up to the difference."""
    difference: Difference | None
    """First reply that is another; None if none is."""
    recorded: EffectRecord | None = None
    """Effect whose reply is another."""
    own: tuple[int, ...] | None = None
    """Tokens of the reply that came instead."""


class Reissuing:
    """The models of a journal, loaded to issue its waves again. An async context manager.

    Raises `TurnwiseError` if a model is not the one that answered, unless `others` says that another may be asked, or
    if a plan is not possible on this machine.
    """

    def __init__(
        self,
        journal: Journal,
        models: Collection[str],
        settings: Settings,
        options: EngineOptions | None = None,
        *,
        others: bool = False,
    ) -> None:
        self._others = others
        self._journal = journal
        self._plan = journal.header.plan_at()
        self._names = [agent.name for agent in journal.queries.agents()]
        self._answer: asyncio.Future[WaveReply] | None = None
        self._named: asyncio.Future[CheckReply] | None = None
        self._id = 0
        self._host = InferenceHost(
            [spec for spec in specs_of(journal, settings.models) if spec.name in models],
            on_replies=self._take_replies,
            on_wave=self._answered,
            on_checks=self._take_checks,
            on_failure=self._failed,
            transport=settings.transport,
            options=options,
        )

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """The models, as they were loaded."""
        return self._host.models

    async def issue(self, record: RoundRecord, wave: WaveRecord) -> Reissue:
        """Run one wave of a round again, and compare."""
        turns = {turn.place: turn for turn in record.parts}
        effects = {(place, effect.index): effect for place, effect in record.effects()}
        try:
            asked = [(turns[place], effects[place, index]) for place, index in wave.requests]
        except LookupError as error:
            what = f"it has a wave of effects that are not in round {record.round}"
            raise damaged(self._journal.path, what, actual=wave.requests) from error
        seed, parks = self._journal.header.plan_at(record.round).seed, self._journal.rounds.parks
        requests = []
        for number, (turn, effect) in enumerate(asked):
            stream = effect_stream(seed, self._names[turn.place], turn.turn, effect.index)
            now_us = self._plan.now_us(parks.began(turn.place, turn.turn, record.round))
            requests.append(GenerateRequest(number, wave.model, effect.request, stream, now_us))
        plan = recorded_plan(self._journal, wave)
        self._id += 1
        self._answer = asyncio.get_running_loop().create_future()
        self._host.submit_wave(Wave(self._id, wave.model, tuple(requests), plan))
        replies = (await self._answer).replies
        for count, ((turn, effect), reply) in enumerate(zip(asked, replies, strict=True), 1):
            if reply.body != effect.reply and not is_too_large(effect.reply):  # which the core has put in its place
                what = f"effect {index_text(effect.index)}: reply"
                name = self._names[turn.place]
                found = Difference(record.round, name, what, effect.reply, reply.body)
                return Reissue(record.round, wave.wave, wave.model, plan, count, found, effect, reply.tokens)
        return Reissue(record.round, wave.wave, wave.model, plan, len(asked), None)

    async def departure(self, model: str, found: Reissue) -> AnswerDeparture | None:
        """Name the token in which a reply parts from the recorded one; None where tokens are not known."""
        recorded = None if found.recorded is None else found.recorded.tokens
        if found.recorded is None or not recorded or isinstance(recorded, WithheldTokens) or not found.own:
            return None
        self._named = asyncio.get_running_loop().create_future()
        request = GenerateRequest(0, model, "{}", bytes(STREAM_BYTES))
        self._host.submit([CheckRequest(request, recorded, found.recorded.reply, found.own)])
        return (await self._named).departure

    async def __aenter__(self) -> Self:
        await self._host.start()
        try:
            if not self._others:
                check_models(self._journal.path, self._plan, self._host.models)
        except BaseException:
            await self._host.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._host.close()

    def _answered(self, reply: WaveReply) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(reply)

    def _failed(self, error: TurnwiseError) -> None:
        for waited in (self._answer, self._named):
            if waited is not None and not waited.done():
                waited.set_exception(error)

    def _take_checks(self, replies: list[CheckReply]) -> None:
        if self._named is not None and not self._named.done():
            self._named.set_result(replies[0])

    def _take_replies(self, replies: list[GenerateReply]) -> None:
        """Replies to requests outside waves, of which there are none."""


def reissue(
    journal: str | os.PathLike[str],
    round_: int,
    wave: int,
    settings: Settings | None = None,
    *,
    parents: Sequence[Path] = (),
) -> tuple[Reissue, ...]:
    """Issue one wave of a round again: an outcome for each of its models, in order of their names."""
    return run_alone(_reissue(Path(journal), round_, wave, settings or Settings(), parents))


async def _reissue(
    path: Path, round_: int, number: int, settings: Settings, parents: Sequence[Path]
) -> tuple[Reissue, ...]:
    with Journal.open(path, parents=parents) as journal:
        record = journal.rounds.round(round_)
        waves = [wave for wave in record.waves if wave.wave == number]
        if not waves:
            raise JournalError(
                f"round {round_} has no wave {number}",
                where=str(path),
                expected=sorted({wave.wave for wave in record.waves}),
                actual=number,
                hint="Only models whose answers depend on what runs beside what are asked in waves.",
            )
        rows_max = max(recorded_plan(journal, wave).rows_max for wave in waves)
        options = EngineOptions(rows_max=max(rows_max, EngineOptions().rows_max))
        async with Reissuing(journal, {wave.model for wave in waves}, settings, options) as models:
            return tuple([await models.issue(record, wave) for wave in waves])
