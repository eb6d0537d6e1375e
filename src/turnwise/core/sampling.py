"""Sampling: what the server of a tool asks of models in the middle of a call, and what they answer.

The outcome of a call may be ``{"sample": {"requests": […], "state": …}}``. Then the models that the world grants to the
server are asked, and the call is made again with their answers and that state. All of it happens within the turn that
called, and is recorded with its effects: the outcome as an effect of the kind `sampling`, without the state, of which
nothing follows for the run; each request as one of the kind `generate`.
The numbers of these nested effects follow from that of the call, so they do not depend on which of several calls comes
first: the first of the call number 3 is 1 · `NESTED_FROM` + 3, the second 2 · `NESTED_FROM` + 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.envelope import error_reply
from turnwise.core.json_text import decode
from turnwise.core.records import EffectRecord
from turnwise.core.tool_plan import SamplingPlan, ToolServerPlan
from turnwise.core.turn import EffectRequest
from turnwise.core.withheld import Withheld
from turnwise.errors import JournalError

SAMPLING: Final = "sampling"
"""Kind of the effect that records what a server asks of models."""

NESTED_FROM: Final = 2**20
"""Number from which on effects are nested in calls; a turn asks for fewer itself."""

BYTES_OF_REPLIES: Final = 4
"""Replies' bytes (`reply_kib`) that all requests to models, and their answers, may take within one call."""

_SAMPLES: Final = '{"sample":'
_MEMBERS: Final = ("messages", "system", "tokens_max", "temperature", "stop")
"""Members of a request to a model that a server determines."""


def samples(outcome: str) -> bool:
    """Return whether the outcome of a call is that its server asks models."""
    return outcome.startswith(_SAMPLES)


def is_nested(index: int) -> bool:
    """Return whether the effect of this number is nested in a call."""
    return index >= NESTED_FROM


def call_of_nested(index: int) -> int:
    """Return the number of the call that a nested effect belongs to."""
    return index % NESTED_FROM


def index_text(index: int) -> str:
    """Return the number of an effect as people read it: `3`, or `3.1` for the first that is nested in number 3."""
    return f"{index % NESTED_FROM}.{index // NESTED_FROM}" if is_nested(index) else str(index)


def nested_in(effects: Iterable[EffectRecord], call: int) -> list[EffectRecord]:
    """Return the effects that are nested in a call, in order."""
    found = [effect for effect in effects if is_nested(effect.index) and call_of_nested(effect.index) == call]
    return sorted(found, key=lambda effect: effect.index)


def stages_of(effects: Iterable[EffectRecord], call: int) -> int:
    """Return how often the server of a call has asked models."""
    return sum(effect.kind == SAMPLING for effect in nested_in(effects, call))


def sampled_stages(effects: Iterable[EffectRecord]) -> dict[tuple[int, int], str]:
    """Return the outcomes by which servers have asked models, by the number of their call and of its stage.

    Raises `JournalError` for what is recorded as one and is none.
    """
    found = {}
    for effect in effects:
        if effect.kind == SAMPLING and is_nested(effect.index) and type(effect.request) is not Withheld:
            stage = decode(effect.request)
            if not isinstance(stage, dict) or type(stage.get("stage")) is not int:
                raise JournalError(
                    "what is recorded of a server that asks models is of another form",
                    actual=effect.request,
                    hint="The journal has been damaged or changed after it was written.",
                )
            found[call_of_nested(effect.index), stage["stage"]] = effect.reply
    return found


@dataclass(frozen=True, slots=True)
class _Sample:
    """One request of a server to a model."""

    key: str
    """Name by which the server knows the answer."""
    hints: tuple[str, ...]
    """Parts of names of models that it would like, the best first."""
    members: dict[str, Any]
    """Members of the request."""

    def request(self, sampling: SamplingPlan) -> EffectRequest:
        """Return the request to one of the models that the server is granted."""
        model = model_for(sampling.models, self.hints)
        tokens_max = min(self.members.get("tokens_max", sampling.tokens_max), sampling.tokens_max)
        body = {**self.members, "effect": "generate", "model": model, "tokens_max": tokens_max}
        return EffectRequest("generate", model, canonical(body))


def model_for(models: Sequence[str], hints: Sequence[str]) -> str:
    """Return the first model whose name has the first hint in it that any has; the first model where none has."""
    for hint in hints:
        for model in models:
            if hint and hint.casefold() in model.casefold():
                return model
    return models[0]


def _asked(outcome: str) -> tuple[list[_Sample], str]:
    """Read an outcome. Raises `JournalError` for what is none."""
    try:
        asked = decode(outcome)["sample"]
        found = [_sample(request) for request in asked["requests"]]
        state = asked.get("state", "")
        if type(state) is not str or not found or len({sample.key for sample in found}) < len(found):
            raise ValueError
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise JournalError(
            "the outcome of a call is none",
            actual=outcome,
            hint="The journal has been damaged or changed after it was written.",
        ) from error
    return found, state


def _sample(asked: Any) -> _Sample:
    members, hints = asked["request"], asked["hints"]
    if type(asked["key"]) is not str or not isinstance(members, dict) or any(type(hint) is not str for hint in hints):
        raise ValueError
    if members.keys() - {*_MEMBERS} or type(members.get("tokens_max", 1)) is not int:
        raise ValueError
    return _Sample(asked["key"], tuple(hints), members)


class CallSampling:
    """All that the server of one call asks of models, over the rounds of its turn."""

    __slots__ = ("_before", "_call", "_effects", "_keys", "_open", "_server", "_spent", "_state")

    def __init__(self, call: int, server: ToolServerPlan, before: Iterable[EffectRecord]) -> None:
        """`call` is the number of the call's effect; `before` what earlier rounds have recorded of its turn."""
        self._call = call
        self._server = server
        self._before = nested_in(before, call)
        self._effects: list[EffectRecord] = []
        self._open: dict[int, EffectRecord] = {}
        self._keys: dict[int, str] = {}
        self._state = ""
        self._spent = sum(_size(effect) for effect in self._before)

    @property
    def effects(self) -> list[EffectRecord]:
        """Nested effects of this round, in order."""
        return self._effects

    @property
    def stages(self) -> int:
        """The number of times that the server has asked in this round."""
        return sum(effect.kind == SAMPLING for effect in self._effects)

    @property
    def is_open(self) -> bool:
        """True while a model has not answered."""
        return bool(self._open)

    def begin(self, body: str, outcome: str, stage: int) -> list[tuple[int, EffectRequest]] | str:
        """Take an outcome; return the requests to models by their numbers, or the reply to a call that ends here.

        `body` is the call's own request, `stage` the number of the stage that came to this.
        """
        asked, self._state = _asked(outcome)
        granted, name = self._server.sampling, self._server.name
        if granted is None:
            return _ended(f"its server asks a model, and is granted none (sampling of tools.{name})")
        so_far = sum(effect.kind != SAMPLING for effect in (*self._before, *self._effects))
        if so_far + len(asked) > granted.requests_max:
            return _ended(
                f"its server has asked models more than {granted.requests_max} times within this call "
                f"(sampling.requests_max of tools.{name})"
            )
        first = len(self._before) + len(self._effects) + 1
        recorded = canonical({"sample": {"requests": decode(outcome)["sample"]["requests"]}})
        found = [
            EffectRecord(self._number(first), SAMPLING, None, stage_request(body, stage), recorded),
            *[
                EffectRecord(self._number(nr), "generate", request.model, request.body, "")
                for nr, request in enumerate([sample.request(granted) for sample in asked], first + 1)
            ],
        ]
        size = sum(_size(effect) for effect in found)
        if self._spent + size > self._bytes_max:
            return _ended(f"what its server asks of models takes more than {self._bytes_max:,} bytes within this call")
        self._spent += size
        self._effects += found
        self._open = {effect.index: effect for effect in found[1:]}
        self._keys = {effect.index: sample.key for effect, sample in zip(found[1:], asked, strict=True)}
        return [(effect.index, EffectRequest("generate", effect.model, effect.request)) for effect in found[1:]]

    def answer(self, index: int, reply: str, tokens: tuple[int, ...] | None) -> bool:
        """Take the reply of a model; return False if nobody has asked. With the last one, `is_open` is False."""
        effect = self._open.pop(index, None)
        if effect is None:
            return False
        place = self._effects.index(effect)
        self._effects[place] = replace(effect, reply=reply, tokens=tokens)
        if not self._open:
            self._fit()
        return True

    def _fit(self) -> None:
        """Replace the replies of the last stage that do not fit, in their order and not in that in which they came."""
        last = max(place for place, effect in enumerate(self._effects) if effect.kind == SAMPLING)
        for place in range(last + 1, len(self._effects)):
            effect = self._effects[place]
            size = len(effect.reply.encode())
            if self._spent + size > self._bytes_max:
                said = f"the answers of models take more than {self._bytes_max:,} bytes within this call (reply_kib)"
                effect = self._effects[place] = replace(effect, reply=error_reply("refused", said), tokens=None)
                size = len(effect.reply.encode())
            self._spent += size

    def answers(self) -> str:
        """Return what the call goes on with when all have answered, as canonical JSON text."""
        answers = {
            self._keys[effect.index]: {**decode(effect.reply), "model": effect.model}
            for effect in self._effects
            if effect.index in self._keys
        }
        return canonical({"answers": answers, "state": self._state})

    def _number(self, nr: int) -> int:
        return nr * NESTED_FROM + self._call

    @property
    def _bytes_max(self) -> int:
        return sampling_bytes_max(self._server)


def sampling_bytes_max(server: ToolServerPlan) -> int:
    """Return the bytes that a call of a server may have models asked and answer; 0 where it is granted none."""
    return BYTES_OF_REPLIES * server.reply_bytes_max if server.sampling is not None else 0


def stage_request(body: str, stage: int) -> str:
    """Return the request of the effect that records an outcome: the call's own, and the number of the stage."""
    return canonical({"call": decode(body), "stage": stage})


def _ended(message: str) -> str:
    return error_reply("tool", message)


def _size(effect: EffectRecord) -> int:
    return len(effect.request.encode()) + len(effect.reply.encode())
