"""The two hash chains of a run.

The **head** covers outcomes: the plan (with the hashes of code and models), inputs from outside, states, messages,
effect requests and replies, what turns recorded and printed, the class of every failure, and how the run ended. Equal
heads mean "the same run". The **execution digest** covers how it was carried out: versions, fuel, number of executions,
what failed turns said and printed, the tokens of answers, waves with their batch plans. It can be equal only on the
same build.

The facts of a round are lines of UTF-8, each ended by a line feed. A line is a letter that names the fact, then a JSON
array, in which texts of any length (states, bodies, requests, replies, logs, recorded texts, results) stand as SHA-256
in hex: whoever takes a text out of a journal and leaves its digest changes no head. A fact that is not there has no
line, and a member that is added later is added at the end of its array, where it is there: so the lines of what exists
today stay as they are.

A run keeps the rule by which its chains were begun (`RULE`, or an older one that its journal names):

1. ``head(r) = SHA-256(head(r-1) ‖ facts)``. No end. Logs, recorded texts, results and the texts of the plan stand in
   full.
2. ``outcome(r) = SHA-256(facts)``, ``head(r) = SHA-256(head(r-1) ‖ outcome(r))``, so that rounds can be compared, and
   the chain be followed, without what is in them. In rounds after which a snapshot is due (`turnwise.core.snapshot`),
   ``head(r) = SHA-256(head(r-1) ‖ outcome(r) ‖ state(r))``, with the digest of the state after the round: it follows
   from all outcomes so far, and lets a snapshot be compared with the chain. The head of a run that has ended is
   ``SHA-256(head ‖ end)``. The end is a leaf: a run that is continued after it has the heads of one that never ended
   there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from turnwise.core.json_encoder import json_encoder
from turnwise.core.plan import Plan
from turnwise.core.plan_change import with_texts
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import (
    AgentRecord,
    AnswerRecord,
    ChangeRecord,
    EffectRecord,
    EndRecord,
    MessageRecord,
    ParkRecord,
    RoundRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.turn import Record
from turnwise.core.withheld import Withheld, WithheldTokens
from turnwise.errors import InvariantError

_encode = json_encoder(sort_keys=False)

RULE: Final = 2
"""The rule by which new runs make their chains."""


def genesis(plan: Plan, rule: int = RULE) -> bytes:
    """The head before the first round."""
    beginning = plan_to_json(plan) if rule == 1 else plan_to_json(plan, text_digest)
    return sha256(f"turnwise head {rule}\n{beginning}".encode()).digest()


def execution_genesis(versions: str, rule: int = RULE) -> bytes:
    """The execution digest before the first round. `versions`: canonical JSON of all that runs the run."""
    return sha256(f"turnwise execution {rule}\n{versions}".encode()).digest()


def execution_continued(execution: bytes, versions: str) -> bytes:
    """The execution digest of a run that is continued by other versions than before."""
    return sha256(execution + b"continued\n" + versions.encode()).digest()


def text_digest(text: str) -> str:
    """SHA-256 of a text's UTF-8, in hex. Short ones are cached, since states stay the same and bodies go to many."""
    if type(text) is Withheld:
        return text.digest
    return _short_digest(text) if len(text) <= _CACHED_LEN_MAX else sha256(text.encode()).hexdigest()


_CACHED_LEN_MAX = 512


@lru_cache(maxsize=4096)
def _short_digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def facts(
    round_: int,
    inputs: Sequence[MessageRecord],
    turns: Sequence[TurnRecord],
    messages: Sequence[MessageRecord],
    spawned: Sequence[AgentRecord],
    stopped: Sequence[int],
    rule: int = RULE,
    changes: Sequence[ChangeRecord] = (),
    answers: Sequence[AnswerRecord] = (),
    parks: Sequence[ParkRecord] = (),
) -> bytes:
    """The lines that say what came of a round."""
    lines = [f"round {round_}"]
    lines += [_message_line("I", message) for message in inputs]
    lines += [change_line(change) for change in changes]
    lines += [f"R{_encode([answer.question, text_digest(answer.reply)])}" for answer in answers]
    lines += [_turn_line(turn, rule) for turn in turns]
    lines += [park_line(park) for park in parks]
    lines += [_message_line("M", message) for message in messages]
    lines += [agent_line(agent) for agent in spawned]
    lines += [f"X[{place}]" for place in stopped]
    return "\n".join(lines).encode() + b"\n"


def facts_of(record: RoundRecord, rule: int = RULE) -> bytes:
    """The lines that say what came of a recorded round."""
    return facts(
        record.round,
        record.inputs,
        record.turns,
        record.messages,
        record.spawned,
        record.stopped,
        rule,
        record.changes,
        record.answers,
        record.parks,
    )


def outcome(facts: bytes, rule: int = RULE) -> bytes | None:
    """The digest of a round by itself; None under rule 1, which knows none."""
    return None if rule == 1 else sha256(facts).digest()


def advance(head: bytes, facts: bytes, rule: int = RULE, state: bytes | None = None) -> bytes:
    """The head after a round with these facts, and with the digest of the state where one is due."""
    return sha256(head + facts).digest() if rule == 1 else linked(head, sha256(facts).digest(), state)


def linked(head: bytes, outcome: bytes, state: bytes | None = None) -> bytes:
    """The head after a round of which only the outcome's digest is known (not under rule 1)."""
    return sha256(head + outcome + (state or b"")).digest()


def ended(head: bytes, end: EndRecord, rule: int = RULE) -> bytes | None:
    """The head of a run that has ended after the round of this head; None under rule 1, which leaves ends out."""
    if rule == 1:
        return None
    texts = [None if text is None else text_digest(text) for text in (end.result, end.message)]
    return sha256(head + b"E" + _encode([end.reason, end.round, *texts]).encode() + b"\n").digest()


def execution_advance(
    execution: bytes,
    round_: int,
    turns: Iterable[TurnRecord],
    waves: Iterable[WaveRecord] = (),
    rule: int = RULE,
    parks: Iterable[ParkRecord] = (),
) -> bytes:
    """The execution digest after a round."""
    lines = []
    for turn in turns:
        line = f"{turn.place} {turn.fuel} {turn.executions}"
        if rule > 1:
            if turn.failure is not None:
                line += f" {text_digest(turn.failure.message)} {text_digest(turn.stdout)}"
            if turn.effects:
                line += _token_lines(turn.effects)
        lines.append(line)
    lines += [f"P{park.place} {park.fuel} {park.executions}{_token_lines(park.effects)}" for park in parks]
    lines += ["W" + _encode([wave.wave, wave.model, wave.requests, wave.plan]) for wave in waves]
    text = "\n".join(lines)
    return sha256(execution + f"round {round_}\n{text}\n".encode()).digest()


def _token_lines(effects: Iterable[EffectRecord]) -> str:
    """Lines of the effects whose tokens are known, each after a line feed."""
    told = [(effect.index, effect.tokens) for effect in effects if effect.tokens is not None]
    return "".join([f"\nG{_encode([index, _tokens_digest(tokens)])}" for index, tokens in told])


def _tokens_digest(tokens: tuple[int, ...]) -> str:
    return tokens.digest if isinstance(tokens, WithheldTokens) else text_digest(_encode(tokens))


def _message_line(letter: str, message: MessageRecord) -> str:
    members = [message.seq, message.round, message.sender, message.to, text_digest(message.body), message.recipients]
    if message.attach is not None:
        members.append(text_digest(message.attach))
    return letter + _encode(members)


def change_line(change: ChangeRecord) -> str:
    """The line that says of a change from outside that it came."""
    text = change.text
    if text is not None and change.what == "plan":  # of which only what agents are told can be taken out
        text = with_texts(text, lambda _kind, _name, told: text_digest(told))
    return "C" + _encode([change.what, change.target, None if text is None else text_digest(text)])


def agent_line(agent: AgentRecord) -> str:
    """The line that says of an agent that it came to be."""
    return "A" + _encode(
        [
            agent.place,
            agent.name,
            agent.kind,
            text_digest(agent.args),
            text_digest(agent.state),
            agent.born,
            agent.parent,
            agent.grants,
        ]
    )


def park_line(park: ParkRecord) -> str:
    """The line that says of a turn that it waits, and for what."""
    questions = [
        [question.id, question.index, question.kind, text_digest(question.request), question.deadline]
        for question in park.questions
    ]
    return "P" + _encode(
        [
            park.place,
            park.turn,
            park.inbox,
            park.backlog,
            _effects(park.effects),
            questions,
            park.calls,
            park.spent_bytes,
        ]
    )


def _effects(effects: Iterable[EffectRecord]) -> list[list[object]]:
    return [
        [effect.index, effect.kind, effect.model, text_digest(effect.request), text_digest(effect.reply)]
        for effect in effects
    ]


def _turn_line(turn: TurnRecord, rule: int) -> str:
    effects = _effects(turn.effects) if turn.effects else []
    if turn.output is None:
        if turn.failure is None:
            raise InvariantError("a turn has neither an output nor a failure")
        return "F" + _encode([turn.place, turn.turn, turn.inbox, turn.failure.kind, effects])
    output = turn.output
    state = text_digest(output.state)
    if not (effects or turn.stdout or output.log or output.record or output.stop or output.finish):
        inbox = ",".join(map(str, turn.inbox)) if turn.inbox else ""
        start = f'T[{turn.place},{turn.turn},[{inbox}],"{state}"'
        # as they are encoded below, for most turns of most worlds
        return f"{start}]" if not output.wake_in else f"{start}{_NOTHING_BUT}{output.wake_in},[],null]"
    return "T" + _encode(
        [
            turn.place,
            turn.turn,
            turn.inbox,
            state,
            effects,
            text_digest(turn.stdout),
            [[line.level, line.text if rule == 1 else text_digest(line.text)] for line in output.log],
            [_recorded(record, rule) for record in output.record],
            output.wake_in,
            output.stop,
            output.finish if rule == 1 or output.finish is None else text_digest(output.finish),
        ]
    )


_NOTHING_BUT: Final = f',[],"{text_digest("")}",[],[],'
"""Effects, printed text, logs and records of a turn that has none, between its state and its alarm."""


def _recorded(record: Record, rule: int) -> list[object]:
    """A recorded number as it is; a text by its digest, in a member of its own."""
    if rule == 1 or not isinstance(record.value, str):
        return [record.name, record.value]
    return [record.name, None, text_digest(record.value)]
