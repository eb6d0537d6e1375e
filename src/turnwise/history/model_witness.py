"""Models that are asked again what they were asked in a run, while its turns are replayed.

What the core hands to a model during the replay is submitted to the same model, many rounds in one batch where its bits
do not depend on that, else by the recorded waves. So the requests are those of the turns as they are executed here, and
chance comes from the streams that the core makes here; only the expected replies are the journal's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from turnwise.core.compare import Difference
from turnwise.core.effects_budget import is_too_large
from turnwise.core.events import Request
from turnwise.core.promise import promise_of, weakest
from turnwise.core.records import EffectRecord, ParkRecord, RoundRecord, TurnRecord, WaveRecord
from turnwise.core.sampling import index_text
from turnwise.core.withheld import Withheld, WithheldTokens
from turnwise.errors import EnvironmentFailure, TurnwiseError
from turnwise.history.asked import Asked
from turnwise.history.nearness import MEAN_MARGINS_MAX, Nearness, excess
from turnwise.history.reissue import Reissuing
from turnwise.history.reply_difference import TokenDifference, named_reply, shown, token_difference
from turnwise.history.standing import RecordedModels
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.requests.check_request import AnswerDeparture, CheckReply, CheckRequest
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import STREAM_BYTES, GenerateReply, GenerateRequest
from turnwise.inference.requests.infer_request import InferRequest
from turnwise.journal import Journal
from turnwise.orchestrator.contents import Contents
from turnwise.orchestrator.effects import as_model_request, model_of
from turnwise.orchestrator.reproducibility import recorded_plan
from turnwise.orchestrator.settings import Settings
from turnwise.orchestrator.writer_notes import endpoints_of, specs_of

OPEN_REQUESTS_MAX: Final = 512
"""Requests without an answer, above which the replay waits for the models."""


@dataclass(frozen=True, slots=True)
class _Expected:
    model: Asked
    round: int
    agent: str
    effect: EffectRecord


class ModelWitness:
    """Asks the models of a journal again; a `Witness` of its replay, and an async context manager.

    `models` are all of the plan by name. `agent` keeps the requests of one agent. Raises `TurnwiseError` for a model
    that cannot be loaded.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Settings,
        first: int,
        last: int,
        agent: str | None,
        *,
        tolerant: bool = False,
    ) -> None:
        self._tolerant = tolerant
        self._journal = journal
        self._settings = settings
        self._range = first, last
        self._agent = agent
        self._names = [record.name for record in journal.queries.agents()]
        self._places = {name: place for place, name in enumerate(self._names)}
        self._recorded = RecordedModels(journal, first, last)
        self.models = {
            name: Asked(name, sha256, self._recorded.promise(name), name in settings.models)
            for name, sha256 in journal.header.plan_at(last).models
        }
        self._stack = AsyncExitStack()
        self._host: InferenceHost | None = None
        self._waves: dict[str, Reissuing] = {}
        self._pending: list[tuple[Request, EffectRecord]] = []
        self._expected: dict[int, _Expected] = {}
        self._id = 0
        self._failure: TurnwiseError | None = None
        self._change = asyncio.Event()
        self.difference: Difference | None = None
        self._tokens: dict[tuple[int, int, int], TokenDifference] = {}
        self._own: dict[tuple[int, int, int], tuple[_Expected, tuple[int, ...]]] = {}
        self._spelling: int | None = None
        self._checked: dict[str, list[tuple[_Expected, CheckReply]]] = {}

    @property
    def token(self) -> TokenDifference | None:
        """The token of the first difference, where tokens are known."""
        return None if self.difference is None else self._tokens.get(self._order(self.difference))

    # -- of the replay ---------------------------------------------------------------------------------------------

    def asked(self, request: Request, effect: EffectRecord) -> None:
        """A turn of the round in progress asked a model."""
        self._pending.append((request, effect))

    def taken(self, turns: Sequence[TurnRecord | ParkRecord]) -> None:
        """Count the requests of turns that were not executed: nobody can ask them again."""
        for turn in turns:
            for effect in turn.effects:
                counted = effect.model in self._waves  # with their waves
                if effect.model in self.models and not counted and self._agent in (None, self._names[turn.place]):
                    self.models[effect.model].requests += 1

    async def round(self, record: RoundRecord) -> bool:
        """Ask again what the turns of a round asked; wait if too much is open."""
        pending, self._pending = self._pending, []
        waved = {(wave.model, *request) for wave in record.waves for request in wave.requests}
        requests = []
        for action, effect in pending:
            model, agent = self._model(model_of(action)), self._names[action.place]
            if self._agent not in (None, agent):
                continue
            by_waves = model.name in self._waves
            if by_waves and (model.name, action.place, action.index) in waved:
                continue  # counted with its wave
            model.requests += 1
            if dict(self._journal.header.plan_at(record.round).models)[model.name] != model.recorded:
                continue
            if by_waves or not model.usable or is_too_large(effect.reply):
                continue
            asked = self._asked(model, action, effect)
            if asked is None:
                continue
            self._expected[self._id] = _Expected(model, record.round, agent, effect)
            requests.append(asked)
        if self._host is not None and requests:
            self._host.submit(requests)
        await self._issue(record)
        if len(self._expected) > OPEN_REQUESTS_MAX:
            await self._until(OPEN_REQUESTS_MAX // 2)
        return self.difference is None

    def _asked(
        self, model: Asked, action: Request, effect: EffectRecord
    ) -> GenerateRequest | CheckRequest | InferRequest | EmbedRequest | None:
        """Return what is submitted for an effect; None where the record does not say enough for a tolerant check."""
        self._id += 1
        if any(self._journal.contents.is_withheld(kept) for _, kept in action.contents):
            return None
        request = as_model_request(self._id, action, Contents(self._journal.contents.read))
        if model.nearness is None or not isinstance(request, GenerateRequest):
            return request
        failed = effect.reply.startswith('{"error":')
        withheld = isinstance(effect.reply, Withheld) or isinstance(effect.tokens, WithheldTokens)
        if withheld or (effect.tokens is None and not failed):
            return None
        return CheckRequest(request, effect.tokens or (), effect.reply)

    async def drain(self) -> None:
        """Wait for all answers, and for the name of the token in which the first that differs parts from the record."""
        await self._until(0)
        for checked in self._checked.values():
            self._judge(checked)
        own = None if self.difference is None else self._own.get(self._order(self.difference))
        if own is None or self._host is None:
            return
        expected, tokens = own
        self._id += 1
        self._spelling, self._expected[self._id] = self._id, expected
        request = GenerateRequest(self._id, expected.model.name, "{}", bytes(STREAM_BYTES))
        self._host.submit([CheckRequest(request, expected.effect.tokens or (), expected.effect.reply, tokens)])
        await self._until(0)

    def _model(self, name: str) -> Asked:
        """The model of this name, also if the plan has been robbed of it."""
        if name not in self.models:
            self.models[name] = Asked(name, "", None, named=False, reasons=["the plan does not name it"])
        return self.models[name]

    async def _issue(self, record: RoundRecord) -> None:
        """Issue the waves of a round again; with an agent, those in which it had a part."""
        for wave in record.waves:
            issuing = self._waves.get(wave.model)
            if self._agent is not None and not any(self._names[place] == self._agent for place, _ in wave.requests):
                continue
            if issuing is None:
                continue  # its requests were counted one by one
            model = self.models[wave.model]
            model.requests += len(wave.requests)
            if not model.usable or _is_redacted(record, wave):
                continue
            try:
                found = await issuing.issue(record, wave)
            except EnvironmentFailure as failure:
                model.reasons.append(f"a wave of it cannot be issued again: {failure.message}")
                model.named = False
                continue
            model.compared += found.requests
            if found.difference is not None:
                difference = named_reply(found.difference, model.name)
                departure = await issuing.departure(model.name, found)
                if departure is not None:
                    self._tokens[self._order(difference)] = token_difference(departure)
                self._note(model, difference)

    async def _until(self, open_max: int) -> None:
        while len(self._expected) > open_max and self._failure is None:
            self._change.clear()
            await self._change.wait()
        if self._failure is not None:
            raise self._failure

    # -- of the host -----------------------------------------------------------------------------------------------

    def _take(self, replies: Sequence[GenerateReply]) -> None:
        for reply in replies:
            expected = self._expected.pop(reply.id)
            expected.model.compared += 1
            if reply.body != expected.effect.reply:
                what = f"effect {index_text(expected.effect.index)}: reply"
                found = Difference(expected.round, expected.agent, what, expected.effect.reply, reply.body)
                found = named_reply(found, expected.model.name)
                if reply.tokens and expected.effect.tokens:
                    self._own[self._order(found)] = expected, reply.tokens
                self._note(expected.model, found)
        self._change.set()

    def _take_checks(self, replies: Sequence[CheckReply]) -> None:
        for reply in replies:
            expected = self._expected.pop(reply.id)
            if reply.id == self._spelling:
                if reply.departure is not None and self.difference is not None:
                    self._tokens[self._order(self.difference)] = token_difference(reply.departure)
                continue
            model = expected.model
            model.compared += reply.compared
            model.nearness = (model.nearness or Nearness()).with_reply(reply)
            self._checked.setdefault(model.name, []).append((expected, reply))
            if reply.departure is not None:
                self._note(model, self._departed(expected, reply.departure))
        self._change.set()

    def _judge(self, checked: list[tuple[_Expected, CheckReply]]) -> None:
        """Note if the answers of one model are too far away on average, though each token is within the margin."""
        checked.sort(key=lambda pair: self._place(pair[0].round, pair[0].agent, pair[0].effect.index))
        found = excess([reply for _, reply in checked])
        if found is None:
            return
        expected, reply = checked[found.answer]
        what = (
            f"effect {index_text(expected.effect.index)}: reply of {expected.model.name}, mean distance of "
            f"{found.tokens:,} tokens to there, in logits"
        )
        most, seen = (f"{share * reply.margin:.3g}" for share in (MEAN_MARGINS_MAX, found.mean))
        self._note(expected.model, Difference(expected.round, expected.agent, what, f"at most {most}", seen))

    def _departed(self, expected: _Expected, departure: AnswerDeparture) -> Difference:
        """Make a difference of a departure, and keep its token."""
        what = f"effect {index_text(expected.effect.index)}: reply of {expected.model.name}"
        left, right = expected.effect.reply, departure.what
        if departure.index is not None:
            what = f"{what}, token {departure.index}: {departure.what}"
            left, right = (shown(departure.before, token) for token in (departure.expected, departure.actual))
        found = Difference(expected.round, expected.agent, what, left, right)
        if departure.index is not None:
            self._tokens[self._order(found)] = token_difference(departure)
        return found

    def _note(self, model: Asked, found: Difference) -> None:
        model.difference = self._earlier(model.difference, found)
        self.difference = self._earlier(self.difference, found)

    def _earlier(self, one: Difference | None, other: Difference) -> Difference:
        """The earlier of two differences, by round, place and effect, whatever order the answers came in."""
        return other if one is None or self._order(other) < self._order(one) else one

    def _order(self, found: Difference) -> tuple[int, int, int]:
        effect = int(found.what.removeprefix("effect ").split(":")[0])
        return self._place(found.round, found.agent or "", effect)

    def _place(self, round_: int, agent: str, effect: int) -> tuple[int, int, int]:
        return round_, self._places[agent], effect

    def _fail(self, error: TurnwiseError) -> None:
        self._failure = error
        self._change.set()

    # -- loading ---------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._load()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _load(self) -> None:
        together = []
        specs = [spec for spec in specs_of(self._journal, self._settings.models) if spec.name in self.models]
        behind_urls = {spec.name for spec in endpoints_of(self._journal, self._settings.models)}
        for name in sorted(self.models.keys() & behind_urls):
            self.models[name].reasons.append("it is behind a URL, and nobody can say what it would answer now")
        for name in sorted(self.models.keys() - {spec.name for spec in specs} - behind_urls):
            self.models[name].reasons.append("the journal does not say where it was, and how it was loaded")
        for spec in specs:
            model = self.models[spec.name]
            if model.promise == "none" and not self._tolerant:
                gave_up = "the run gave up equal bits for speed (reproducible = false)"
                noted = "the run noted that it may answer otherwise when it is asked the same again"
                model.reasons.append(gave_up if self._recorded.gave_up(spec.name) else noted)
            elif not model.named and not spec.path.exists():
                model.reasons.append(f"it is not at {spec.path}; --model {spec.name}=PATH says where it is")
            elif model.promise == "plan-bound" and not self._tolerant:
                options = self._wave_options(spec.name)
                issuing = Reissuing(self._journal, {spec.name}, self._settings, options, others=True)
                self._waves[spec.name] = await self._stack.enter_async_context(issuing)
                self._loaded(model, issuing.models[spec.name])
            else:
                together.append(spec)
        if together:
            transport = self._settings.transport
            self._host = InferenceHost(
                together,
                on_replies=self._take,
                on_checks=self._take_checks,
                on_failure=self._fail,
                transport=transport,
            )
            self._stack.push_async_callback(self._host.close)
            await self._host.start()
            for spec in together:
                self._loaded(self.models[spec.name], self._host.models[spec.name])

    def _wave_options(self, model: str) -> EngineOptions:
        rows = [
            recorded_plan(self._journal, wave).rows_max
            for record in self._journal.rounds.between(*self._range)
            for wave in record.waves
            if wave.model == model
        ]
        return EngineOptions(rows_max=max([*rows, EngineOptions().rows_max]))

    def _loaded(self, model: Asked, info: ModelInfo) -> None:
        model.info = info
        model.processor_noted = self._recorded.names_processor(info.name)
        if self._tolerant and info.task == "generate":
            model.nearness = Nearness()
        if info.numeric is not None:
            here = promise_of(info.numeric.numeric_class)
            model.promise = here if model.promise is None else weakest([model.promise, here])
        if model.promise == "plan-bound" and model.name not in self._waves and model.nearness is None:
            model.named = False  # without recorded waves there is nothing to hold it to, whoever names it
        if model.another_file:
            model.reasons.append(f"another model file: {model.recorded} in the run, {info.sha256} here")
        model.reasons += self._recorded.unlike(info)


def _is_redacted(record: RoundRecord, wave: WaveRecord) -> bool:
    """Return whether a request of a wave was taken out of the journal: then its batch cannot be made again."""
    asked = {(place, effect.index): effect.request for place, effect in record.effects()}
    return any(type(asked.get(request)) is Withheld for request in wave.requests)
