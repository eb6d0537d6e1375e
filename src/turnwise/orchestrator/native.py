"""Python agents without a sandbox, in this process, for breakpoints.

The machine is the real one; only the sandboxes are missing, and with them every promise: an agent can do anything here,
and nothing is bounded or recorded. Agents run in the calling thread, one after the other, straight through: an effect
waits for its answer where it is asked, so that a debugger sees each turn once.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnwise.core.envelope import decode_needs, decode_output
from turnwise.core.events import Action, Advance, Commit, EffectAnswered, End, Execute, Request, TurnEnded
from turnwise.core.machine import Machine
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.turn import Failed, Failure, FailureClass, Outcome
from turnwise.errors import TurnwiseError, UsageError
from turnwise.inference import GenerateReply, InferenceHost, ModelSpec
from turnwise.orchestrator.effects import as_generate_request
from turnwise.world import Resolved, SourceFiles, World

OnRound = Callable[[RoundRecord, Callable[[int], str]], None]
"""Told of every round, with a function from places to names."""

_NO_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class NativeRun:
    """What came of a native run. There is no head: it proves nothing."""

    rounds: int
    turns: int
    failures: int
    end: EndRecord


class _TurnOver(BaseException):
    """Leaves an agent whose turn has ended while it asked for an effect."""


def run_native(world: World, *, on_round: OnRound | None = None) -> NativeRun:
    """Play a world of Python agents to its end. Raises `UsageError` for agents that are not Python."""
    resolved = world.resolve()
    for kind, source in resolved.sources.items():
        if source.language != "python":
            raise UsageError(
                f"{source.entry} is WebAssembly, and cannot run natively",
                where=f"agents.{kind}.source",
                hint="Leave out --native; only Python agents can run without a sandbox.",
            )
    plan = world.plan(
        dict.fromkeys(resolved.sources, _NO_HASH), {model.name: _NO_HASH for model in resolved.models}
    )
    with ExitStack() as stack:
        agents = {kind: stack.enter_context(_agent(source)) for kind, source in resolved.sources.items()}
        models = stack.enter_context(_models(resolved))
        return _Native(Machine(plan), agents, models).play(on_round)


class _Native:
    def __init__(
        self, machine: Machine, agents: Mapping[str, _Agent], answer: Callable[[Request], str] | None
    ) -> None:
        self._machine = machine
        self._agents = agents
        self._answer = answer

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
                    pending += machine.step(Advance())
                case End(end):
                    return NativeRun(rounds, turns, failures, end)
                case Request():  # pragma: no cover - answered where it is asked
                    raise AssertionError(action)

    def _execute(self, action: Execute) -> list[Action]:
        """Play a turn straight through; what the machine wants after it."""
        rest: list[Action] = []

        def effect(text: str) -> str:
            nonlocal rest
            rest = self._machine.step(TurnEnded(action.place, decode_needs(text), 0))
            while rest and isinstance(rest[0], Request):
                request = rest.pop(0)
                assert isinstance(request, Request)
                assert self._answer is not None
                reply = self._answer(request)
                rest += self._machine.step(EffectAnswered(request.place, request.index, reply))
            if rest and isinstance(rest[0], Execute) and rest[0].place == action.place:
                return rest[0].replies[-1]
            raise _TurnOver

        try:
            outcome = self._agents[action.kind].play(json.loads(action.input), effect)
        except _TurnOver:
            return rest
        return self._machine.step(TurnEnded(action.place, outcome, 0))


class _Agent:
    """A kind of agent: its files, imported anew for every turn, since nothing else survives a turn."""

    def __init__(self, entry: Path, modules: Sequence[str]) -> None:
        self._entry = entry
        self._modules = modules

    def play(self, envelope: dict[str, Any], effect: Callable[[str], str]) -> Outcome:
        from turnwise_guest.runtime.execute import play

        saved = {name: sys.modules.pop(name) for name in self._modules if name in sys.modules}
        sys.path.insert(0, str(self._entry.parent))
        importlib.invalidate_caches()
        try:
            return decode_output(play(self._entry.stem, self._entry.name, envelope, effect))
        except Exception as error:
            own = traceback.TracebackException.from_exception(error)
            folder = str(self._entry.parent)
            own.stack = traceback.StackSummary.from_list([f for f in own.stack if f.filename.startswith(folder)])
            return Failed(Failure(FailureClass.RAISED, "".join(own.format()).rstrip()))
        finally:
            sys.path.remove(str(self._entry.parent))
            for name in self._modules:
                sys.modules.pop(name, None)
            sys.modules.update(saved)


@contextmanager
def _agent(source: SourceFiles) -> Iterator[_Agent]:
    from turnwise_guest.runtime.program import module_name

    modules = [module_name(name)[0] for name, _ in source.files]
    if source.path is not None:
        yield _Agent(source.path, modules)
        return
    with tempfile.TemporaryDirectory(prefix="turnwise-native-") as folder:
        for name, content in source.files:
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield _Agent(Path(folder, source.entry), modules)


@contextmanager
def _models(resolved: Resolved) -> Iterator[Callable[[Request], str] | None]:
    """A function that answers effects with the world's models, which live behind an event loop in another thread."""
    if not resolved.models:
        yield None
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="turnwise-native", daemon=True)
    thread.start()
    waiting: dict[int, Future[str]] = {}

    def deliver(replies: Sequence[GenerateReply]) -> None:
        for reply in replies:
            waiting.pop(reply.id).set_result(reply.body)

    def fail(error: TurnwiseError) -> None:
        for future in waiting.values():
            future.set_exception(error)
        waiting.clear()

    specs = [ModelSpec(model.name, model.path, model.provider, model.require) for model in resolved.models]

    async def open_host() -> InferenceHost:
        host = InferenceHost(specs, on_replies=deliver, on_failure=fail)
        return await host.__aenter__()

    def call(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    try:
        host = call(open_host())

        def answer(request: Request) -> str:
            id_, future = len(waiting), Future[str]()
            waiting[id_] = future
            loop.call_soon_threadsafe(host.submit, [as_generate_request(id_, request)])
            return future.result()

        try:
            yield answer
        finally:
            call(host.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
