"""The library's tokenizer, as far as it encodes: what a text may take is counted before the library begins."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

import tokenizers

from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.control_tokens import flagged_special
from turnwise.inference.text.expression.counted import count_steps
from turnwise.inference.text.expression.steps import STEPS_MAX
from turnwise.inference.text.tokenizer_bounds import GROWN_CHARS_MAX, TextBounds

PANIC = "PanicException"


class TextEncoder:
    """Encodes texts. `control` are added tokens that are to be taken for special, whatever their flag."""

    def __init__(self, inner: tokenizers.Tokenizer, bounds: TextBounds, control: Collection[int] = ()) -> None:
        self._inner = flagged_special(inner, control) if control or bounds.counted else inner
        self._meter = count_steps(self._inner, json.loads(inner.to_str())) if bounds.counted else None
        self._bounds = bounds
        self._progress: Callable[[], None] = _nothing

    def watch(self, progress: Callable[[], None]) -> None:
        """Call `progress` before each text, which may take some seconds."""
        self._progress = progress

    def check_size(self, text: str, what: str) -> None:
        """Raises Refusal for a text of which the tokenizer could make more than is allowed."""
        if not self._bounds.allow(len(text)):
            raise Refusal(
                "refused",
                f"{what} has {len(text):,} characters, of which the model's tokenizer could make more than "
                f"{GROWN_CHARS_MAX:,}: shorten it",
            )

    def encode(
        self, text: str, *, special: bool = False, plain: bool = False, tokens_max: int | None = None
    ) -> tokenizers.Encoding:
        """Encode a text.

        - `special`: with the special tokens that the file puts around it
        - `plain`: as if there were no special tokens
        - `tokens_max`: cut off what goes beyond

        Raises Refusal if it takes more steps than are allowed, or the library fails on it: the same everywhere, so it
        is an answer.
        """
        self._progress()
        if self._meter is not None:
            self._meter.refill()
        if tokens_max is not None:
            self._inner.enable_truncation(tokens_max)
        self._inner.encode_special_tokens = plain
        try:
            found = self._inner.encode(text, add_special_tokens=special)
        except BaseException as error:
            # What the library gives up in Rust is no Exception; what is none of its own goes on.
            if not isinstance(error, Exception) and type(error).__name__ != PANIC:
                raise
            raise self._refusal() from None
        finally:
            self._inner.encode_special_tokens = False
            self._inner.no_truncation()
        if self._meter is not None and self._meter.is_empty:
            raise self._refusal()
        return found

    def admits(self, text: str) -> bool:
        """True if a text can be encoded within the steps that are allowed."""
        if self._meter is None:
            return True
        try:
            self.encode(text)
        except Refusal:
            return False
        return True

    def _refusal(self) -> Refusal:
        if self._meter is not None and self._meter.is_empty:
            message = f"the expressions of the model's tokenizer take more than {STEPS_MAX:,} steps on this text"
            return Refusal("refused", f"{message}: shorten it")
        return Refusal("refused", "the model's tokenizer fails on this text")


def _nothing() -> None:
    """Progress that nobody is told of."""
