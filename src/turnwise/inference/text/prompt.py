"""A conversation, or a text, becomes a prompt that fits the model's context.

When it does not fit and the request says `drop_oldest`, the oldest messages that are not the system's go, as few as
will do. What is left begins with a message of the role that the conversation began with, since many templates refuse
one that begins with an answer. The last message always stays. Of a text, the first tokens go, but for BOS.
"""

from __future__ import annotations

from dataclasses import dataclass

from turnwise.inference.requests.generate_request import TOKENS_MAX_DEFAULT, ChatMessage, Generation, TokensMax
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that fits the context.

    - `ids`: its tokens
    - `tokens_max`: how many tokens may be generated after them
    - `dropped`: how many messages (or tokens of a text) were left out
    """

    ids: list[int]
    tokens_max: int
    dropped: int = 0


def read_prompt(
    generation: Generation,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    context_length: int,
    *,
    now_us: int = 0,
) -> Prompt:
    """Make the prompt of a request. Raises Refusal if the template refuses it, or the context has no room.

    `now_us` is the virtual time that a template may write.
    """
    answer = generation.tokens_max if isinstance(generation.tokens_max, int) else TOKENS_MAX_DEFAULT
    wanted = context_length - min(answer, context_length - 1)
    if generation.prompt is not None:
        ids = tokenizer.encode(generation.prompt)
        kept = min(int(tokenizer.bos is not None), len(ids))
        dropped = max(0, min(len(ids) - wanted, len(ids) - kept - 1)) if generation.on_full == "drop_oldest" else 0
        ids = ids[:kept] + ids[kept + dropped :]
        return Prompt(ids, tokens_left(generation.tokens_max, len(ids), context_length), dropped)
    if template is None:
        raise Refusal("refused", "the model has no chat template: give prompt instead of messages")

    marker = tokenizer.marker
    arguments = {name: marker.value(value) for name, value in generation.template.items()}
    asked = tuple(
        ChatMessage(marker.value(item.role), marker.content(item.content), marker.value(item.more))
        for item in generation.messages
    )

    def encoded(messages: tuple[ChatMessage, ...]) -> list[int]:
        return tokenizer.encode_rendered(template.render(messages, arguments, now_us=now_us))

    ids = encoded(asked)
    dropped = 0
    if generation.on_full == "drop_oldest":
        counts = droppable_counts(asked)
        low, high = 0, len(counts) - 1  # all before `low` are too few; by halves, since each try renders everything
        while len(ids) > wanted and low < high:
            middle = (low + high) // 2
            if len(encoded(without_oldest(asked, counts[middle]))) > wanted:
                low = middle + 1
            else:
                high = middle
            if low == high:
                dropped = counts[low]
                ids = encoded(without_oldest(asked, dropped))
                break
    return Prompt(ids, tokens_left(generation.tokens_max, len(ids), context_length), dropped)


def droppable_counts(messages: tuple[ChatMessage, ...]) -> list[int]:
    """Return the numbers of oldest messages that may be dropped, the system's not counted: rising, beginning with 0."""
    others = [message.role for message in messages if message.role != "system"]
    counts = [count for count, role in enumerate(others) if role == others[0]]
    if others and counts[-1] != len(others) - 1:
        counts.append(len(others) - 1)
    return counts or [0]


def without_oldest(messages: tuple[ChatMessage, ...], dropped: int) -> tuple[ChatMessage, ...]:
    """Return the messages without the oldest `dropped` that are not the system's."""
    kept = []
    for message in messages:
        if message.role == "system" or dropped == 0:
            kept.append(message)
        else:
            dropped -= 1
    return tuple(kept)


def tokens_left(tokens_max: TokensMax, prompt_tokens: int, context_length: int) -> int:
    """Return the number of tokens that may be generated. Raises Refusal if the context has no room for `tokens_max`."""
    left = context_length - prompt_tokens
    if left < 1:
        raise Refusal(
            "context_full",
            f"the prompt has {prompt_tokens} tokens, the model's context {context_length}: shorten the prompt",
        )
    if tokens_max == "rest":
        return left
    if tokens_max is None:
        return min(TOKENS_MAX_DEFAULT, left)
    if tokens_max > left:
        raise Refusal(
            "context_full",
            f"the prompt has {prompt_tokens} tokens and tokens_max is {tokens_max}, together more than the model's "
            f"context of {context_length}: tokens_max can be {left} at most",
        )
    return tokens_max
