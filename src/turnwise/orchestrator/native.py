"""Python agents without a sandbox, in this process, for breakpoints.

The machine is the real one; only the sandboxes are missing, and with them every promise: an agent can do anything here,
and nothing is bounded or recorded. Agents run in the calling thread, one after the other, straight through: an effect
waits for its answer where it is asked, so that a debugger sees each turn once.
"""

from __future__ import annotations

import json
import marshal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from turnwise.core.calling import CALL, call_of
from turnwise.core.envelope import decode_needs, decode_output, error_reply
from turnwise.core.events import (
    Action,
    Advance,
    Answer,
    Commit,
    EffectAnswered,
    End,
    Execute,
    Keep,
    Request,
    TurnEnded,
)
from turnwise.core.machine import Machine
from turnwise.core.question import AskedQuestion, answer_reply
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.run_python import RUN_PYTHON
from turnwise.core.turn import Failed, Failure, FailureClass, Outcome
from turnwise.errors import TurnwiseError, UsageError, WorldError
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.orchestrator.answering import check_answer
from turnwise.orchestrator.contents import Contents
from turnwise.orchestrator.effects import as_model_request
from turnwise.orchestrator.loop_thread import LoopThread
from turnwise.orchestrator.model_hosts import ModelHosts, Spec
from turnwise.orchestrator.tasks import endpoints_of_world, specs_of_world, wrong_tasks
from turnwise.orchestrator.tool_servers import Listed, pinned, servers_of, settings_problems
from turnwise.sandbox.execute.replies import HandedReply, as_bytes, as_text
from turnwise.tools.desk import ToolDesk
from turnwise.world import Resolved, SourceFiles, World
from turnwise.world.plan import build_plan
from turnwise_guest.content import EffectBytes
from turnwise_guest.runtime.execute import play
from turnwise_guest.runtime.failure import describe
from turnwise_guest.runtime.program import CannotPrepare, Program, prepare

People = Callable[[AskedQuestion], Any]
"""Answers a question to people with a JSON value."""

OnRound = Callable[[RoundRecord, Callable[[int], str]], None]
"""Told of every round, with a function from places to names."""

_NO_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class NativeRun:
    """The outcome of a native run. There is no head: it proves nothing."""

    rounds: int
    turns: int
    failures: int
    end: EndRecord


class TurnOver(BaseException):
    """Leaves an agent whose turn has ended, or waits for an answer, while it asked for an effect."""


def run_native(world: World, *, on_round: OnRound | None = None, people: People | None = None) -> NativeRun:
    """Play a world of Python agents to its end; `people` answers questions to people.

    Raises `UsageError` for agents that are not Python, and for a question that nobody answers.
    """
    resolved = world.resolve()
    for kind, source in resolved.sources.items():
        if source.language != "python":
            raise UsageError(
                f"{source.entry} is {'JavaScript' if source.language == 'javascript' else 'WebAssembly'}, "
                "and cannot run natively",
                where=f"agents.{kind}.source",
                hint="Leave out --native; only Python agents can run without a sandbox.",
            )
    if problems := [*wrong_tasks(world), *settings_problems(resolved)]:
        raise WorldError(problems)
    with ExitStack() as stack:
        agents = {kind: NativeAgent(kind, source) for kind, source in resolved.sources.items()}
        models, listed = stack.enter_context(_models(resolved))
        hashes = dict.fromkeys(resolved.sources, _NO_HASH), dict.fromkeys(world.models, _NO_HASH)
        plan = build_plan(resolved, *hashes, pinned(resolved, listed))
        return _Native(Machine(plan), agents, models, people).play(on_round)


class _Native:
    def __init__(
        self,
        machine: Machine,
        agents: Mapping[str, NativeAgent],
        answer: Callable[[Request, Contents], str],
        people: People | None = None,
    ) -> None:
        self._machine = machine
        self._agents = agents
        self._answer = answer
        self._contents = Contents()
        self._people = people

    def play(self, on_round: OnRound | None) -> NativeRun:
        machine = self._machine
        rounds = turns = failures = 0
        pending: list[Action] = list(machine.step(Advance()))
        while True:
            action = pending.pop(0)
            match action:
                case Execute():
                    pending += self._execute(action)
                case Commit(record):
                    rounds += 1
                    turns += len(record.turns)
                    failures += sum(turn.failure is not None for turn in record.turns)
                    if on_round is not None:
                        on_round(record, lambda place: machine.world.agents[place].name)
                    self._ask_people()
                    pending += machine.step(Advance())
                case End(end):
                    return NativeRun(rounds, turns, failures, end)
                case Request():  # a call that a person has approved, before its turn goes on
                    reply = self._answer(action, self._contents)
                    pending += machine.step(EffectAnswered(action.place, action.index, reply))
                case Keep():  # pragma: no cover - answered where it is asked
                    raise AssertionError(action)

    def _ask_people(self) -> None:
        """Have people answer what is asked, where nothing else can happen before they do, or a deadline passes."""
        machine = self._machine
        if not machine.waits and not (machine.is_overdue_next and self._people is not None):
            return
        for asked in machine.questions():
            if self._people is None:
                raise UsageError(
                    f"{asked.agent} waits for an answer to question {asked.id}, and nobody answers here",
                    where="native",
                    hint="Leave out --native, or ask with a deadline and a default.",
                )
            value = self._people(asked)
            check_answer(asked, value)
            machine.step(Answer(asked.id, answer_reply(value)))

    def _execute(self, action: Execute) -> list[Action]:
        """Play a turn straight through; what the machine wants after it."""
        return execute(self._machine, action, self._agents[action.kind], self._answer, self._contents)[1]


class NativeAgent:
    """A kind of agent: compiled once under the real names of its files, executed anew for every turn."""

    def __init__(self, kind: str, source: SourceFiles) -> None:
        texts = {name: content.decode() for name, content in source.files}
        try:
            self._program = prepare(source.entry, texts)
        except CannotPrepare as error:
            where = f"agents.{kind}.source: {error.file}:{error.line}"
            raise UsageError(error.message, where=where, hint="Mend the file and run again.") from None
        if source.path is not None:
            self._program = _renamed(self._program, texts, source.path.parent)

    def play(self, envelope: dict[str, Any], effect: Callable[[str], str], effect_bytes: EffectBytes) -> Outcome:
        program = self._program
        finders = list(sys.meta_path)
        saved = {name: sys.modules.pop(name) for name in program.modules if name in sys.modules}
        try:
            return decode_output(play(program, envelope, effect, effect_bytes))
        except Exception as error:
            files = {file for file, _, _ in program.modules.values()}
            text = describe(error, program.source, files.__contains__)
            return Failed(Failure(FailureClass.RAISED, text))
        finally:
            sys.meta_path[:] = finders
            for name in program.modules:
                sys.modules.pop(name, None)
            sys.modules.update(saved)


def execute(
    machine: Machine,
    action: Execute,
    agent: NativeAgent,
    answer: Callable[[Request, Contents], str],
    contents: Contents,
) -> tuple[Outcome | None, list[Action]]:
    """Play a turn straight through; how it ended, None where it waits, and what the machine wants after it."""
    rest: list[Action] = []
    # of a turn that has waited for people, and goes on
    known = iter([contents.handed(reply) for reply in action.replies])

    def effect(text: str) -> str:
        return as_text(ask(text, b"")).decode()

    def effect_bytes(text: str, content: bytes) -> bytes:
        return b"".join(as_bytes(ask(text, content)))

    def ask(text: str, content: bytes) -> HandedReply:
        nonlocal rest
        known_reply = next(known, None)
        if known_reply is not None:
            return known_reply
        rest = machine.step(TurnEnded(action.place, decode_needs(text, content), 0))
        while rest and isinstance(keep := rest[0], Keep):
            contents.keep(keep.kept, keep.content)
            del rest[0]
        while rest and isinstance(request := rest[0], Request):
            del rest[0]
            rest += machine.step(EffectAnswered(request.place, request.index, answer(request, contents)))
        if rest and isinstance(rest[0], Execute) and rest[0].place == action.place:
            return contents.handed(rest[0].replies[-1])
        raise TurnOver

    try:
        outcome = agent.play(json.loads(action.input.encode()), effect, effect_bytes)
    except TurnOver:
        return None, rest
    return outcome, machine.step(TurnEnded(action.place, outcome, 0))


def _renamed(program: Program, texts: Mapping[str, str], folder: Path) -> Program:
    """Return the same program with the paths of its files, which breakpoints go by."""
    modules = {
        name: (str(folder / file), package, marshal.dumps(compile(texts[file], str(folder / file), "exec")))
        for name, (file, package, _) in program.modules.items()
    }
    sources = marshal.dumps({str(folder / file): text for file, text in texts.items()})
    return Program(program.entry, modules, sources)


@contextmanager
def _models(resolved: Resolved) -> Iterator[tuple[Callable[[Request, Contents], str], Listed]]:
    """A function that answers effects with the world's models and tools, whose event loop runs in another thread.

    With it come the tools by their servers.
    """
    waiting: dict[int, Future[str]] = {}
    ids = count()

    def deliver(replies: Sequence[GenerateReply]) -> None:
        for reply in replies:
            waiting.pop(reply.id).set_result(reply.body)

    def fail(error: TurnwiseError) -> None:
        for future in waiting.values():
            future.set_exception(error)
        waiting.clear()

    specs: list[Spec] = [*specs_of_world(resolved), *endpoints_of_world(resolved)]

    async def open_host() -> ModelHosts:
        host = ModelHosts(specs, on_replies=deliver, on_failure=fail)
        await host.start()
        return host

    async def open_desk() -> ToolDesk:
        return ToolDesk(servers_of(resolved))

    with LoopThread("turnwise-native") as thread:
        host = thread.submit(open_host()).result()
        desk = thread.submit(open_desk()).result()
        listed = thread.submit(desk.start()).result()

        async def submit(id_: int, request: Request, contents: Contents) -> None:
            host.submit([as_model_request(id_, request, contents)])

        def answer(request: Request, contents: Contents) -> str:
            if request.request.kind == RUN_PYTHON:
                return error_reply("unavailable", "run_python needs a sandbox: run without --native")
            if request.request.kind == CALL:
                call = call_of(request.request.body)
                server, _, tool = call.tool.partition(".")
                tool = tool or listed[server][0].name
                return thread.submit(desk.call(server, tool, call.args, request.answers)).result()
            future: Future[str] = Future()
            id_ = next(ids)
            waiting[id_] = future
            thread.submit(submit(id_, request, contents)).result()
            return future.result()

        try:
            yield answer, listed
        finally:
            thread.submit(desk.close()).result()
            thread.submit(host.close()).result()
