"""A wave: requests to one model that run together from an empty state, with nothing else beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from turnwise.errors import InvariantError
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest


@dataclass(frozen=True, slots=True)
class Wave:
    """Requests to one model that run together.

    - `id`: unique among open waves
    - `model`: the name of a model that generates
    - `requests`: in the order in which they begin; their numbers rise
    - `plan`: to run it by, or to say why that is not possible; None: made from what the machine has room for
    """

    id: int
    model: str
    requests: tuple[GenerateRequest, ...]
    plan: BatchPlan | None = None

    def __post_init__(self) -> None:
        numbers = [request.id for request in self.requests]
        if not numbers or numbers != sorted(set(numbers)):
            raise InvariantError(f"the requests of wave {self.id} do not rise: {numbers[:8]}")


@dataclass(frozen=True, slots=True)
class WaveReply:
    """The answer to a wave.

    - `id`: of the wave
    - `plan`: by which it ran
    - `replies`: one for each of its requests, in their order
    - `problem`: the reason why the plan that was asked for is not possible here, and nothing ran; else None
    """

    id: int
    plan: BatchPlan
    replies: tuple[GenerateReply, ...]
    problem: str | None = None


class OpenWave:
    """A wave that runs. It is complete when each of its requests has a reply."""

    __slots__ = ("_replies", "plan", "wave")

    def __init__(self, wave: Wave, plan: BatchPlan) -> None:
        self.wave = wave
        self.plan = plan
        self._replies: dict[int, GenerateReply] = {}

    def take(self, replies: Iterable[GenerateReply]) -> None:
        self._replies.update({reply.id: reply for reply in replies})

    @property
    def complete(self) -> bool:
        return len(self._replies) == len(self.wave.requests)

    def reply(self) -> WaveReply:
        replies = tuple([self._replies[request.id] for request in self.wave.requests])
        return WaveReply(self.wave.id, self.plan, replies)
