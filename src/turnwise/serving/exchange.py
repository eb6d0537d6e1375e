"""The interface of the paths that answer: a request that was read, and the two forms of its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from turnwise.inference.plans.model_info import ModelInfo
from turnwise.serving.dispatcher import Answers, MakeRequest


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of an answer, as the answer itself says.

    - `name`: of the answer, without the prefix of its kind
    - `created_s`: when it was asked for, seconds since 1970
    - `model`: that answers
    - `fingerprint`: see `catalogue.fingerprint`
    """

    name: str
    created_s: int
    model: ModelInfo
    fingerprint: str


class ApiExchange(Protocol):
    """A request that was read, with what is to be asked for it.

    - `model`: that answers
    - `requests`: for the engine
    - `streams`: whether the answer comes in events
    """

    @property
    def model(self) -> ModelInfo: ...

    @property
    def requests(self) -> Sequence[MakeRequest]: ...

    @property
    def streams(self) -> bool: ...

    async def whole(self, answers: Answers, origin: Origin) -> dict[str, Any]:
        """Wait for the answer, and return it as one object. Raises ApiError."""

    def events(self, answers: Answers, origin: Origin) -> AsyncIterator[tuple[str | None, Any]]:
        """Yield (name, data) of events as they come; None: without a name. Raises ApiError."""
