"""The parts of a run that is under way, opened together and closed together."""

from __future__ import annotations

from contextlib import AsyncExitStack

from turnwise.core.records import EndRecord, RoundRecord
from turnwise.errors import UsageError
from turnwise.inference.host.host import InferenceHost
from turnwise.orchestrator.driver import Driver
from turnwise.orchestrator.progress import WAITING_MAX, Progress, Status


class Session:
    """A driver with what it drives. `resources` closes sandboxes, models and journal, in that order."""

    def __init__(self, driver: Driver, resources: AsyncExitStack, host: InferenceHost | None) -> None:
        self._driver = driver
        self._resources = resources
        self._host = host

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

    def name(self, place: int) -> str:
        """Return the name of the agent at a place."""
        return self._driver.machine.world.agents[place].name

    def progress(self, status: Status) -> Progress:
        driver, counts = self._driver, self._driver.counts
        waiting = [
            f"{name} for {count} {'effect' if count == 1 else 'effects'}"
            for name, count in driver.machine.waiting()[:WAITING_MAX]
        ]
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
        )

    async def close(self) -> None:
        """Close everything. Twice does no harm."""
        try:
            await self._driver.settle()
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
