"""Serves requests to one model: schedule, run, postprocess, again and again.

Sequences join and leave between the runs of the graph. The bits of an answer do not depend on who else runs, on when
they joined, or on what was prefilled before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.decoding.decoder import NEIGHBOURS_MAX
from turnwise.inference.engine.checked_sequence import CheckedSequence, begin_check
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.prefix_index import PROMPTS_MAX, PrefixIndex
from turnwise.inference.engine.rows import KvRows
from turnwise.inference.engine.scheduler import BeginSequence, DecodeStep, ExtendSequence, PrefillChunk, Scheduler
from turnwise.inference.engine.sequence import Sequence, prepare
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, is_kernel_refusal
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.batching import is_equal
from turnwise.inference.requests.check_request import AnswerDeparture, CheckReply, CheckRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, RunningText, TextPiece
from turnwise.inference.requests.refusal import Refusal, error_body
from turnwise.inference.sampling.choices import TokenChoice, make_choices
from turnwise.inference.sampling.choose import UnusableLogits

EngineEvent = TextPiece | GenerateReply | CheckReply


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """Telemetry: differs between equal runs.

    - `tokens`: generated
    - `prompt_tokens`: of prompts, prefilled
    - `reused_tokens`: of prompts, taken from the cache
    - `steps`: of decoding
    - `step_rows`: rows of all steps together
    - `running`, `waiting`: sequences, now
    - `cached_blocks`: blocks that hold prompts that were prefilled before
    - `extensions`: runs of several tokens that a grammar forces
    - `slots`: sequences that can run at once
    - `kv_bytes`: memory of the positions that running sequences have filled
    """

    tokens: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    steps: int = 0
    step_rows: int = 0
    running: int = 0
    waiting: int = 0
    cached_blocks: int = 0
    extensions: int = 0
    slots: int = 0
    kv_bytes: int = 0


class Engine:
    """Takes many requests, answers each once. Not thread-safe; `step` never waits for anything but the model."""

    def __init__(self, model: LanguageModel, plan: BatchPlan | None = None, *, wave: bool = False) -> None:
        """Empties the model's decoder. `plan` None: the machine's. `wave`: it runs the requests of one wave."""
        self._model = model
        self._decoder = model.decoder
        self._plan = plan = plan or model.machine_plan
        self._decoder.reset(plan.positions_max)
        self._scheduler = Scheduler(
            rows_max=plan.rows_max,
            rows_spare=max(plan.rows_spare, self._decoder.budget.rows_spare),
            positions_max=plan.positions_max,
            room_max=plan.context_length,
            chunk_tokens=plan.chunk_tokens,
            prefill_tokens_max=plan.prefill_tokens_max,
            equal=is_equal(plan.batching),
        )
        self._rows = KvRows()
        self._prefixes = PrefixIndex(plan.blocks, None if wave else PROMPTS_MAX)
        self._sequences: dict[int, Sequence] = {}
        self._checked: dict[int, CheckedSequence] = {}
        self._answers: list[EngineEvent] = []
        self._tokens = self._prompt_tokens = self._reused_tokens = self._steps = self._step_rows = self._extensions = 0

    @property
    def pending(self) -> bool:
        """True if `step` has something to do."""
        return bool(self._sequences or self._checked or self._answers)

    @property
    def lengths(self) -> list[tuple[int, int]]:
        """(prompt tokens, positions at most) of the sequences that are open."""
        return [(len(sequence.prompt), self._decoder.room(sequence.capacity)) for sequence in self._sequences.values()]

    def submit(self, request: GenerateRequest) -> None:
        """Take a request. One that is wrong, or needs no model, is answered by the next `step`."""
        if request.id in self._sequences:
            raise InvariantError(f"request {request.id} is open already")
        model = self._model
        try:
            sequence = prepare(
                request,
                model.tokenizer,
                model.template,
                model.grammars,
                ends=model.ends,
                context_length=self._plan.context_length,
                pieces=self._decoder.chunk_tokens is not None,
                form=model.info.tools,
            )
            piece = sequence.begin()
        except Refusal as refusal:
            self._answers.append(GenerateReply(request.id, error_body(refusal.kind, refusal.message)))
            return
        self._tokens += sequence.tokens
        if piece:
            self._answers.append(sequence.piece(piece))
        if (body := sequence.reply_body()) is not None:
            self._answers.append(GenerateReply(request.id, body, tuple(sequence.taken)))
            return
        self._sequences[request.id] = sequence
        self._scheduler.add(request.id, len(sequence.prompt), self._decoder.room(sequence.capacity))

    def check(self, check: CheckRequest) -> None:
        """Take a recorded answer, to hold it against the model."""
        model = self._model
        begun = begin_check(
            check,
            model.margin,
            self._plan.context_length,
            tokenizer=model.tokenizer,
            template=model.template,
            grammars=model.grammars,
            ends=model.ends,
            form=model.info.tools,
        )
        if isinstance(begun, CheckReply):
            self._answers.append(begun)
            return
        self._checked[check.id] = begun
        self._scheduler.add(check.id, len(begun.prompt), self._decoder.room(begun.capacity))

    def cancel(self, number: int) -> None:
        """Drop a request, which is then not answered; one that is not open is ignored."""
        self._answers = [answer for answer in self._answers if answer.id != number]
        if number in self._sequences or number in self._checked:
            self._remove(number)

    def step(self) -> list[EngineEvent]:
        """Run the graph once; returns what came of it."""
        events, self._answers = self._answers, []
        work = self._scheduler.next()
        while isinstance(work, BeginSequence):
            self._begin(work)
            work = self._scheduler.next()
        if isinstance(work, PrefillChunk):
            events += self._hold(work) if work.number in self._checked else self._prefill(work)
        elif isinstance(work, ExtendSequence):
            events += self._extend(work)
        elif work is not None:
            events += self._decode(work)
        return events

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(
            tokens=self._tokens,
            prompt_tokens=self._prompt_tokens,
            reused_tokens=self._reused_tokens,
            steps=self._steps,
            step_rows=self._step_rows,
            running=self._scheduler.running,
            waiting=self._scheduler.waiting,
            cached_blocks=len(self._prefixes),
            extensions=self._extensions,
            slots=self._plan.rows_max,
            kv_bytes=self._decoder.kv.bytes_per_token * sum(self._filled(number) for number in self._rows.numbers),
        )

    def running_texts(self, count_max: int, chars_max: int) -> list[RunningText]:
        """Return the ends of texts that are being generated, in the order of their requests."""
        running = sorted(number for number in self._rows.numbers if number in self._sequences)
        return [self._sequences[number].running_text(chars_max) for number in running[:count_max]]

    def _filled(self, number: int) -> int:
        sequence = self._sequences.get(number)
        return 0 if sequence is None else len(sequence.prompt) + sequence.tokens

    def _begin(self, work: BeginSequence) -> None:
        """Give the sequence a row, with as much of its prompt in it as was prefilled before."""
        checked = self._checked.get(work.number)
        prompt = self._sequences[work.number].prompt if checked is None else checked.prompt
        known = 2 if checked is None else max(2, checked.wanted)
        row = self._rows.enter(work.number)
        self._decoder.clear(row)
        self._decoder.reserve(len(self._rows), work.room)
        # A step of one token uses other arithmetic than prefill, so at least two tokens are left for prefill.
        spans = self._prefixes.find(prompt, len(prompt) - known, self._decoder.prompts.width(len(prompt)))
        self._decoder.give_back(self._prefixes.dropped())
        reused = self._decoder.prompts.reusable(spans[-1].start + spans[-1].count) if spans else 0
        if reused:
            self._decoder.restore(row, [span for span in spans if span.start < reused])
            self._scheduler.reused(work.number, reused)
            self._reused_tokens += reused

    def _prefill(self, work: PrefillChunk) -> Iterator[EngineEvent]:
        sequence = self._sequences[work.number]
        row = self._rows.row(work.number)
        try:
            logits = self._decoder.prefill(row, sequence.prompt[work.start : work.stop], len(sequence.prompt))
        except RUNTIME_ERRORS as error:
            yield self._refuse(work.number, _graph_refuses(error))
            return
        self._prompt_tokens += work.stop - work.start
        if work.last or self._decoder.keeps_pieces:
            self._keep(row, sequence.prompt, work.stop)
        if not work.last:
            return
        self._rows.ready(work.number)
        yield from self._accept(work.number, logits)

    def _keep(self, row: int, prompt: list[int], stop: int) -> None:
        """Keep a prompt of which the first `stop` tokens were prefilled, for others that begin with it."""
        kept = prompt[: min(stop, self._decoder.prompts.keepable(len(prompt)))]
        width, held_from = self._decoder.prompts.width(len(prompt)), self._decoder.held_from(row)
        if spans := self._prefixes.insert(kept, width, held_from):
            self._decoder.keep(row, spans)

    def _keep_answer(self, sequence: Sequence) -> None:
        """Keep prompt and answer, for a conversation that goes on, where what steps wrote may be reused."""
        if self._decoder.keeps_answers:
            row = self._rows.row(sequence.id)
            tokens = sequence.run_tokens[: self._decoder.held(row)]
            self._keep(row, tokens, len(tokens))

    def _hold(self, work: PrefillChunk) -> Iterator[EngineEvent]:
        """Run a piece of a prompt and a recorded answer, and hold the answer against the logits."""
        checked = self._checked[work.number]
        row = self._rows.row(work.number)
        try:
            self._run_checked(checked, row, work)
        except RUNTIME_ERRORS as error:
            refusal = _graph_refuses(error)
            self._remove(work.number)
            yield CheckReply(work.number, 0, (), self._model.margin, AnswerDeparture(refusal.message))
            return
        self._prompt_tokens += work.stop - work.start
        if checked.reply is not None:
            if work.last and checked.reply.departure is None:
                self._keep(row, checked.prompt, len(checked.prompt))
            self._remove(work.number)
            yield checked.reply
            return
        if work.last:
            raise InvariantError("a checked answer has run, and has no result")

    def _run_checked(self, checked: CheckedSequence, row: int, work: PrefillChunk) -> None:
        """Run a chunk in pieces of few wanted positions; where prompts run whole only, from the start for each."""
        decoder, prompt, whole = self._decoder, checked.prompt, len(checked.prompt)
        first = max(work.start, whole - checked.wanted)
        pieces = decoder.chunk_tokens is not None
        at = work.start
        if pieces and at < first:
            stop = min(first, work.stop)
            decoder.prefill(row, prompt[at:stop], whole)
            at = stop
        for start in range(first, work.stop, NEIGHBOURS_MAX):
            stop = min(start + NEIGHBOURS_MAX, work.stop)
            if not pieces:
                decoder.clear(row)
                at = 0
            for logits in decoder.prefill_neighbours(row, prompt[at:stop], stop - start, whole):
                checked.accept(logits)
            at = stop
            if checked.reply is not None:
                return

    def _extend(self, work: ExtendSequence) -> Iterator[EngineEvent]:
        """Run the tokens of one sequence that a grammar has forced, as a piece of a prompt is run."""
        try:
            logits = self._decoder.prefill(self._rows.row(work.number), self._sequences[work.number].next)
        except RUNTIME_ERRORS as error:
            yield self._refuse(work.number, _graph_refuses(error))
            return
        self._extensions += 1
        yield from self._accept(work.number, logits)

    def _decode(self, work: DecodeStep) -> Iterator[EngineEvent]:
        """Run one token of each of these sequences; what came of it, in the order of their numbers."""
        # In place, a batch is a range of rows, without gaps; else those that take no part are left out.
        numbers = work.numbers if is_equal(self._plan.batching) else self._rows.decoding
        idle = set(numbers).difference(work.numbers)
        places = [self._rows.row(number) for number in numbers]
        tokens = [self._sequences[number].next[0] for number in numbers]
        rows: Iterable[NDArray[Any] | Refusal]
        try:
            rows = self._decoder.decode(tokens, places)
        except RUNTIME_ERRORS as error:
            refusal = _graph_refuses(error)
            # The graph says only that it does not take the batch. Whom it takes alone gets the same bits alone.
            rows = [refusal] if len(numbers) == 1 else [self._alone(*pair) for pair in zip(places, tokens, strict=True)]
        self._steps += 1
        self._step_rows += len(work.numbers)
        found = list(zip(numbers, rows, strict=True))
        for row, (number, logits) in zip(places, found, strict=True):
            if number in idle and not isinstance(logits, Refusal):  # a batch has no gaps, so it took part for nothing
                self._decoder.retract(row)
        wanted = {number: logits for number, logits in sorted(found, key=itemgetter(0)) if number not in idle}
        chosen = self._choose(wanted)
        for number, logits in wanted.items():
            if isinstance(logits, Refusal):
                yield self._refuse(number, logits)
            elif isinstance(choice := chosen.get(number), Refusal):
                yield self._refuse(number, choice)
            else:
                yield from self._accept(number, logits, choice)

    def _choose(self, rows: Mapping[int, NDArray[Any] | Refusal]) -> dict[int, int | UnusableLogits | Refusal]:
        """Choose the tokens of a step, by sequence; of one whose token is forced there is none."""
        found: dict[int, int | UnusableLogits | Refusal] = {}
        choices: dict[int, TokenChoice] = {}
        for number, logits in rows.items():
            if isinstance(logits, Refusal):
                continue
            try:
                choice = self._sequences[number].choice(logits)
            except Refusal as refusal:
                found[number] = refusal
            else:
                if choice is not None:
                    choices[number] = choice
        made = make_choices(list(choices.values()), self._model.info.threads)
        return found | dict(zip(choices, made, strict=True))

    def _alone(self, row: int, token: int) -> NDArray[Any] | Refusal:
        try:
            logits: NDArray[Any] = self._decoder.decode([token], [row])[0].copy()
        except RUNTIME_ERRORS as error:
            return _graph_refuses(error)
        return logits

    def _accept(
        self, number: int, logits: NDArray[Any], chosen: int | UnusableLogits | None = None
    ) -> Iterator[EngineEvent]:
        sequence = self._sequences[number]
        before = sequence.tokens
        try:
            piece = sequence.accept(logits, chosen)
        except Refusal as refusal:
            yield self._refuse(number, refusal)
            return
        self._tokens += sequence.tokens - before
        if piece:
            yield sequence.piece(piece)
        if (body := sequence.reply_body()) is not None:
            self._keep_answer(sequence)
            self._remove(number)
            yield GenerateReply(number, body, tuple(sequence.taken))
        elif len(sequence.next) > 1:
            self._scheduler.extend(number, len(sequence.next))

    def _refuse(self, number: int, refusal: Refusal) -> GenerateReply:
        self._remove(number)
        return GenerateReply(number, error_body(refusal.kind, refusal.message))

    def _remove(self, number: int) -> None:
        """Remove a sequence, and close the gap that its row leaves."""
        if self._checked.pop(number, None) is None:
            del self._sequences[number]
        self._scheduler.remove(number)
        if number in self._rows:
            for move in self._rows.leave(number):
                self._decoder.move(move.source, move.target)
            self._decoder.clear(len(self._rows))


def _graph_refuses(error: Exception) -> Refusal:
    """Make the refusal for tokens that the graph does not take, and would never take.

    Everything else (memory, device) is the machine's failure: the process ends and the requests run again.
    """
    if not is_kernel_refusal(error):
        raise error
    return Refusal("refused", "the model's graph cannot process these tokens")
