"""A sample of a run under way: where it is, who moves, and what models are writing. Places stand for agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from turnwise.telemetry.ring import PAYLOAD_BYTES_MAX, SLOTS, Readable, newest, read

STATE: Final = 1
TEXT: Final = 2
PLACES_MAX: Final = 32
"""Agents of each list; the counts are of all."""
WORKERS_MAX: Final = 64
"""Workers of which each has its number of jobs told."""
TEXTS_MAX: Final = 64
"""Texts of a sample."""
TAIL_CHARS_MAX: Final = 300
"""Characters of a text that is being generated, from its end; they fit into a slot, however many bytes each has."""


class GeneratedText(msgspec.Struct, frozen=True):
    """The end of a text that a model is writing."""

    place: int
    """Place of the agent."""
    effect: int
    """Number of the effect in its turn, from 0."""
    tokens: int
    """Tokens so far; 0 while its prompt is prefilled, or waits."""
    tail: str
    """The last characters of the text so far."""
    cut: bool
    """True if there are more before them."""


class State(msgspec.Struct, frozen=True):
    """A run at a moment."""

    sample: int
    """Number of the sample, from 1."""
    at_us: int
    """Time of the sample, microseconds since 1970-01-01 UTC."""
    texts: int
    """Texts that were written just before this."""
    phase: str
    """`playing`, or what comes before and after it."""
    round: int
    """Round in progress."""
    rounds: int
    """Rounds that were played by this process."""
    turns: int
    """Turns that were played by this process."""
    failures: int
    """Turns that failed, of these."""
    executing: tuple[int, ...]
    """Places whose turn is executed, or waits for a sandbox; the first of them."""
    executing_count: int
    """Number of all of these."""
    asking: tuple[int, ...]
    """Places whose turn waits for effects, once for each effect; the first of them."""
    asking_count: int
    """Number of all of these effects."""
    workers: tuple[int, ...]
    """Jobs of each worker; -1 for one that is not ready."""
    workers_count: int
    """Number of all workers."""
    jobs_queued: int
    """Jobs that no worker has yet."""
    worker_deaths: int
    """Workers that had to be replaced."""
    running: int
    """Sequences that have a slot of an engine."""
    waiting: int
    """Requests that wait for a slot."""
    slots: int
    """Slots of all engines."""
    kv_bytes: int
    """Memory that the KV caches of all engines have taken."""
    tokens: int
    """Tokens that were generated."""
    restarts: int
    """Inference processes that had to be replaced."""
    texts_hidden: int = 0
    """Texts that are written and not told."""
    prompt_tokens: int = 0
    """Tokens of prompts that were computed."""
    reused_tokens: int = 0
    """Tokens of prompts that were taken from the cache."""
    steps: int = 0
    """Steps of all engines, each of the sequences that ran then."""
    step_rows: int = 0
    """Sequences that took part in them, all steps together."""


class Sample(msgspec.Struct, frozen=True):
    """A sample as it was read."""

    state: State
    """State of the run."""
    texts: tuple[GeneratedText, ...]
    """Texts that are being written."""
    lost: int
    """Texts of it that were overwritten before they could be read."""


_ENCODER: Final = msgspec.msgpack.Encoder()
_STATE: Final = msgspec.msgpack.Decoder(State)
_TEXT: Final = msgspec.msgpack.Decoder(GeneratedText)


def slots_of(state: State, texts: Sequence[GeneratedText]) -> list[tuple[int, bytes]]:
    """Return a sample as a ring keeps it: its texts, then what makes them a sample."""
    slots = [(TEXT, _ENCODER.encode(text)) for text in texts]
    slots.append((STATE, _ENCODER.encode(state)))
    return [(kind, payload) for kind, payload in slots if len(payload) <= PAYLOAD_BYTES_MAX]


def read_sample(memory: Readable) -> Sample | None:
    """Read the newest sample that is whole, as far as its texts are there; None if there is none yet.

    Raises ValueError for memory that is no ring.
    """
    last = newest(memory)
    for number in range(last, max(0, last - SLOTS), -1):
        state = _state(memory, number)
        if state is not None:
            count = min(state.texts, TEXTS_MAX)
            found = [_text(memory, at) for at in range(max(1, number - count), number)]
            there = tuple([text for text in found if text is not None])
            return Sample(state, there, count - len(there))
    return None


def _state(memory: Readable, number: int) -> State | None:
    slot = read(memory, number)
    if slot is None or slot.kind != STATE:
        return None
    try:
        return _STATE.decode(slot.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _text(memory: Readable, number: int) -> GeneratedText | None:
    slot = read(memory, number)
    if slot is None or slot.kind != TEXT:
        return None
    try:
        return _TEXT.decode(slot.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
