"""Sandboxes and models that several runs use at once.

Turns and requests of all runs go to one pool and one inference host, under numbers of their own, and what comes back
goes to the run that asked. No result depends on it: a turn is a function of its input, a request has its own stream of
chance, and waves run one after the other with nothing beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from turnwise.core.machine import Machine
from turnwise.errors import TurnwiseError
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.requests.infer_request import InferRequest
from turnwise.journal import Journal, JournalWriter
from turnwise.orchestrator.ahead import Ahead
from turnwise.orchestrator.assembly import prepare_parts
from turnwise.orchestrator.driver import Driver
from turnwise.orchestrator.effects import ModelEffects
from turnwise.orchestrator.garbage import collected_seldom
from turnwise.orchestrator.kept_replies import KeptReplies, promising_nothing
from turnwise.orchestrator.model_hosts import ModelHosts, Spec
from turnwise.orchestrator.parts import connect_tools
from turnwise.orchestrator.progress import Status
from turnwise.orchestrator.reproducibility import plan_bound
from turnwise.orchestrator.run_sources import source
from turnwise.orchestrator.session import Session
from turnwise.orchestrator.settings import Settings
from turnwise.sandbox.build.code import Code
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.pool.pool import Pool
from turnwise.tools.desk import ToolDesk
from turnwise.world import SourceFiles


class SharedParts:
    """A pool and a host, with who asked for what. `failure` is set when one of them has given up; then no run goes on.

    `codes` are the compiled codes by source.
    """

    def __init__(self, codes: Mapping[SourceFiles, Code], host: ModelHosts) -> None:
        self.codes = codes
        self.failure: TurnwiseError | None = None
        self._host = host
        self._pool: Pool | None = None
        self._shares: list[Share] = []
        self._jobs: dict[int, tuple[Share, int]] = {}
        self._requests: dict[int, tuple[Share, int]] = {}
        self._waves: dict[int, tuple[Share, Wave]] = {}
        self._number = 0

    @classmethod
    async def open(
        cls,
        stack: AsyncExitStack,
        settings: Settings,
        status: Status,
        sources: Mapping[SourceFiles, str],
        specs: Sequence[Spec],
    ) -> SharedParts:
        """Compile sources, load models and start workers. `sources` names each source in errors.

        The stack owns what was opened.
        """
        named = {str(number): source(label, files) for number, (files, label) in enumerate(sources.items())}
        prepared = await prepare_parts(stack, replace(settings, telemetry=False), status, named, specs)
        codes = dict(zip(sources, prepared.codes.values(), strict=True))
        parts = cls(codes, prepared.host)
        prepared.answers.attach(parts, parts)
        parts._pool = await stack.enter_async_context(
            Pool(
                list({code.hash: code for code in codes.values()}.values()),
                workers=settings.workers_count,
                on_results=parts._on_results,
                on_failure=parts.on_failure,
                transport=settings.transport,
                deadline_ms=settings.deadline_ms,
            )
        )
        return parts

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """The loaded models by name."""
        return self._host.models

    async def connect(
        self,
        stack: AsyncExitStack,
        machine: Machine,
        file: Journal,
        desk: ToolDesk | None = None,
        park_after_ms: int = 0,
    ) -> Session:
        """Connect a run with these parts; the session owns what the stack did, and gives its share back.

        `desk` has the servers of its tools, which no two runs share.
        """
        writer = await stack.enter_async_context(JournalWriter(file.writer))
        driver = Driver(machine, writer)
        driver.contents.load = file.contents.read
        stack.callback(driver.contents.close)
        share = Share(self, driver, Ahead(writer, file.ahead.rows()))
        stack.push_async_callback(share.keeper.close)
        stack.callback(self._leave, share)
        driver.sandboxes = share
        driver.effects = share.keeper if share.keeper.is_needed else share.effects
        self._shares.append(share)
        if desk is not None:
            connect_tools(stack, driver, file, Ahead(writer, file.ahead.rows()), desk, park_after_ms)
        stack.enter_context(collected_seldom())
        if self.failure is not None:
            driver.on_failure(self.failure)
        return Session(driver, stack.pop_all(), None)

    def _leave(self, share: Share) -> None:
        """Forget a run: what is still done for it is dropped when it comes."""
        self._shares.remove(share)
        for table in (self._jobs, self._waves):
            for number in [number for number, (of, _) in table.items() if of is share]:
                del table[number]
        asked = [number for number, (of, _) in self._requests.items() if of is share]
        for number in asked:
            del self._requests[number]
        if asked and self.failure is None:
            self._host.cancel(asked)

    # -- what runs ask -----------------------------------------------------------------------------------------------

    def execute(self, share: Share, jobs: Sequence[TurnJob]) -> None:
        """Queue the jobs of a run."""
        if self._pool is not None and self.failure is None:
            self._pool.submit([replace(job, id=self._note(self._jobs, share, job.id)) for job in jobs])

    def ask(self, share: Share, requests: Sequence[GenerateRequest | InferRequest | EmbedRequest]) -> None:
        """Ask models for a run."""
        if self.failure is None:
            self._host.submit([replace(one, id=self._note(self._requests, share, one.id)) for one in requests])

    def ask_wave(self, share: Share, wave: Wave) -> None:
        """Ask a model for a wave of a run; the numbers of its requests rise here, too."""
        if self.failure is not None:
            return
        requests = tuple([replace(request, id=self._next()) for request in wave.requests])
        number = self._next()
        self._waves[number] = share, wave
        self._host.submit_wave(replace(wave, id=number, requests=requests))

    def _note(self, table: dict[int, tuple[Share, int]], share: Share, number: int) -> int:
        mine = self._next()
        table[mine] = share, number
        return mine

    def _next(self) -> int:
        self._number += 1
        return self._number

    # -- what comes back ---------------------------------------------------------------------------------------------

    def _on_results(self, results: list[TurnResult]) -> None:
        found: dict[Share, list[TurnResult]] = {}
        for result in results:
            share, number = self._jobs.pop(result.id, (None, 0))
            if share is not None:
                found.setdefault(share, []).append(replace(result, id=number))
        for share, own in found.items():
            share.driver.on_results(own)

    def on_replies(self, replies: Sequence[GenerateReply]) -> None:
        """Hand answers to the runs that asked."""
        found: dict[Share, list[GenerateReply]] = {}
        for reply in replies:
            share, number = self._requests.pop(reply.id, (None, 0))
            if share is not None:
                found.setdefault(share, []).append(replace(reply, id=number))
        for share, own in found.items():
            share.effects.on_replies(own)

    def on_wave(self, reply: WaveReply) -> None:
        """Hand the answer to a wave to the run that asked."""
        if reply.id not in self._waves:
            return
        share, wave = self._waves.pop(reply.id)
        answers = [replace(answer, id=request.id) for answer, request in zip(reply.replies, wave.requests, strict=True)]
        share.effects.on_wave(replace(reply, id=wave.id, replies=tuple(answers)))

    def on_failure(self, error: TurnwiseError) -> None:
        """Tell all runs that these parts have given up."""
        if self.failure is None:
            self.failure = error
            for share in list(self._shares):
                share.driver.on_failure(error)


class Share:
    """The part of one run: its driver's sandboxes and models."""

    def __init__(self, parts: SharedParts, driver: Driver, ahead: Ahead) -> None:
        self.driver = driver
        host, bound = _SharedModels(parts, self), plan_bound(parts.models)
        self.keeper = KeptReplies(driver, ahead, promising_nothing(parts.models))
        asker = self.keeper if self.keeper.is_needed else driver
        self.effects = self.keeper.effects = ModelEffects(host, asker, driver.contents, bound)
        self._parts = parts

    def submit(self, jobs: Sequence[TurnJob]) -> None:
        """Queue jobs; never blocks."""
        self._parts.execute(self, jobs)


class _SharedModels:
    """The shared host, as one run asks it."""

    def __init__(self, parts: SharedParts, share: Share) -> None:
        self._parts = parts
        self._share = share

    def submit(self, requests: Sequence[GenerateRequest | InferRequest | EmbedRequest]) -> None:
        self._parts.ask(self._share, requests)

    def submit_wave(self, wave: Wave) -> None:
        self._parts.ask_wave(self._share, wave)
