"""Replies of models that may answer otherwise when asked again: each is on disk before anything follows from it.

A round in progress is taken anew after a crash. What such models have answered in it is found then, so that turns come
to the same calls of tools again, and nothing is paid for twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from turnwise.core.events import Request
from turnwise.core.promise import promise_of
from turnwise.core.records import WaveRecord
from turnwise.errors import InvariantError, TurnwiseError
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.orchestrator.ahead import Ahead
from turnwise.orchestrator.driven import Effects, Replies
from turnwise.orchestrator.effects import Asker


def promising_nothing(models: Mapping[str, ModelInfo]) -> list[str]:
    """Return the models whose replies cannot be computed again."""
    return [name for name, info in models.items() if info.numeric and promise_of(info.numeric.numeric_class) == "none"]


class KeptReplies:
    """Stands between a driver and what answers effects with models, for some of these."""

    def __init__(self, asker: Asker, ahead: Ahead, models: Collection[str]) -> None:
        """`effects` is to be set before anything is asked."""
        self.effects: Effects | None = None
        self._asker = asker
        self._ahead = ahead
        self._models = frozenset(models)
        self._open: dict[int, Request] = {}
        self._writing: dict[int, asyncio.Task[None]] = {}

    @property
    def is_needed(self) -> bool:
        """True if there are models whose replies are kept."""
        return bool(self._models)

    # -- of the driver -------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[tuple[int, Request]]) -> None:
        """Ask for effects, but for those whose replies an earlier process has left."""
        asked = []
        found: list[tuple[int, str, tuple[int, ...] | None]] = []
        for id_, request in requests:
            if request.request.model not in self._models:
                asked.append((id_, request))
                continue
            try:
                row = self._ahead.found(request)
            except TurnwiseError as error:
                self._asker.on_failure(error)
                return
            if row is not None and row.outcome is not None:
                found.append((id_, row.outcome, row.tokens))
            else:
                self._open[id_] = request
                asked.append((id_, request))
        if self.effects is None:
            raise InvariantError("nothing answers effects")
        if asked:
            self.effects.submit(asked)
        if found:
            asyncio.get_running_loop().call_soon(self._asker.on_replies, found)

    def settled(self, round_: int, calling: Collection[int] = ()) -> None:
        """Take note that no turn can go on before an effect is answered; one may be about to be."""
        if self.effects is not None:
            about = [self._open[id_].place for id_ in self._writing]
            self.effects.settled(round_, [*calling, *about])

    # -- of models -----------------------------------------------------------------------------------------------

    def on_replies(self, replies: Replies) -> None:
        """Take answers to effects; those that are kept are handed on when they are on disk."""
        others = [reply for reply in replies if reply[0] not in self._open]
        for reply in replies:
            if reply[0] in self._open:
                self._writing[reply[0]] = asyncio.ensure_future(self._keep(*reply))
        if others:
            self._asker.on_replies(others)

    async def _keep(self, id_: int, reply: str, tokens: tuple[int, ...] | None) -> None:
        try:
            await self._ahead.note(self._open[id_], outcome=reply, tokens=tokens)
        except TurnwiseError as error:
            self._asker.on_failure(error)
            return
        del self._open[id_], self._writing[id_]
        self._asker.on_replies([(id_, reply, tokens)])

    def on_wave_begun(self) -> None:
        """Models are given effects to answer together."""
        self._asker.on_wave_begun()

    def on_wave(self, records: Sequence[WaveRecord], replies: Replies) -> None:
        """Models have answered effects together, which can be asked again."""
        self._asker.on_wave(records, replies)

    def on_failure(self, error: TurnwiseError) -> None:
        """A part cannot go on."""
        self._asker.on_failure(error)

    async def close(self) -> None:
        """Give up what is not on disk yet. Twice does no harm."""
        writing = list(self._writing.values())
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
