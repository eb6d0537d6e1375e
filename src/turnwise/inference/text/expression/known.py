"""Expressions of public tokenizers whose steps grow with the text: measured on hostile texts, and not counted again.

They are what `tokenizer.json` of these families says, letter by letter; another spelling is counted.
"""

from __future__ import annotations

from typing import Any, Final

_ENDINGS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SPACES: Final = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_BREAKS: Final = "\r\n"
_ASCII_MARKS: Final = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""

KNOWN: Final = frozenset(
    {
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        *(
            rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
            for digits in (r"\p{N}{1,3}", r"\p{N}")
        ),
        *(
            rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{ending}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{ending}"
            rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
            for ending in ("", f"{_ENDINGS}?")
            for digits in (r"\p{N}{1,3}", r"\p{N}")
        ),
        # DeepSeek writes the characters themselves for \r and \n.
        rf"{_ASCII_MARKS}[A-Za-z]+|[^{_BREAKS}\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[{_BREAKS}]*"
        rf"|\s*[{_BREAKS}]+|\s+(?!\S)|\s+",
        "[一-龥\u3040-ゟ゠-ヿ]+",
        r"\p{N}{1,3}",
        r"\p{N}",
        r"\d",
        r"\s+",
        " ",
        " {2,}",
    }
)
"""GPT-2; GPT-3.5, GPT-4, Llama 3 and Qwen; GPT-4o and Mistral; DeepSeek; and parts that stand by themselves."""


def unknown_expression(step: dict[str, Any]) -> str | None:
    """Return the expression of a normaliser, pre-tokenizer or decoder, if it has one that is not known."""
    pattern = step.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, dict) else None
    return expression if isinstance(expression, str) and expression not in KNOWN else None
