"""One generation: from a checked request and logits to text and a reply."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from turnwise.inference.request import (
    TOKENS_MAX_DEFAULT,
    ChatMessage,
    Finish,
    GenerateRequest,
    Generation,
    Refusal,
    ok_body,
    parse,
)
from turnwise.inference.sampling import NotFinite, choose
from turnwise.inference.template import ChatTemplate
from turnwise.inference.text import StopScanner
from turnwise.inference.tokenizer import Tokenizer


class Sequence:
    """The state of one generation. `prompt` are its ids, `last` the token to feed next.

    Its bits depend on the request, its stream and the logits alone. There must be room for `tokens_max`.
    """

    def __init__(
        self,
        request: GenerateRequest,
        generation: Generation,
        prompt: list[int],
        tokens_max: int,
        tokenizer: Tokenizer,
        ends: frozenset[int],
    ) -> None:
        self.id = request.id
        self.prompt = prompt
        self.last = prompt[-1]
        self.tokens = 0
        self.finish: Finish | None = None
        self._stream = request.stream
        self._sampling = generation.sampling
        self._tokens_max = tokens_max
        self._ends = ends
        self._text = tokenizer.text(prompt)
        self._scanner = StopScanner(generation.stop)
        self._pieces: list[str] = []

    @property
    def capacity(self) -> int:
        """Positions of KV cache that it can need."""
        return len(self.prompt) + self._tokens_max

    def accept(self, logits: NDArray[Any]) -> str:
        """Choose the next token from logits (shape [vocabulary]); the text that can be given out. Sets `finish`.

        Raises Refusal if no token can be chosen.
        """
        try:
            token = choose(logits, self._sampling, self._stream, self.tokens)
        except NotFinite as error:
            raise Refusal("refused", f"the model gave no usable logits for token {self.tokens}: {error}") from error
        self.last = token
        self.tokens += 1
        if token in self._ends:
            return self._end("end", "")
        piece = self._scanner.push(self._text.push(token))
        if self._scanner.stopped:
            return self._end("stop", piece)
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

    def reply_body(self) -> str:
        """The reply, once `finish` is set."""
        assert self.finish is not None
        return ok_body("".join(self._pieces), self.finish, self.tokens, len(self.prompt))


def prepare(
    request: GenerateRequest,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    *,
    ends: frozenset[int],
    context_length: int,
) -> Sequence:
    """Check a request against a model. Raises Refusal naming what is wrong."""
    generation = parse(request.body)
    text = generation.prompt
    if text is None:
        text = _rendered(generation.messages, template)
    prompt = tokenizer.encode(text)
    if all(tokenizer.is_special(token) for token in prompt):
        raise Refusal("refused", "the prompt has no text: it is empty, or holds special tokens only")
    tokens_max = _room(generation.tokens_max, len(prompt), context_length)
    return Sequence(request, generation, prompt, tokens_max, tokenizer, ends)


def _room(tokens_max: int | None, prompt_tokens: int, context_length: int) -> int:
    """How many tokens may be generated. Raises Refusal if the context has no room for what is asked."""
    room = context_length - prompt_tokens
    if room < 1:
        raise Refusal(
            "context_full",
            f"the prompt has {prompt_tokens} tokens, the model's context {context_length}: shorten the prompt",
        )
    if tokens_max is None:
        return min(TOKENS_MAX_DEFAULT, room)
    if tokens_max > room:
        raise Refusal(
            "context_full",
            f"the prompt has {prompt_tokens} tokens and tokens_max is {tokens_max}, together more than the model's "
            f"context of {context_length}: tokens_max can be {room} at most",
        )
    return tokens_max


def _rendered(messages: tuple[ChatMessage, ...], template: ChatTemplate | None) -> str:
    if template is None:
        raise Refusal("refused", "the model has no chat template: give prompt instead of messages")
    return template.render(messages)
