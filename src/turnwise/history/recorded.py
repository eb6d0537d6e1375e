"""Effects answered from a record: what was asked must be what was asked then, and the answer is what it was then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from turnwise.core.calling import CALL, asked_by_server, outcome_of, request_of
from turnwise.core.compare import Difference
from turnwise.core.envelope import MODEL_EFFECTS
from turnwise.core.events import Request
from turnwise.core.records import EffectRecord, QuestionRecord, RoundRecord
from turnwise.core.sampling import index_text, sampled_stages
from turnwise.errors import DifferenceFound
from turnwise.orchestrator.driven import Replies


class Departure(DifferenceFound):
    """A run has left the record."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference), expected=difference.expected, actual=difference.actual)
        self.difference = difference


class RecordedEffects:
    """Answers the effects of one round after another from the journal's records.

    `on_request` is told each request that the core hands to a model, with its record, `on_left` the number
    of each call that its turn parked with.
    """

    def __init__(
        self,
        on_replies: Callable[[Replies], None],
        on_departure: Callable[[Departure], None],
        name_of: Callable[[int], str],
        on_request: Callable[[Request, EffectRecord], None] | None = None,
        on_left: Callable[[int], None] | None = None,
    ) -> None:
        self._on_left = on_left
        self._on_request = on_request
        self._on_replies = on_replies
        self._on_departure = on_departure
        self._name_of = name_of
        self._round = 0
        self._effects: dict[tuple[int, int], EffectRecord] = {}
        self._questions: dict[tuple[int, int], QuestionRecord] = {}
        self._sampled: dict[tuple[int, int, int], str] = {}

    def expect(self, record: RoundRecord) -> None:
        """The round that is played next."""
        self._round = record.round
        self._effects = {(place, effect.index): effect for place, effect in record.effects()}
        self._questions = {(park.place, asked.index): asked for park in record.parks for asked in park.questions}
        self._sampled = {
            (part.place, *stage): outcome
            for part in record.parts
            for stage, outcome in sampled_stages(part.effects).items()
        }

    def settled(self, round_: int, calling: Collection[int] = ()) -> None:
        """Effects are answered when they are asked."""

    def submit(self, requests: Sequence[tuple[int, Request]]) -> None:
        replies: list[tuple[int, str, tuple[int, ...] | None]] = []
        left: list[int] = []
        for id_, action in requests:
            sampled = self._sampled.get((action.place, action.index, action.stage))
            if action.request.kind == CALL and sampled is not None:
                replies.append((id_, sampled, None))
                continue
            question = self._questions.get((action.place, action.index))
            if action.request.kind == CALL and question is not None:
                if question.kind == CALL and question.request == action.request.body:
                    left.append(id_)
                    continue
                if asked_by_server(question.request) and request_of(question.request) == action.request.body:
                    replies.append((id_, outcome_of(question.request), None))
                    continue
            effect = self._effects.get((action.place, action.index))
            if effect is None or effect.request != action.request.body:
                expected = "no more effects" if effect is None else effect.request
                what = f"effect {index_text(action.index)}: request"
                agent = self._name_of(action.place)
                self._on_departure(Departure(Difference(self._round, agent, what, expected, action.request.body)))
                return
            if self._on_request is not None and action.request.kind in MODEL_EFFECTS:
                self._on_request(action, effect)
            replies.append((id_, effect.reply, effect.tokens))
        if replies:
            self._on_replies(replies)
        for id_ in left:
            if self._on_left is not None:
                self._on_left(id_)
