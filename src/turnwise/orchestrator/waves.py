"""Waves: effects that must be answered together, since the bits of a model depend on what runs beside what.

They are held until no turn can go on without them, so that who is in a wave depends on the turns alone and not on how
fast anything is. Then the requests of all turns go to their models in order of place, and what comes back is given out
when all of it is there: only then does the next wave have a beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from operator import attrgetter
from typing import Protocol

from turnwise.core.events import Request
from turnwise.core.records import WaveRecord
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.generate_request import GenerateRequest
from turnwise.orchestrator.driven import Replies

OnWave = Callable[[Sequence[WaveRecord], Replies], None]
"""Told what ran together, and the replies by the ids that they were asked with."""


class WaveTaker(Protocol):
    """The inference host, or a share of one, as far as it takes waves."""

    def submit_wave(self, wave: Wave) -> None: ...


class Waves:
    """The effects of one round after another that are answered in waves."""

    def __init__(self, host: WaveTaker, on_wave: OnWave, on_begun: Callable[[], None]) -> None:
        self._host = host
        self._on_begun = on_begun
        self._on_wave = on_wave
        self._held: list[tuple[int, str, Request]] = []
        self._places: set[int] = set()
        self._running: dict[int, tuple[Wave, tuple[tuple[int, int], ...]]] = {}
        self._replies: list[WaveReply] = []
        self._records: list[WaveRecord] = []
        self._asked: dict[int, int] = {}
        self._round = 0
        self._number = 0
        self._id = 0

    def hold(self, id_: int, model: str, action: Request) -> None:
        """Keep an effect for the next wave of its model."""
        self._held.append((id_, model, action))
        self._places.add(action.place)

    def asked(self, number: int) -> int | None:
        """Return the id of the effect that a wave under way asks under a number; None if no wave does."""
        return self._asked.get(number) if self._running else None

    def settled(self, round_: int, others: Collection[int]) -> None:
        """Begin a wave if it may: no turn is being executed; the places `others` wait for effects outside of waves.

        The wave begins unless one of them could go on without it.
        """
        if self._held and not self._running and self._places.issuperset(others):
            self._begin(round_)

    def _begin(self, round_: int) -> None:
        """Send what is held. The host's numbers rise with place and index: the ids tell in what order effects came."""
        if round_ != self._round:
            self._round, self._number = round_, 0
        self._number += 1
        held = sorted(self._held, key=lambda item: (item[2].place, item[2].index))
        numbers = sorted(id_ for id_, _, _ in held)
        self._held, self._places = [], set()
        self._asked = {number: id_ for number, (id_, _, _) in zip(numbers, held, strict=True)}
        models: dict[str, list[tuple[int, Request]]] = {}
        for number, (_, model, action) in zip(numbers, held, strict=True):
            models.setdefault(model, []).append((number, action))
        for model, asked in models.items():
            self._id += 1
            requests = tuple(
                [GenerateRequest(number, model, of.request.body, of.stream, of.now_us) for number, of in asked]
            )
            places = tuple([(action.place, action.index) for _, action in asked])
            self._running[self._id] = Wave(self._id, model, requests), places
        self._on_begun()
        for wave, _ in list(self._running.values()):
            self._host.submit_wave(wave)

    def take(self, reply: WaveReply) -> None:
        """A model is done. When all are, everybody is answered."""
        wave, requests = self._running.pop(reply.id)
        self._records.append(WaveRecord(self._number, wave.model, requests, reply.plan.text()))
        self._replies.append(reply)
        if self._running:
            return
        records = sorted(self._records, key=attrgetter("model"))
        answers = [
            (self._asked[answer.id], answer.body, answer.tokens) for reply in self._replies for answer in reply.replies
        ]
        self._records, self._replies = [], []
        self._on_wave(records, answers)
