"""The parts of a run that is under way, opened together and closed together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

from turnwise.core.question import AskedQuestion
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.errors import UsageError
from turnwise.inference.host.host import InferenceHost
from turnwise.orchestrator.answer_box import AnswerBox
from turnwise.orchestrator.answering import check_answer, unknown_question
from turnwise.orchestrator.driver import Driver
from turnwise.orchestrator.progress import WAITING_MAX, Progress, Status


class Session:
    """A driver with what it drives. `resources` closes sandboxes, models and journal, in that order."""

    def __init__(
        self,
        driver: Driver,
        resources: AsyncExitStack,
        host: InferenceHost | None,
        box: AnswerBox | None = None,
    ) -> None:
        """`box` has the answers that come from other processes; None: none do."""
        self._driver = driver
        self._resources = resources
        self._host = host
        self._box = box
        self._news = asyncio.Event()

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

    def take_answers(self) -> None:
        """Take the answers that other processes have left. What is no answer to an open question is passed over."""
        if self._box is None or not self._driver.machine.world.asked:
            return
        for entry in self._box.take():
            found = next((asked for asked in self.questions() if asked.id == entry.question), None)
            if found is not None and found.asked == entry.asked and found.question.refusal(entry.value) is None:
                self._driver.answer(entry.question, entry.value, entry.asked)

    async def wait_news(self, timeout_s: float) -> None:
        """Wait until something has come from outside, but not for longer."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)
        self._news.clear()

    async def round(self) -> RoundRecord | None:
        """Play a round; None if the run has ended instead."""
        outcome = await self._driver.round()
        return outcome if isinstance(outcome, RoundRecord) else None

    async def settle(self) -> None:
        """Wait until all that was played is durable."""
        await self._driver.settle()

    def send(self, to: str, body: str) -> None:
        """Take a message from outside. Raises `UsageError` if nobody is called so, or if it cannot be one."""
        _check_text("the body of a message", body)
        _check_text("the name of who gets a message", to)
        world = self._driver.machine.world
        agent = world.by_name.get(to)
        if to not in world.groups and (agent is None or not agent.alive):
            raise UsageError(
                f"there is no agent or group called {to!r}",
                where="send",
                actual=to,
                hint="Name an agent that lives, or a group of the world.",
            )
        machine = self._driver.machine
        if self.over or machine.ending:
            raise UsageError("the run has ended", where="send", hint="Start another run, or fork this one.")
        if machine.round >= machine.plan.rounds_max:
            raise UsageError(
                f"nobody can read it: round {machine.round:,} is the last",
                where="send",
                hint="Start a run with more rounds: rounds_max of [world], or --rounds.",
            )
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
        )

    async def close(self) -> None:
        """Close everything. Twice does no harm."""
        try:
            await self._driver.settle()
            if self._box is not None and self.over:
                self._box.remove()
        finally:
            await self._resources.aclose()


def _check_text(what: str, value: object) -> None:
    """Raise `UsageError` for what is not text that can be stored."""
    if not isinstance(value, str):
        raise UsageError(
            f"{what} is text, not {type(value).__name__}",
            where="send",
            expected="str",
            actual=type(value).__name__,
            hint="Send JSON as text: json.dumps(value).",
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} has half a surrogate pair at character {error.start + 1:,}, which is no text",
            where="send",
            hint="Decode the text that it was made from as UTF-8, or replace what is wrong in it.",
        ) from None
