"""Generated tokens become text: whole characters only, and no further than a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

REPLACEMENT: Final = "\ufffd"
HELD_TOKENS_MAX: Final = 8
PROMPT_WINDOW_TOKENS: Final = 16
CHARACTER_BYTES_MAX: Final = 4

Decode = Callable[[Sequence[int]], str]
"""Text of token ids, special tokens left out, bytes that are not UTF-8 as U+FFFD."""


class Detokenizer:
    """Decode a continuation, token by token.

    A token's text depends on those before it: decoders strip one leading space, and a character may take several
    tokens. So each step decodes the last tokens once without and once with the new one, and gives the difference.
    While the difference ends in an incomplete character, tokens are held back (at most `HELD_TOKENS_MAX`: what is
    incomplete for longer is not UTF-8 at all). What is still held at the end of a generation is dropped: it is part
    of a character. (`DecodeStream` of tokenizers does the same but raises once a model emits bytes that are not
    UTF-8, after which it cannot go on.)
    """

    def __init__(self, decode: Decode, prompt: Sequence[int]) -> None:
        self._decode = decode
        self._before, self._before_text = _context_of(decode, prompt)
        self._held: list[int] = []

    def push(self, token: int) -> str:
        """Take a token; return the text that it completes, maybe empty."""
        self._held.append(token)
        text = self._decode([*self._before, *self._held])
        if text.endswith(REPLACEMENT) and len(self._held) < HELD_TOKENS_MAX:
            return ""
        # Invalid bytes can change how the bytes before them are shown; what was given out already stays.
        new = text[len(self._before_text) :] if text.startswith(self._before_text) else self._decode(self._held)
        if not new:  # a special token, or at the very beginning a space that the decoder strips
            if self._before_text or len(self._held) >= HELD_TOKENS_MAX:
                self._held.clear()
            return ""
        self._before, self._held = self._held, []
        self._before_text = self._decode(self._before)
        return new


def _context_of(decode: Decode, prompt: Sequence[int]) -> tuple[list[int], str]:
    """Return the last tokens of the prompt and their text, beginning between two characters.

    Where every byte is a token, a window could begin within a character, and byte decoders then show nothing of it.
    """
    first = list(prompt[-PROMPT_WINDOW_TOKENS:])
    for more in range(CHARACTER_BYTES_MAX):
        ids = list(prompt[-PROMPT_WINDOW_TOKENS - more :])
        text = decode(ids)
        if not text.startswith(REPLACEMENT):
            return ids, text
    return first, decode(first)


class StopScanner:
    """Find stop strings across the borders of tokens, and hold back text that may be the beginning of one.

    A stop string may be, or hold, the name of a special token: such names are scanned where their tokens come, and are
    left out of what is given out.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self._names: list[tuple[int, int]] = []
        self.stopped = False

    def push_name(self, name: str) -> str:
        """Take the name of a special token; return the text that can be given out now."""
        if not name or not any(_meets(name, stop) for stop in self._stops):
            return ""
        self._names.append((len(self._held), len(self._held) + len(name)))
        return self.push(name)

    def push(self, text: str) -> str:
        """Take text; return what can be given out now: up to the earliest stop string, once one is found."""
        if not self._stops:
            return text
        text = self._held + text
        found = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return self._without_names(text, min(found))
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return self._without_names(text, len(text) - keep)

    def rest(self) -> str:
        """Return the text that was held back, for the end of a generation that no stop string ended."""
        text, self._held = self._held, ""
        return self._without_names(text, len(text))

    def _without_names(self, text: str, end: int) -> str:
        """Return the text before `end` without the names in it. What of a name lies beyond is remembered for later."""
        if not self._names:
            return text[:end]
        given, at = [], 0
        for start, stop in self._names:
            given.append(text[at : min(start, end)])
            at = max(at, min(stop, end))
        given.append(text[at:end])
        self._names = [(max(start - end, 0), stop - end) for start, stop in self._names if stop > end]
        return "".join(given)


def _meets(name: str, stop: str) -> bool:
    """True if text with `name` in it could match `stop` by a part of that name."""
    return name in stop or stop in name or _overlap(name, stop) > 0 or _overlap(stop, name) > 0


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
