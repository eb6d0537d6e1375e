"""A turn between its beginning, or its going on, and the commit of its round."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import MappingProxyType
from typing import Any, Final

from turnwise.core import streams
from turnwise.core.asked_effect import effect_refusal, first_question, reserved_bytes
from turnwise.core.calling import (
    CALL,
    STAGES_MAX,
    TOOLS,
    CallStage,
    asking,
    asks,
    tool_of,
    tools_reply,
)
from turnwise.core.contents import GET, PUT, Reply
from turnwise.core.effects_budget import EffectsBudget, too_large, without_content
from turnwise.core.envelope import error_reply, join_replies
from turnwise.core.events import Action, Execute, Request
from turnwise.core.inbox import Letter, fitting
from turnwise.core.parked import Parked
from turnwise.core.question import ASK
from turnwise.core.records import EffectRecord, ParkRecord, QuestionRecord, TurnRecord
from turnwise.core.sampling import CallSampling, call_of_nested, is_nested, samples
from turnwise.core.state import AgentState, WorldState
from turnwise.core.system_prompt import with_system
from turnwise.core.turn import EffectRequest, Failure, FailureClass, Needs, TurnOutput
from turnwise.core.turn_contents import TurnContents
from turnwise.core.turn_input import TurnInput
from turnwise.errors import InvariantError

_NO_LIST: Final[Any] = ()
_NO_MAP: Final[Any] = MappingProxyType({})
"""Stand for the lists and mappings of a turn that has asked for nothing, which most have: see `_begin_asking`."""


class OpenTurn:
    """Executes, is suspended while it waits for effects, executes again, and ends with an output or a failure.

    Effects that people answer are not waited for, nor calls of tools that take long: when nothing else is unanswered,
    the turn's part in the round is over, and what it will go on with is recorded (`park`).
    """

    __slots__ = (
        "_asked",
        "_budget",
        "_call_start",
        "_calls",
        "_contents",
        "_counts",
        "_fuel_left",
        "_given",
        "_head",
        "_inbox",
        "_input",
        "_many",
        "_now_us",
        "_plan",
        "_recorded",
        "_replies",
        "_requests",
        "_round",
        "_samplings",
        "_seed",
        "_stages",
        "_taken",
        "_taken_park",
        "_tokens",
        "_unanswered",
        "agent",
        "executions",
        "failure",
        "fuel",
        "output",
        "stdout",
        "turn",
    )

    def __init__(self, world: WorldState, agent: AgentState, round_: int, head: bytes) -> None:
        """`head` is the run's head before the round: handles follow from it."""
        plan, parked = world.plan, agent.parked
        began = round_ if parked is None else parked.began
        self.agent = agent
        self.turn = agent.turns + 1
        self.output: TurnOutput | None = None
        self.failure: Failure | None = None
        self.stdout = ""
        self.fuel = 0
        self.executions = 0
        self._round = round_
        self._seed = plan.seed
        self._now_us = plan.now_us(began)
        self._fuel_left = agent.kind.limits.fuel
        self._call_start = 0
        self._head = head
        self._given = world.contents
        self._contents: TurnContents | None = None
        self._plan = plan
        self._stages: dict[int, CallStage] = _NO_MAP
        self._samplings: dict[int, CallSampling] = _NO_MAP
        self._calls: list[Reply] = _NO_LIST
        self._counts: list[tuple[int, bool]] = _NO_LIST
        self._requests: list[EffectRequest] = _NO_LIST
        self._replies: list[str | None] = _NO_LIST
        self._tokens: dict[int, tuple[int, ...]] = _NO_MAP
        self._taken: TurnRecord | None = None
        self._taken_park: ParkRecord | None = None
        self._unanswered = 0
        self._asked: dict[int, tuple[str, str, int | None]] = _NO_MAP  # kind, request and deadline, by index
        self._many = False
        self._budget: EffectsBudget | None = None
        self._recorded: Collection[int] = ()
        letters: Sequence[Letter] = ()
        backlog = 0
        if agent.inbox:
            read = fitting(agent.inbox, agent.kind.limits.inbox_bytes_max) if parked is None else len(parked.inbox)
            letters = agent.inbox[:read]
            backlog = len(agent.inbox) - read if parked is None else parked.backlog
        self._inbox = tuple([letter.seq for letter in letters])
        self._input = TurnInput(
            agent.name,
            agent.kind.name,
            agent.args,
            began,
            self.turn,
            self._now_us,
            streams.turn_seed(plan.seed, agent.name, self.turn),
            agent.state,
            tuple([letter.text for letter in letters]),
            backlog,
        )
        if parked is not None:
            self._go_on(parked)

    def _begin_asking(self) -> None:
        """Make the lists and mappings of what the turn asks for."""
        self._tokens, self._asked, self._samplings = {}, {}, {}
        self._calls, self._counts, self._requests, self._replies = [], [], [], []

    def _go_on(self, parked: Parked) -> None:
        """Take over what the turn has asked for and been answered in earlier rounds."""
        self._begin_asking()
        so_far = parked.effects_so_far()
        self._recorded = parked.effects.keys()
        self._requests = [request for request, _ in so_far]
        self._replies = [reply for _, reply in so_far]
        self._stages = parked.stages()
        first = 0
        for count, many in parked.calls:
            replies = [reply for _, reply in so_far[first : first + count] if reply is not None]
            if len(replies) == count:
                self._calls.append(join_replies(replies, many))
            else:  # the last, of which a call of a tool goes on
                self._call_start, self._many = first, many
            first += count
        self._fuel_left -= parked.fuel
        self._budget = EffectsBudget(self.agent.kind.limits.effects_bytes_max, parked.spent_bytes)

    @property
    def unanswered(self) -> int:
        """The number of effects that the turn waits for."""
        return self._unanswered

    @property
    def backlog(self) -> int:
        """The number of messages that did not fit and wait for the agent's next turn."""
        return self._input.backlog

    @property
    def contents(self) -> TurnContents:
        """Contents that the turn has put and read."""
        if self._contents is None:
            self._contents = TurnContents(self.agent, self._round, self._head, self._given)
        return self._contents

    @property
    def put_bytes(self) -> int:
        """Bytes of the contents that the turn has put, as they are counted."""
        return 0 if self._contents is None else self._contents.put_bytes

    @property
    def ended(self) -> bool:
        return self.output is not None or self.failure is not None

    @property
    def is_parked(self) -> bool:
        """True if nothing but answers of people is missing: the round does not wait for these."""
        return bool(self._asked or self._taken_park) and not self._unanswered and not self.ended

    @property
    def over(self) -> bool:
        """True if the turn has no further part in the round."""
        return self.ended or self.is_parked

    def execute(self) -> Execute:
        agent = self.agent
        return Execute(
            agent.place,
            agent.kind.name,
            self._input,
            tuple(self._calls),
            self._fuel_left,
            agent.kind.limits,
            agent.kind.code,
        )

    @property
    def has_calls(self) -> bool:
        """True if the turn goes on with calls of tools at whose places people have answered, or are to be asked."""
        return bool(self._stages)

    def go_on(self) -> list[Action]:
        """Make the calls of tools that go on with what people have answered; execute, where there are none."""
        requests: list[Action] = []
        for index, stage in self._stages.items():
            if stage.outcome is not None and samples(stage.outcome):
                asked = self._ask_models(index, stage.outcome)
                self._unanswered += bool(asked)
                requests += asked
            elif stage.outcome is not None:
                self._replies[index] = self._ask_people(index, stage.outcome)
            elif stage.reply is None:
                self._unanswered += 1
                requests.append(self._request(index, stage.answers))
        if requests or self._asked:
            return requests
        unjoined = any(stage.reply is None for stage in self._stages.values())
        return [self._resume() if unjoined else self.execute()]

    def executed(self, fuel: int, stdout: str) -> bool:
        """Count an execution, whatever it came to. False: the turn has used up its fuel, and has failed."""
        # `over`, without a call for each of its parts
        if self._unanswered or self.output is not None or self.failure is not None or self._asked or self._taken_park:
            raise InvariantError(f"the turn of {self.agent.name} was not being executed")
        self.executions += 1
        self.fuel += fuel
        self.stdout = stdout
        self._fuel_left -= fuel
        return self._fuel_left > 0 or self.fail(
            FailureClass.FUEL,
            f"the turn used up its {self.agent.kind.limits.fuel:,} units of fuel (`fuel` of its kind)",
        )

    def complete(self, output: TurnOutput) -> None:
        self.output = output

    def take(self, record: TurnRecord | ParkRecord) -> None:
        """End, or wait, as it is recorded."""
        if self.over or self.executions or record.place != self.agent.place:
            raise InvariantError(f"the turn of {self.agent.name} cannot be taken as it is recorded")
        if isinstance(record, ParkRecord):
            self._taken_park = record
            return
        self.output, self.failure, self._taken = record.output, record.failure, record

    def fail(self, kind: FailureClass, message: str) -> bool:
        self.output = None
        self.failure = Failure(kind, message)
        return False

    def suspend(self, needs: Needs) -> list[Action]:
        """Ask for effects. What is not granted is answered here; the turn may catch that like any other error."""
        first = len(self._requests)
        effects_max = self.agent.kind.limits.effects_max
        if first + len(needs.requests) > effects_max:
            message = f"the turn asked for more than {effects_max} effects (`effects_max` of its kind)"
            self.fail(FailureClass.EFFECTS, message)
            return []
        if self._budget is None:
            self._begin_asking()
            self._budget = EffectsBudget(self.agent.kind.limits.effects_bytes_max)
        self._call_start, self._many = first, needs.many
        self._counts.append((len(needs.requests), needs.many))
        self._budget.next_call()
        actions: list[Action] = []
        keeps: list[Action] = []
        full = False
        for index, asked in enumerate(needs.requests, first):
            request = with_system(asked, self.agent.kind.system)
            full = full or not self._budget.request(len(request.body.encode()) + reserved_bytes(self._plan, request))
            if full:
                request = without_content(request)
            self._requests.append(request)
            reply = self._too_large() if full else self._refusal(request)
            stream = streams.effect_stream(self._seed, self.agent.name, self.turn, index)
            if reply is None and request.kind == PUT:
                reply, keep = self.contents.put(request.content or b"", index, stream)
                keeps += [] if keep is None else [keep]
            elif reply is None and request.kind == GET:
                reply = self.contents.get(request.body, index, self._budget) or self._too_large()
            elif reply is None and request.kind == TOOLS:
                reply = self._tools()
            self._replies.append(reply)
            if reply is None and (question := self._first_question(request)) is not None:
                self._asked[index] = question
            elif reply is None:
                self._unanswered += 1
                actions.append(self._request(index))
        return [*keeps, *(actions or ([] if self._asked else [self._resume()]))]

    def _request(self, index: int, answers: str | None = None) -> Request:
        request = self._requests[index]
        return Request(
            self.agent.place,
            index,
            request,
            streams.effect_stream(self._seed, self.agent.name, self.turn, index),
            self._now_us,
            self.contents.inputs_of(request) if self._given or self._contents else (),
            self.turn,
            0 if answers is None else self._stage(index),
            answers,
        )

    def _stage(self, index: int) -> int:
        """Return the number of the stage that a call has come to."""
        parked, sampling = self.agent.parked, self._samplings.get(index)
        before = 0 if parked is None else parked.stage(index)
        return before if sampling is None else before + sampling.stages

    def _refusal(self, request: EffectRequest) -> str | None:
        return effect_refusal(self._plan, self.agent, self.contents, request, has_asked=bool(self._asked))

    def _first_question(self, request: EffectRequest) -> tuple[str, str, int | None] | None:
        return first_question(self._plan, self.agent, request, self._round)

    def _tools(self) -> str:
        """List the tools that the agent may call, within what the turn's effects may come to."""
        reply = tools_reply(self._plan, self.agent.grants)
        fits = self._budget is None or self._budget.request(len(reply.encode()))
        return reply if fits else self._too_large()

    def _ask_people(self, index: int, outcome: str) -> str | None:
        """Take an outcome of a call by which its server asks people. Return the reply where they cannot be asked."""
        if not self.may_wait:
            return self.contents.cannot_wait()
        parked = self.agent.parked
        if parked is not None and parked.times_asked(index) >= STAGES_MAX:
            return error_reply("tool", f"its server has asked people {STAGES_MAX} times within this call")
        self._asked[index] = ASK, asking(self._requests[index].body, outcome), None
        return None

    def _ask_models(self, index: int, outcome: str) -> list[Action]:
        """Take an outcome of a call by which its server asks models. Nothing to do: the call has its reply."""
        request, sampling = self._requests[index], self._samplings.get(index)
        found = tool_of(self._plan, request.body)
        if found is None:
            self._replies[index] = error_reply("unknown_tool", "the tool is not there any more")
            return []
        if sampling is None:
            parked = self.agent.parked
            before = () if parked is None else parked.effects.values()
            sampling = self._samplings[index] = CallSampling(index, found[0], before)
        asked = sampling.begin(request.body, outcome, self._stage(index))
        if isinstance(asked, str):
            self._replies[index] = asked
            return []
        return [
            Request(
                self.agent.place,
                nested,
                one,
                streams.effect_stream(self._seed, self.agent.name, self.turn, nested),
                self._now_us,
                turn=self.turn,
            )
            for nested, one in asked
        ]

    def _model_answered(self, index: int, reply: str, tokens: tuple[int, ...] | None) -> list[Action]:
        """Take the reply of a model to a server; with the last one, its call is made again."""
        call = call_of_nested(index)
        sampling = self._samplings.get(call)
        if sampling is None or not sampling.answer(index, reply, tokens):
            raise InvariantError(f"effect {index} of {self.agent.name} was not waited for")
        return [] if sampling.is_open else [self._request(call, sampling.answers())]

    @property
    def may_wait(self) -> bool:
        """False if the turn has contents, with which it could not go on in another round."""
        return not self._contents

    def waits_for(self, index: int) -> bool:
        """Return whether the turn waits for an effect in this round."""
        return self._replies[index] is None and index not in self._asked

    def leave(self, index: int) -> None:
        """Wait for a call of a tool no longer in this round: it becomes a question that its outcome answers."""
        if not self.waits_for(index) or self._requests[index].kind != CALL or not self.may_wait:
            raise InvariantError(f"effect {index} of {self.agent.name} cannot be left")
        self._asked[index] = CALL, self._requests[index].body, None
        self._unanswered -= 1

    def answer(self, index: int, reply: str, tokens: tuple[int, ...] | None = None) -> list[Action]:
        """An effect's reply, and its tokens. With the last one that the turn waits for, it executes again."""
        if is_nested(index):
            return self._model_answered(index, reply, tokens)
        if not 0 <= index < len(self._replies) or self._replies[index] is not None:
            raise InvariantError(f"effect {index} of {self.agent.name} was not waited for")
        if self._budget is None:
            raise InvariantError(f"the turn of {self.agent.name} has asked for nothing")
        if self._requests[index].kind == CALL:  # whose reply was counted with its request
            if samples(reply):
                if requests := self._ask_models(index, reply):
                    return requests
            else:
                self._replies[index] = self._ask_people(index, reply) if asks(reply) else reply
            self._unanswered -= 1
            return [] if self._unanswered or self._asked else [self._resume()]
        self._replies[index] = reply
        if tokens is not None:
            self._tokens[index] = tokens
        for refused in self._budget.reply(index, len(reply.encode())):
            self._replies[refused] = self._too_large()
            self._tokens.pop(refused, None)
        self._unanswered -= 1
        return [] if self._unanswered or self._asked else [self._resume()]

    def park(self, question_first: int) -> ParkRecord:
        """Return the record of a turn that waits; its questions are numbered from `question_first` on."""
        if self._taken_park is not None:
            return self._taken_park
        return ParkRecord(
            place=self.agent.place,
            turn=self.turn,
            inbox=self._inbox,
            backlog=self._input.backlog,
            effects=self._effects(),
            questions=tuple(
                [
                    QuestionRecord(id_, index, kind, body, deadline)
                    for id_, (index, (kind, body, deadline)) in enumerate(sorted(self._asked.items()), question_first)
                ]
            ),
            calls=tuple(self._counts),
            spent_bytes=0 if self._budget is None else self._budget.spent,
            fuel=self.fuel,
            executions=self.executions,
        )

    def record(self) -> TurnRecord:
        if self._taken is not None:
            return self._taken
        return TurnRecord(
            self.agent.place,
            self.turn,
            self._inbox,
            self.output,
            self.failure,
            self._effects() if self._requests else (),
            self.stdout,
            self.fuel,
            self.executions,
        )

    def _effects(self) -> tuple[EffectRecord, ...]:
        """The effects that were answered in this round."""
        own = [
            EffectRecord(
                index, request.kind, request.model, request.body, reply, self._tokens.get(index), request.content
            )
            for index, (request, reply) in enumerate(zip(self._requests, self._replies, strict=True))
            if reply is not None and index not in self._recorded
        ]
        nested = [effect for sampling in self._samplings.values() for effect in sampling.effects]
        return (*own, *sorted(nested, key=lambda effect: effect.index))

    def _resume(self) -> Execute:
        contents = self._contents or None
        replies: list[Reply] = [
            reply if contents is None else contents.handed_over(index, reply)
            for index, reply in enumerate(self._replies[self._call_start :], self._call_start)
            if reply is not None
        ]
        self._calls.append(join_replies(replies, self._many))
        return self.execute()

    def _too_large(self) -> str:
        return too_large(self.agent.kind.limits.effects_bytes_max)
