"""Parameters that all paths share which generate text: from the API's names to those of a generate request."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from turnwise.inference.requests.generate_request import (
    LOGIT_BIAS_MAX,
    PRESENCE_PENALTY_MAX,
    REPETITION_PENALTY_MAX,
    REPETITION_PENALTY_MIN,
    STOP_COUNT_MAX,
    STREAM_BYTES,
    TEMPERATURE_MAX,
    TOKENS_MAX_MAX,
)
from turnwise.serving.api_error import refuse
from turnwise.serving.parameters import Parameters

TEMPERATURE_DEFAULT: Final = 1.0
"""The default of the API."""
SEED_MAX: Final = 2**63 - 1
CHOICES_MAX: Final = 128

_PERSON: Final = b"turnwise cli gen"


def read_sampling(members: Parameters) -> dict[str, Any]:
    """Read how tokens are chosen; returns members of a generate request. Raises ApiError."""
    limit = PRESENCE_PENALTY_MAX
    temperature = members.number("temperature", 0.0, TEMPERATURE_MAX)
    asked = {
        "temperature": TEMPERATURE_DEFAULT if temperature is None else temperature,
        "top_p": members.number("top_p", 0.0, 1.0),
        "top_k": members.integer("top_k", 1, TOKENS_MAX_MAX),
        "min_p": members.number("min_p", 0.0, 1.0),
        "presence_penalty": members.number("presence_penalty", -limit, limit),
        "repetition_penalty": members.number("repetition_penalty", REPETITION_PENALTY_MIN, REPETITION_PENALTY_MAX),
        "logit_bias": _logit_bias(members),
        "stop": _stop(members),
    }
    members.only("frequency_penalty", (0, 0.0), "use presence_penalty or repetition_penalty")
    return {name: value for name, value in asked.items() if value is not None}


def read_seed(members: Parameters) -> int:
    """Read the seed; 0 where there is none, so that a request without one can be asked again, too."""
    return members.integer("seed", -SEED_MAX - 1, SEED_MAX) or 0


def read_choices(members: Parameters) -> int:
    """Read how many answers are asked for."""
    return members.integer("n", 1, CHOICES_MAX) or 1


def stream_key(seed: int, choice: int = 0) -> bytes:
    """Return what keys the chance of one answer. The first answer has that of `turnwise generate --seed`."""
    text = b"%d" % seed if choice == 0 else b"%d/%d" % (seed, choice)
    return blake2b(text, digest_size=STREAM_BYTES, person=_PERSON).digest()


def _stop(members: Parameters) -> list[str] | None:
    value = members.take("stop")
    if value is None:
        return None
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        refuse("stop must be text, or a list of texts that are not empty", "stop")
    if len(stops) > STOP_COUNT_MAX:
        refuse(f"stop has {len(stops)} entries, at most {STOP_COUNT_MAX} are allowed", "stop")
    return stops or None


def _logit_bias(members: Parameters) -> dict[str, float] | None:
    table = members.table("logit_bias")
    if not table:
        return None
    read = Parameters(table, "logit_bias")
    return {token: read.number(token, -LOGIT_BIAS_MAX, LOGIT_BIAS_MAX) or 0.0 for token in table}
