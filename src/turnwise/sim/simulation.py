"""Whole runs under virtual time: the real orchestrator on a simulated machine, with faults and without.

A run with faults has a number of lives. In the last nothing fails any more, and the run must end as if nothing ever
had. A run that calls tools need not end as another does, since the world outside may say something else each time: of
such a run everything must follow from what it has recorded, and nothing may have been done outside but that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, Final

from turnwise.core.plan import Plan
from turnwise.core.question import AskedQuestion
from turnwise.core.turn import EffectRequest
from turnwise.errors import UsageError
from turnwise.orchestrator.settings import Settings
from turnwise.sim.behaviour import Answer, Behaviour
from turnwise.sim.chance import Chance
from turnwise.sim.checks import InputWitness, Violation
from turnwise.sim.faults import CALM, Faults
from turnwise.sim.lives import Inputs, Lives, Simulated, SimulatedWorld
from turnwise.sim.simulator import Answers
from turnwise.sim.tools import Tool

LIVES_MAX_DEFAULT: Final = 6


class Simulator:
    """Runs of one plan, whose agents and models are Python functions.

    - `behaviours`: kinds' agents
    - `answer`: answers effects; needed if there are any
    - `waved`: models that are asked in waves, since their bits depend on what runs beside what
    - `inputs`: messages from outside
    - `answers`: answers of people to questions, by rounds; or `person`, who answers every question sooner or later
    - `tool`: answers calls of tools; their turns wait beyond their rounds after `park_after_ms`
    - `workers`: simulated sandbox processes
    - `lives_max`: lives with faults, at most
    """

    def __init__(
        self,
        plan: Plan,
        behaviours: Mapping[str, Behaviour],
        *,
        answer: Answer | None = None,
        waved: Collection[str] = (),
        inputs: Inputs | None = None,
        answers: Answers | None = None,
        person: Callable[[AskedQuestion], Any] | None = None,
        tool: Tool | None = None,
        park_after_ms: int = 15,
        workers: int = 3,
        lives_max: int = LIVES_MAX_DEFAULT,
    ) -> None:
        missing = sorted({kind.name for kind in plan.kinds} - behaviours.keys())
        if missing:
            raise UsageError(f"kinds without a behaviour: {', '.join(missing)}", hint="Pass a function for each kind.")
        by_code: dict[str, str] = {}
        for kind in plan.kinds:
            other = by_code.setdefault(kind.code, kind.name)
            if behaviours[other] is not behaviours[kind.name]:
                raise UsageError(
                    f"the kinds {other} and {kind.name} have one code and two behaviours",
                    hint="Give each kind of the plan the hash of a code of its own.",
                )
        self._world = SimulatedWorld(
            plan,
            behaviours,
            answer or _no_answer,
            frozenset(waved),
            inputs or {},
            answers or {},
            person,
            tool,
            park_after_ms,
        )
        self._settings = Settings(workers=workers)
        self._lives_max = lives_max
        self._witness = InputWitness()

    @cached_property
    def undisturbed(self) -> Simulated:
        """The run without faults."""
        witness = self._witness if self._world.tool is None else None
        return Lives(self._world, self._settings, Chance(0), None, witness).play([CALM])

    def disturbed(self, seed: int, faults: Faults | None = None) -> Simulated:
        """Play the run with faults, drawn from `seed` unless given, and check it all the time.

        Raises `Violation`, with the seed, for whatever is not as in the undisturbed run; where tools are called, for
        whatever does not follow from what is recorded.
        """
        truth = self.undisturbed if self._world.tool is None else None
        chance = Chance(seed)
        lives = 1 + chance.below(self._lives_max)
        drawn = [Faults.drawn(chance.generator) if faults is None else faults for _ in range(lives)]
        witness = None if truth is None else InputWitness(self._witness)
        run = Lives(self._world, self._settings, chance, truth, witness)
        try:
            return run.play([*drawn, CALM])
        except Violation as violation:
            violation.message = f"seed {seed}: {violation.message}"
            violation.hint = f"It is repeated by: disturbed({seed})"
            raise


def _no_answer(request: EffectRequest, _: bytes) -> dict[str, Any]:
    raise UsageError("this world has effects: pass `answer`", where=request.kind)
