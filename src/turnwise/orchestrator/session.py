"""The parts of a run that is under way, opened together and closed together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

from turnwise.core.question import AskedQuestion, question_text
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.journal import JournalWriter
from turnwise.orchestrator.answering import (
    check_answer,
    check_message,
    no_round_is_left,
    run_has_ended,
    unknown_question,
)
from turnwise.orchestrator.driver import Driver
from turnwise.orchestrator.model_hosts import ModelHosts
from turnwise.orchestrator.outside_box import BoxedAnswer, BoxedMessage, OutsideBox
from turnwise.orchestrator.progress import WAITING_MAX, Progress, Status


class Session:
    """A driver with what it drives. `resources` closes sandboxes, models and journal, in that order."""

    def __init__(
        self,
        driver: Driver,
        resources: AsyncExitStack,
        host: ModelHosts | None,
        box: OutsideBox | None = None,
        writer: JournalWriter | None = None,
    ) -> None:
        """`box` has what comes from other processes; None: nothing does. `writer` keeps what has been played."""
        self._driver = driver
        self._resources = resources
        self._host = host
        self._box = box
        self._writer = writer
        self._news = asyncio.Event()
        driver.on_news = self._news.set

    @property
    def end(self) -> EndRecord | None:
        return self._driver.machine.end

    @property
    def over(self) -> bool:
        """True when no round will be played any more."""
        return self._driver.over

    @property
    def due(self) -> bool:
        """True when somebody has something to do."""
        return self._driver.machine.due

    @property
    def waits(self) -> bool:
        """True when nothing can happen before somebody answers a question, or sends a message."""
        return self._driver.machine.waits

    @property
    def quiet(self) -> bool:
        """True when nobody has anything left to do, and a message from outside could still be read."""
        machine = self._driver.machine
        if self.over or machine.ending or machine.due or machine.waits or not machine.between_rounds:
            return False
        return machine.round < machine.plan.rounds_max

    @property
    def is_overdue_next(self) -> bool:
        """True when the next round takes the default of a question, unless it is answered before."""
        return self._driver.machine.is_overdue_next

    def questions(self) -> list[AskedQuestion]:
        """Return the questions that can be answered now, in order of number."""
        return self._driver.machine.questions()

    def answer(self, question: int, value: Any) -> bool:
        """Take an answer of a person's. Return False if it has no effect: the question has been answered, or is past.

        Raises `UsageError` for a number that no question has, and for what is no answer to it.
        """
        found = next((asked for asked in self.questions() if asked.id == question), None)
        if found is None:
            if not 0 < question < self._driver.machine.world.question_next:
                raise unknown_question(question)
            return False
        check_answer(found, value)
        self._driver.answer(question, value, found.asked)
        self._news.set()
        return True

    def take_outside(self) -> None:
        """Take what other processes have left: messages, and answers; what answers no open question is passed over.

        Nothing is taken once no round follows that could begin with it.
        """
        machine = self._driver.machine
        if self._box is None or self.over or machine.ending or machine.round >= machine.plan.rounds_max:
            return
        entries = self._box.take()
        for entry in entries:
            match entry:
                case BoxedMessage():
                    self._driver.input(entry.to, entry.body)
                case BoxedAnswer() if machine.world.asked:
                    found = next((asked for asked in self.questions() if asked.id == entry.question), None)
                    if found is not None and found.asked == entry.asked and found.question.refusal(entry.value) is None:
                        self._driver.answer(entry.question, entry.value, entry.asked)
        if entries:
            self._driver.received = self._box.position

    async def wait_news(self, timeout_s: float) -> None:
        """Wait until something has come from outside, but not for longer. Raises what has failed meanwhile."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)
        self._news.clear()
        self._driver.raise_failure()

    async def round(self, *, durable: bool = False) -> RoundRecord | None:
        """Play a round; None if the run has ended instead. `durable`: and wait until it is on disk."""
        outcome = await self._driver.round(durable=durable)
        return outcome if isinstance(outcome, RoundRecord) else None

    async def settle(self) -> None:
        """Wait until all that was played is durable."""
        await self._driver.settle()

    async def rest(self) -> None:
        """Wait until all that was played is durable, with its times, and clear away what was read for it."""
        await self._driver.settle()
        if self._writer is not None:
            await self._writer.keep_times()
        if self._box is not None:
            self._box.renew(self._driver.kept)

    def send(self, to: str, body: str) -> None:
        """Take a message from outside. Raises `UsageError` if nobody is called so, or if it cannot be one."""
        machine = self._driver.machine
        check_message(machine.world, to, body)
        if self.over or machine.ending:
            raise run_has_ended()
        if machine.round >= machine.plan.rounds_max:
            raise no_round_is_left(machine.round)
        self._driver.input(to, body)
        self._news.set()

    def name(self, place: int) -> str:
        """Return the name of the agent at a place."""
        return self._driver.machine.world.agents[place].name

    def progress(self, status: Status) -> Progress:
        driver, counts = self._driver, self._driver.counts
        waiting = [
            f"{name} for {count} {'effect' if count == 1 else 'effects'}"
            for name, count in driver.machine.waiting()[:WAITING_MAX]
        ]
        waiting += [
            f"{self.name(place)} for {question_text(record.request)}"
            for place, _, _, _, record in driver.machine.calls()[: WAITING_MAX - len(waiting)]
        ]
        asked = self.questions() if driver.machine.world.asked else []
        waiting += [f"{one.agent} for an answer to question {one.id}" for one in asked[: WAITING_MAX - len(waiting)]]
        return Progress(
            phase=status.phase,
            doing=status.doing,
            round=driver.machine.round,
            rounds_max=driver.machine.plan.rounds_max,
            turns=counts.turns,
            failures=counts.failures,
            messages=counts.messages,
            effects=counts.effects,
            tokens=self._host.statistics().tokens if self._host is not None else 0,
            waiting=tuple(waiting),
            executing=driver.machine.executing,
            backlog=driver.machine.backlog,
            questions=len(asked),
            quiet=self.quiet,
        )

    async def close(self) -> None:
        """Close everything. Twice does no harm."""
        try:
            await self._driver.settle()
            if self._box is not None and self.over:
                self._box.remove()
        finally:
            await self._resources.aclose()
