"""The two hash chains of a run.

The **head** covers outcomes: the plan (with the hashes of code and models), inputs from outside, states, messages,
effect requests and replies, what turns recorded and printed, and the class of every failure. Equal heads mean "the same
run". The **execution digest** covers how it was carried out: versions, fuel, number of executions, waves with their
batch plans. It can be equal only on the same build.

Round r: ``SHA-256(chain(r-1) ‖ lines)``, a line for each fact, UTF-8, ended by a line feed. A line is a letter that
names the fact, then a JSON array, in which long texts (states, bodies, requests, replies) stand as SHA-256 in hex.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256

from turnwise.core.plan import Plan
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import AgentRecord, MessageRecord, TurnRecord, WaveRecord

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def genesis(plan: Plan) -> bytes:
    """The head before the first round."""
    return sha256(b"turnwise head 1\n" + plan_to_json(plan).encode()).digest()


def execution_genesis(versions: str) -> bytes:
    """The execution digest before the first round. `versions`: canonical JSON of all that runs the run."""
    return sha256(b"turnwise execution 1\n" + versions.encode()).digest()


def execution_continued(execution: bytes, versions: str) -> bytes:
    """The execution digest of a run that is continued by other versions than before."""
    return sha256(execution + b"continued\n" + versions.encode()).digest()


def text_digest(text: str) -> str:
    """SHA-256 of a text's UTF-8, in hex. Short ones are cached, since states stay the same and bodies go to many."""
    return _short_digest(text) if len(text) <= _CACHED_LEN_MAX else sha256(text.encode()).hexdigest()


_CACHED_LEN_MAX = 512


@lru_cache(maxsize=4096)
def _short_digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def advance(
    head: bytes,
    round_: int,
    inputs: Sequence[MessageRecord],
    turns: Sequence[TurnRecord],
    messages: Sequence[MessageRecord],
    spawned: Sequence[AgentRecord],
    stopped: Sequence[int],
) -> bytes:
    """The head after a round."""
    lines = [f"round {round_}"]
    lines += [_message_line("I", message) for message in inputs]
    lines += [_turn_line(turn) for turn in turns]
    lines += [_message_line("M", message) for message in messages]
    lines += [_agent_line(agent) for agent in spawned]
    lines += [f"X[{place}]" for place in stopped]
    return sha256(head + "\n".join(lines).encode() + b"\n").digest()


def execution_advance(
    execution: bytes, round_: int, turns: Iterable[TurnRecord], waves: Iterable[WaveRecord] = ()
) -> bytes:
    """The execution digest after a round."""
    lines = [f"{turn.place} {turn.fuel} {turn.executions}" for turn in turns]
    lines += ["W" + _encode([wave.wave, wave.model, wave.requests, wave.plan]) for wave in waves]
    text = "\n".join(lines)
    return sha256(execution + f"round {round_}\n{text}\n".encode()).digest()


def _message_line(letter: str, message: MessageRecord) -> str:
    return letter + _encode(
        [message.seq, message.round, message.sender, message.to, text_digest(message.body), message.recipients]
    )


def _agent_line(agent: AgentRecord) -> str:
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


def _turn_line(turn: TurnRecord) -> str:
    effects = [
        [effect.index, effect.kind, effect.model, text_digest(effect.request), text_digest(effect.reply)]
        for effect in turn.effects
    ]
    if turn.output is None:
        assert turn.failure is not None
        return "F" + _encode([turn.place, turn.turn, turn.inbox, turn.failure.kind, effects])
    output = turn.output
    state = text_digest(output.state)
    if not (effects or turn.stdout or output.log or output.record or output.wake_in or output.stop or output.finish):
        return f'T[{turn.place},{turn.turn},[{",".join(map(str, turn.inbox))}],"{state}"]'
    return "T" + _encode(
        [
            turn.place,
            turn.turn,
            turn.inbox,
            state,
            effects,
            text_digest(turn.stdout),
            [[line.level, line.text] for line in output.log],
            [[record.name, record.value] for record in output.record],
            output.wake_in,
            output.stop,
            output.finish,
        ]
    )
