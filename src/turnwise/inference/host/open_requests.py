"""Requests and waves that are not answered yet, and the models that answer them.

Answers go on to callbacks. A new process is sent everything that is open, and must have the models that the first had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from turnwise.confine import Measure
from turnwise.errors import EnvironmentFailure, InvariantError, ModelError, TurnwiseError
from turnwise.inference import protocol
from turnwise.inference.host.supervisor import SendMessage
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.protocol import (
    CheckBatch,
    Confined,
    FromProcess,
    Heartbeat,
    MessageKind,
    OpenRequest,
    Pieces,
    ReplyBatch,
    WaveParts,
    WaveReplyPart,
)
from turnwise.inference.requests.check_request import CheckReply
from turnwise.inference.requests.generate_request import GenerateReply, RunningText, TextPiece
from turnwise.inference.requests.infer_request import reply_body
from turnwise.inference.requests.parcels import unpack
from turnwise.sharedmem import PeerBroken


class OpenRequests:
    """The `Client` of the supervisor. The callbacks are those of `InferenceHost`.

    - `models`: by name; they are what the first process loaded
    - `measures`: the rights that the process said it has given up
    - `progress`: what the process that is there said last
    - `texts`: the ends of texts that it was generating when it told of them last; their requests may be answered
    - `waves`: those that are open, by number
    """

    def __init__(
        self,
        on_replies: Callable[[list[GenerateReply]], None],
        on_failure: Callable[[TurnwiseError], None],
        on_wave: Callable[[WaveReply], None],
        on_checks: Callable[[list[CheckReply]], None],
        on_pieces: Callable[[list[TextPiece]], None],
    ) -> None:
        self.models: dict[str, ModelInfo] = {}
        self.measures: tuple[Measure, ...] = ()
        self.progress = Heartbeat()
        self.texts: tuple[RunningText, ...] = ()
        self._ended = Heartbeat()
        self._on_replies = on_replies
        self._on_failure = on_failure
        self._on_wave = on_wave
        self._on_checks = on_checks
        self._on_pieces = on_pieces
        self._told: dict[int, int] = {}
        self._requests: dict[int, OpenRequest] = {}
        self.waves: dict[int, Wave] = {}
        self._wave_parts = WaveParts()

    def __len__(self) -> int:
        """Requests that are not answered, those of waves included."""
        return len(self._requests) + sum(len(wave.requests) for wave in self.waves.values())

    def __contains__(self, number: int) -> bool:
        """Return True if a request of this number is open, outside waves."""
        return number in self._requests

    def add(self, number: int, request: OpenRequest) -> None:
        """Wait for an answer to this request. `number` is not open."""
        self._requests[number] = request

    def add_wave(self, wave: Wave) -> None:
        """Wait for an answer to this wave. Raises InvariantError if it is open already."""
        if wave.id in self.waves:
            raise InvariantError(f"wave {wave.id} is open already")
        self.waves[wave.id] = wave

    def drop(self, numbers: Iterable[int]) -> list[int]:
        """Stop waiting for these requests; returns those that were open."""
        return [number for number in numbers if self._pop(number)]

    @property
    def counts(self) -> Heartbeat:
        """Counts of this process and those before it, without `running` and `waiting`."""
        before, now = self._ended, self.progress
        return Heartbeat(
            tokens=before.tokens + now.tokens,
            prompt_tokens=before.prompt_tokens + now.prompt_tokens,
            reused_tokens=before.reused_tokens + now.reused_tokens,
            steps=before.steps + now.steps,
            step_rows=before.step_rows + now.step_rows,
        )

    @property
    def has_work(self) -> bool:
        return bool(self._requests or self.waves)

    def process_loaded(self, models: Sequence[ModelInfo], send: SendMessage) -> None:
        for info in models:
            _check_equal(self.models.setdefault(info.name, info), info)
        for kind, parts in protocol.request_messages(list(self._requests.values())):
            send(kind, parts)
        self._wave_parts = WaveParts()
        for wave in self.waves.values():
            send_wave(wave, send)

    def process_ended(self) -> None:
        self._ended, self.progress, self.texts = self.counts, Heartbeat(), ()

    def failed(self, error: TurnwiseError) -> None:
        self._on_failure(error)

    def take(self, message: FromProcess) -> bool:
        if isinstance(message, ReplyBatch):
            self._answer(message.replies)
        elif isinstance(message, CheckBatch):
            self._on_checks([reply for reply in message.replies if self._pop(reply.id)])
        elif isinstance(message, WaveReplyPart):
            self._take_wave(message)
        elif isinstance(message, Pieces):
            self._tell(message.pieces)
        elif isinstance(message, Heartbeat):
            self.progress = message
            if message.texts is not None:
                self.texts = message.texts
        elif isinstance(message, Confined):
            self.measures = message.measures
        return isinstance(message, ReplyBatch | CheckBatch | WaveReplyPart)

    def take_tensors(self, body: bytes) -> None:
        self._answer([GenerateReply(parcel.id, reply_body(parcel)) for parcel in unpack(body) if parcel.id in self])

    def _answer(self, replies: Iterable[GenerateReply]) -> None:
        """Give out replies to what is open; a request may have been dropped while its answer was on the way."""
        wanted = [reply for reply in replies if self._pop(reply.id)]
        if wanted:
            self._on_replies(wanted)

    def _pop(self, number: int) -> bool:
        """Stop waiting for a request; returns whether it was open."""
        self._told.pop(number, None)
        return self._requests.pop(number, None) is not None

    def _tell(self, pieces: Iterable[TextPiece]) -> None:
        """Give out pieces that were not yet: a request that runs again begins with those that were. Raises PeerBroken.

        Of a request that has been dropped, a piece may still have been on the way.
        """
        new = []
        for piece in pieces:
            told = self._told.get(piece.id, 0)
            if piece.id not in self._requests or piece.number < told:
                continue
            if piece.number > told:
                raise PeerBroken("a piece of text is missing", expected=told, actual=piece.number)
            self._told[piece.id] = told + 1
            new.append(piece)
        if new:
            self._on_pieces(new)

    def _take_wave(self, part: WaveReplyPart) -> None:
        reply = self._wave_parts.reply(part)
        wave = self.waves.get(reply.id) if reply is not None else None
        if reply is None or wave is None:
            return
        if reply.problem is not None:
            raise EnvironmentFailure(
                f"the batch plan of a wave cannot be issued here: {reply.problem}",
                where=f"models.{wave.model}",
                expected=reply.plan.text(),
                hint="The same bits need the same plan: use a machine like the one that made it.",
            )
        answered, asked = [answer.id for answer in reply.replies], [request.id for request in wave.requests]
        if answered != asked:
            raise PeerBroken("an answer to a wave is not one of its requests each", expected=asked, actual=answered)
        del self.waves[wave.id]
        self._on_wave(reply)


def send_wave(wave: Wave, send: SendMessage) -> None:
    for part in protocol.wave_messages(wave):
        send(MessageKind.MESSAGE, [protocol.encode(part)])


def _check_equal(known: ModelInfo, info: ModelInfo) -> None:
    """Check that a later process runs a model as the first did. Raises ModelError or EnvironmentFailure."""
    if known.sha256 != info.sha256:
        raise ModelError(
            "the model's files have changed since the run began",
            where=f"models.{info.name}",
            expected=known.sha256,
            actual=info.sha256,
            hint="Put the files back and resume, or start a new run.",
        )
    if known != info:
        raise EnvironmentFailure(
            "the model would not run as it did when the run began, so its bits could differ",
            where=f"models.{info.name}",
            expected=known,
            actual=info,
            hint=f"It began on {known.provider} and would go on on {info.provider}: see turnwise doctor.",
        )
