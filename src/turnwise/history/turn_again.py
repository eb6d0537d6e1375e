"""One turn of a recorded run, played again in this process, so that a debugger can step through it.

The machine stands where it stood when the turn began, and each effect is answered as it was: nothing is asked of a
model, a tool or a person. Agents run without a sandbox then, so it is for one's own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from turnwise.core.events import Action, Advance, Answer, EffectAnswered, Execute, Input, OutsideChange, Request
from turnwise.core.machine import Machine
from turnwise.core.records import ParkRecord, RoundRecord, TurnRecord
from turnwise.core.turn import Completed, Failed, Outcome
from turnwise.errors import UsageError
from turnwise.journal import Journal
from turnwise.orchestrator.contents import Contents
from turnwise.orchestrator.native import NativeAgent, TurnOver, execute
from turnwise.orchestrator.run_sources import stored_sources
from turnwise.world.meaning.sources import SourceFiles

Around = Callable[[Callable[[], None], Path], bool]
"""Called with what plays the turn, and the file in which its function `turn` stands: plays it, in a debugger say, and
returns whether that came to its end."""


@dataclass(frozen=True, slots=True)
class TurnAgain:
    """The end of a turn that was played again."""

    outcome: Outcome | None
    """Output of it, or its failure; None where it waits for an answer, as it did then."""
    difference: str | None
    """Difference from what was recorded; None if there is none."""


def play_again(
    path: Path,
    agent: str,
    round_: int,
    *,
    around: Around | None = None,
    parents: Sequence[Path] = (),
) -> TurnAgain:
    """Play the turn of an agent in a round again. Raises UsageError where there is none, or it is no Python agent's."""
    with Journal.open(path, parents=parents) as journal, tempfile.TemporaryDirectory(prefix="turnwise-") as folder:
        journal.rounds.summary(round_)
        record = journal.rounds.round(round_)
        place = journal.queries.agent(agent).place
        recorded = next((part for part in record.parts if part.place == place), None)
        if recorded is None:
            raise UsageError(
                f"{agent} has no turn in round {round_}",
                where="--round",
                actual=round_,
                hint=f"turnwise log --agent {agent} shows its turns.",
            )
        machine = journal.machine.at(round_ - 1)
        kind = machine.world.agents[place].kind.name
        entry, native = _agent(journal, machine, kind, Path(folder))
        contents = Contents(journal.contents.read)
        answer = _answers(record, place)
        found: list[Outcome | None] = []

        def play() -> None:
            pending = _begun(machine, record, place)
            while pending:
                match action := pending.pop(0):
                    case Request():  # a call that a person has approved, before its turn goes on
                        more = machine.step(EffectAnswered(place, action.index, answer(action, contents)))
                        pending += _of(more, place)
                    case Execute():
                        found.append(execute(machine, action, native, answer, contents)[0])
                        return

        played = True
        try:
            if around is None:
                play()
            else:
                played = around(play, entry)
        except TurnOver:
            found.append(None)  # a call that was approved then had no outcome in this round
        finally:
            contents.close()
        if not played or not found:
            return TurnAgain(None, "it was left before it had ended")
        return TurnAgain(found[0], _difference(found[0], recorded))


def _agent(journal: Journal, machine: Machine, kind: str, folder: Path) -> tuple[Path, NativeAgent]:
    """The code of a kind, whose files are written to a folder, for whoever shows them."""
    source = stored_sources(journal, machine.plan).get(kind)
    if source is None or source.language != "python":
        language = "another language" if source is None else source.language
        hint = "A debugger of this process steps through Python agents alone."
        raise UsageError(f"{kind} is written in {language}", where="--agent", actual=kind, hint=hint)
    for name, content in source.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    entry = folder / source.entry
    return entry, NativeAgent(kind, SourceFiles("python", source.entry, tuple(source.files.items()), entry))


def _begun(machine: Machine, record: RoundRecord, place: int) -> list[Execute | Request]:
    """Begin the round with what came from outside then; what the turn begins with."""
    given = len(machine.plan.messages) if machine.world.round == 0 else 0
    for message in record.inputs[given:]:
        machine.step(Input(message.to, message.body, record.round if message.round == record.round else 0))
    for change in record.changes:
        machine.step(OutsideChange(change))
    for answer in record.answers:
        machine.step(Answer(answer.question, answer.reply))
    return _of(machine.step(Advance()), place)


def _of(actions: Sequence[Action], place: int) -> list[Execute | Request]:
    """Actions for one agent: the others do not move."""
    return [action for action in actions if isinstance(action, Execute | Request) and action.place == place]


def _answers(record: RoundRecord, place: int) -> Callable[[Request, Contents], str]:
    """Answers of effects as they were recorded with a round; a turn that parked then is over with what has none."""
    replies = {effect.index: effect for of, effect in record.effects() if of == place}

    def answer(request: Request, _: Contents) -> str:
        effect = replies.get(request.index)
        if effect is None:
            raise TurnOver
        if effect.request != request.request.body:
            raise UsageError(
                f"effect {request.index} asks for something else than it did",
                where="turn",
                expected=effect.request,
                actual=request.request.body,
            )
        return effect.reply

    return answer


def _difference(outcome: Outcome | None, recorded: TurnRecord | ParkRecord) -> str | None:
    if isinstance(recorded, ParkRecord):
        return None if outcome is None else "it ended, and waited for an answer then"
    match outcome:
        case Completed(output) if recorded.output is not None:
            return None if output == recorded.output else "its output is another one"
        case Failed() if recorded.failure is not None:
            return None
        case Completed():
            return "it ended without a failure, and failed then"
        case Failed(failure):
            return f"it failed: {failure.message}"
    return "it waits for an answer, and ended then"
