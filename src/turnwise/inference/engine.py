"""Serves requests to one model: schedule, run, postprocess, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.load import LoadedModel
from turnwise.inference.request import GenerateReply, GenerateRequest, Refusal, error_body
from turnwise.inference.runtime import RUNTIME_ERRORS, is_kernel_refusal
from turnwise.inference.scheduler import Decode, Prefill, Scheduler, Work
from turnwise.inference.sequence import Sequence, prepare

RUNNING_MAX = 1
"""Sequences that run at once: the decoder has the KV cache of one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that was generated for a request, as soon as it is known. The pieces together are the reply's text."""

    id: int
    text: str


Event = Piece | GenerateReply


@dataclass(slots=True)
class EngineStatistics:
    """Telemetry: differs between equal runs where requests ran again."""

    tokens: int = 0
    prompt_tokens: int = 0
    running: int = 0
    waiting: int = 0


class Engine:
    """Takes many requests, answers each once. Not thread-safe; `step` never waits for anything but the model."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._decoder = model.decoder
        self._scheduler = Scheduler(running_max=RUNNING_MAX, chunk_tokens=model.decoder.chunk_tokens)
        self._sequences: dict[int, Sequence] = {}
        self._refused: list[GenerateReply] = []
        self._tokens = 0
        self._prompt_tokens = 0

    @property
    def pending(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._sequences or self._refused)

    def submit(self, request: GenerateRequest) -> None:
        """Take a request. One that is wrong is answered by the next `step`."""
        if request.id in self._sequences:
            raise InvariantError(f"request {request.id} is open already")
        model = self._model
        try:
            sequence = prepare(
                request,
                model.tokenizer,
                model.template,
                ends=model.ends,
                context_length=model.info.context_length,
            )
        except Refusal as refusal:
            self._refused.append(GenerateReply(request.id, error_body(refusal.kind, refusal.message)))
            return
        self._sequences[request.id] = sequence
        self._scheduler.add(request.id, len(sequence.prompt))

    def cancel(self, number: int) -> None:
        """Drop a request, which is then not answered. One that is not open (any more) is none of our business."""
        if self._sequences.pop(number, None) is not None:
            self._scheduler.remove(number)

    def step(self) -> list[Event]:
        """One run of the graph, and what came of it."""
        events: list[Event] = list(self._refused)
        self._refused.clear()
        work = self._scheduler.next()
        if work is not None:
            events += self._postprocess(work, self._run(work))
        return events

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(self._tokens, self._prompt_tokens, self._scheduler.running, self._scheduler.waiting)

    def _run(self, work: Work) -> NDArray[Any] | Refusal:
        """Logits of the last position of what was run."""
        try:
            if isinstance(work, Decode):
                (number,) = work.numbers
                return self._decoder.run([self._sequences[number].last])
            sequence = self._sequences[work.number]
            if work.start == 0:
                self._decoder.begin(sequence.capacity)
            self._prompt_tokens += work.stop - work.start
            return self._decoder.run(sequence.prompt[work.start : work.stop])
        except RUNTIME_ERRORS as error:
            # What the graph does not take it will never take: that is an answer. Everything else (memory, device) is
            # the machine's failure: the process ends and the requests run again.
            if not is_kernel_refusal(error):
                raise
            return Refusal("refused", "the model's graph cannot process these tokens")

    def _postprocess(self, work: Work, logits: NDArray[Any] | Refusal) -> Iterator[Event]:
        if isinstance(work, Prefill) and not work.last and not isinstance(logits, Refusal):
            return
        number = work.number if isinstance(work, Prefill) else work.numbers[0]
        sequence = self._sequences[number]
        try:
            if isinstance(logits, Refusal):
                raise logits
            piece = sequence.accept(logits)
        except Refusal as refusal:
            yield self._finish(number, error_body(refusal.kind, refusal.message))
            return
        self._tokens += 1
        if piece:
            yield Piece(number, piece)
        if sequence.finish is not None:
            yield self._finish(number, sequence.reply_body())

    def _finish(self, number: int, body: str) -> GenerateReply:
        del self._sequences[number]
        self._scheduler.remove(number)
        return GenerateReply(number, body)
