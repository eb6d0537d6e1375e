"""One generation: from a checked request and logits to text and a reply."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, Final

from numpy.typing import NDArray

from turnwise.core.canonical import canonical
from turnwise.inference.plans.tool_form import ToolForm
from turnwise.inference.requests.check_request import RANK_MAX
from turnwise.inference.requests.generate_request import (
    Finish,
    GenerateRequest,
    Generation,
    GrammarSource,
    RunningText,
    TextPiece,
    ok_body,
    parse,
)
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.sampling import logprobs
from turnwise.inference.sampling.changes import LogitsProcessor
from turnwise.inference.sampling.choices import TokenChoice
from turnwise.inference.sampling.choose import UnusableLogits, choose
from turnwise.inference.sampling.grammar import GrammarCompiler
from turnwise.inference.sampling.nearness import distance
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.detokenizer import StopScanner
from turnwise.inference.text.prompt import Prompt, read_prompt
from turnwise.inference.text.tokenizer import Tokenizer
from turnwise.inference.tool_calls.told_request import take_apart, told_request

PIECE_TOKENS_MIN: Final = 4
"""A chosen token and those that a grammar forces after it run in one piece if they are so many, else a step each.

For one sequence any piece is cheaper than its steps; among 16 that share their steps, from about six tokens on.
"""


class Sequence:
    """The state of one generation.

    - `id`: of its request
    - `prompt`: ids to run before a token is chosen
    - `next`: ids to run before the next is chosen
    - `taken`: ids of the answer so far
    - `finish`: why it ended; None while it goes on

    Its bits depend on the request, its stream and the logits alone. There must be room for `tokens_max`.

    Where a grammar leaves no choice, tokens are taken without any logits. With `pieces` they are appended to `next`,
    those at the very beginning to the prompt. Without, and where log probabilities are asked for, each is a step; the
    tokens are the same.
    """

    def __init__(
        self,
        request: GenerateRequest,
        generation: Generation,
        prompt: Prompt,
        tokenizer: Tokenizer,
        grammars: GrammarCompiler,
        ends: frozenset[int],
        *,
        pieces: bool = True,
        form: ToolForm | None = None,
    ) -> None:
        self.id = request.id
        self.prompt = prompt.ids
        self.next: list[int] = []
        self.taken: list[int] = []
        self.finish: Finish | None = None
        self._stream = request.stream
        self._sampling = generation.sampling
        self._processor = LogitsProcessor(generation.sampling, prompt.ids)
        self._grammar = grammars.matcher(generation.grammar) if generation.grammar else None
        self._piece_tokens_min = PIECE_TOKENS_MIN if pieces and generation.logprobs is None else None
        self._forced: deque[int] = deque()
        self._prompt_tokens = len(prompt.ids)
        self._tokens_max = prompt.tokens_max
        self._dropped = prompt.dropped if generation.on_full == "drop_oldest" else None
        self._ends = ends
        self._vocabulary = tokenizer.vocabulary(ends)
        self._has_tools = generation.tools is not None
        self._form = form
        self._logprobs_count = generation.logprobs
        self._logprobs: list[dict[str, Any]] = []
        self._tokenizer = tokenizer
        self._detokenizer = tokenizer.detokenizer(prompt.ids)
        self._scanner = StopScanner(generation.stop)
        self._pieces: list[str] = []
        self._pieces_told = self._logprobs_told = 0

    @property
    def tokens(self) -> int:
        """Number of tokens taken so far."""
        return len(self.taken)

    @property
    def run_tokens(self) -> list[int]:
        """The prompt and the answer so far; the last of them has not run."""
        return [*self.prompt[: self._prompt_tokens], *self.taken]

    @property
    def capacity(self) -> int:
        """Positions of KV cache that it can need, at most."""
        return self._prompt_tokens + self._tokens_max

    def begin(self) -> str:
        """Take the tokens that the answer must begin with; returns their text. Sets `finish` if that is all."""
        self._look_ahead()
        if self._piece_tokens_min is None:
            return ""
        text = self._take_forced()
        self.prompt = [*self.prompt, *self.next]
        return text

    def choice(self, logits: NDArray[Any]) -> TokenChoice | None:
        """Return what has to be chosen from logits (shape [vocabulary]); None if the grammar has forced the token.

        Raises Refusal, as `accept` does, which comes next.
        """
        self._look_ahead()
        if self._forced:
            return None
        allowed = self._grammar.allowed(len(logits)) if self._grammar else None
        changes = self._processor.changes(logits)
        return TokenChoice(logits, self._sampling, self._stream, self.tokens, allowed, changes)

    def accept(self, logits: NDArray[Any], chosen: int | UnusableLogits | None = None) -> str:
        """Take the next token; returns text to give out. Sets `finish`.

        `logits` (shape [vocabulary]) are those before it, and `chosen` is what came of its `choice`; None: it is made
        here. Raises Refusal if no token can be chosen.
        """
        try:
            if chosen is None and (choice := self.choice(logits)) is not None:
                chosen = choice.make()
            if isinstance(chosen, UnusableLogits):
                raise chosen
            token = self._forced.popleft() if chosen is None else chosen
            if self._logprobs_count is not None:
                self._logprobs.append(logprobs.token_logprobs(logits, token, self._logprobs_count, self._vocabulary))
        except UnusableLogits as error:
            raise Refusal("refused", f"the model gave no usable logits for token {self.tokens}: {error}") from error
        self.next = []
        text = self._take(token)
        if self.finish is None:
            self._look_ahead()
            if self._piece_tokens_min is not None and 1 + len(self._forced) >= self._piece_tokens_min:
                text += self._take_forced()
        return text

    def piece(self, text: str) -> TextPiece:
        """Make the piece that tells of this text, which `begin` or `accept` has just returned."""
        logprobs = tuple(self._logprobs[self._logprobs_told :])
        piece = TextPiece(self.id, self._pieces_told, text, logprobs)
        self._pieces_told += 1
        self._logprobs_told += len(logprobs)
        return piece

    def hold(self, logits: NDArray[Any], token: int, margin: float) -> tuple[int, float | None]:
        """Return the token that would be chosen, and by how much logits have to be others for `token` to be.

        None if that is more than `margin`, or the token is not among the likeliest where the likeliest is taken.
        Raises what `accept` raises, and UnusableLogits.
        """
        self._look_ahead()
        if self._forced:
            return self._forced[0], 0.0 if self._forced[0] == token else None
        allowed = self._grammar.allowed(len(logits)) if self._grammar else None
        applied = self._processor.apply(logits)
        own = choose(applied, self._sampling, self._stream, self.tokens, allowed)
        if own == token:
            return own, 0.0
        if self._sampling.temperature == 0.0 and int((applied > applied[token]).sum()) >= RANK_MAX:
            return own, None
        return own, distance(applied, token, self._sampling, self._stream, self.tokens, margin, allowed)

    def give(self, token: int, logits: NDArray[Any]) -> None:
        """Take a token that was chosen elsewhere. Sets `finish`."""
        if self._forced:
            self._forced.popleft()
        if self._logprobs_count is not None:
            self._logprobs.append(logprobs.token_logprobs(logits, token, self._logprobs_count, self._vocabulary))
        self.next = []
        self._take(token)

    def margin(self, margin: float) -> float:
        """Return the margin of logits after penalties, of those before."""
        penalty = self._sampling.repetition_penalty
        return margin * max(penalty, 1.0 / penalty)

    @property
    def tokens_max(self) -> int:
        """Tokens that the answer may have."""
        return self._tokens_max

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    def running_text(self, chars_max: int) -> RunningText:
        """Return the end of the text so far; takes no longer for a long text than for a short one."""
        tail = "".join(self._pieces[-chars_max:])
        cut = len(tail) > chars_max or len(self._pieces) > chars_max
        return RunningText(self.id, self.tokens, tail[-chars_max:], cut)

    def spell(self, token: int) -> str:
        """Return the text of a token by itself."""
        return self._vocabulary.token_text(token)

    def _look_ahead(self) -> None:
        if self._grammar is not None and not self._forced:
            self._forced.extend(self._grammar.forced())

    def _take_forced(self) -> str:
        text = ""
        while self._forced and self.finish is None:
            text += self._take(self._forced.popleft())
        return text

    def _take(self, token: int) -> str:
        self.next.append(token)
        self.taken.append(token)
        self._processor.push(token)
        if self._grammar is not None:
            self._grammar.push(token)
        if token in self._ends:
            return self._end("end", "")
        piece = self._scanner.push(self._detokenizer.push(token))
        if not self._scanner.stopped:
            piece += self._scanner.push_name(self._tokenizer.special_text(token))
        if self._scanner.stopped:
            return self._end("stop", piece)
        if self._grammar is not None and self._grammar.complete:
            return self._end("end", piece)
        if self.tokens == self._tokens_max:
            return self._end("length", piece)
        self._pieces.append(piece)
        return piece

    def _end(self, finish: Finish, piece: str) -> str:
        self.finish = finish
        if finish != "stop":
            piece += self._scanner.rest()
        self._pieces.append(piece)
        return piece

    def reply_body(self) -> str | None:
        """Return the reply; None until `finish` is set."""
        if self.finish is None:
            return None
        said = take_apart(self.text, self._form) if self._has_tools else None
        return ok_body(
            self.text,
            self.finish,
            self.tokens,
            self._prompt_tokens,
            logprobs=None if self._logprobs_count is None else self._logprobs,
            dropped=self._dropped,
            said=None if said is None else said.text,
            calls=None if said is None else said.calls,
        )


def prepare(
    request: GenerateRequest,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    grammars: GrammarCompiler,
    *,
    ends: frozenset[int],
    context_length: int,
    pieces: bool = True,
    form: ToolForm | None = None,
) -> Sequence:
    """Check a request against a model, and begin it. Raises Refusal naming what is wrong.

    `form` is the one in which the model's template writes calls of tools, None if it has none.
    """
    asked = parse(request.body)
    generation = told_request(asked, form, takes_system=template is None or template.takes_system)
    prompt = read_prompt(generation, tokenizer, template, context_length, now_us=request.now_us)
    if all(tokenizer.is_special(token) for token in prompt.ids):
        raise Refusal("refused", "the prompt has no text: it is empty, or holds special tokens only")
    if generation.logprobs is not None:
        _check_logprobs(generation.logprobs, prompt.tokens_max)
    if generation.logit_bias:
        bias = _bias(generation.logit_bias, tokenizer, ends)
        generation = replace(generation, sampling=replace(generation.sampling, bias=bias))
    try:
        return Sequence(request, generation, prompt, tokenizer, grammars, ends, pieces=pieces, form=form)
    except Refusal:
        if (looser := _looser(asked, grammars)) is None:
            raise
    grammar = told_request(looser, form).grammar
    generation = replace(generation, grammar=grammar)
    return Sequence(request, generation, prompt, tokenizer, grammars, ends, pieces=pieces, form=form)


def _looser(asked: Generation, grammars: GrammarCompiler) -> Generation | None:
    """Return a request in which tools whose schemas no answer can follow take any object; None if there are none.

    Raises Refusal naming the tool if that is not allowed for it.
    """
    use = asked.tools
    if use is None:
        return None
    loose = set()
    for tool in use.callable:
        try:
            grammars.matcher(GrammarSource("json_schema", canonical(tool.parameters)))
        except Refusal as refusal:
            if tool.strict:
                raise Refusal(refusal.kind, f"the tool {tool.name}: {refusal.message}") from refusal
            loose.add(tool.name)
    if not loose:
        return None
    tools = [replace(tool, parameters={"type": "object"}) if tool.name in loose else tool for tool in use.callable]
    return replace(asked, tools=replace(use, callable=tools))


def _check_logprobs(count: int, tokens_max: int) -> None:
    entries = (count + 1) * tokens_max
    if entries > logprobs.ENTRIES_MAX:
        raise Refusal(
            "refused",
            f"logprobs of {count} alternatives and tokens_max {tokens_max} could make {entries} entries, at most "
            f"{logprobs.ENTRIES_MAX} are allowed: ask for fewer of either",
        )


def _bias(
    asked: tuple[tuple[str, float], ...], tokenizer: Tokenizer, ends: frozenset[int]
) -> tuple[tuple[int, float], ...]:
    """Biases by token id, rising; those of one token are added up."""
    bias: dict[int, float] = {}
    for key, number in asked:
        if key.isascii() and key.isdigit():
            ids: tuple[int, ...] = (int(key),)
            if ids[0] >= tokenizer.ids_end:
                raise Refusal(
                    "refused", f"logit_bias has token {key}, and the last of the model is {tokenizer.ids_end - 1}"
                )
        else:
            ids = tokenizer.vocabulary(ends).ids(key)
            if not ids:
                raise Refusal("refused", f"logit_bias has {key!r}, which is not the text of one token of the model")
        for token in ids:
            bias[token] = bias.get(token, 0.0) + number
    return tuple(sorted(bias.items()))
