"""Calls go through the templates of families of models and come back."""

from __future__ import annotations

import pytest

from tests.inference import toy
from tests.inference.text.test_tool_form import AS_TEXT, HERMES, INNER, LLAMA, MISTRAL, TOKENIZER, XML
from tests.inference.tool_calls.families import goes_round
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.tool_form import find_tool_form

SMOLLM = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nBe helpful.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)
SYSTEM_LEFT_OUT = SMOLLM.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")


@pytest.mark.parametrize(
    ("source", "has_form"),
    [
        (HERMES, True),
        (LLAMA, True),
        (MISTRAL, True),
        (AS_TEXT, True),
        (XML, False),
        (SMOLLM, False),
        (GEMMA, False),
        (SYSTEM_LEFT_OUT, False),
    ],
    ids=["hermes", "llama", "mistral", "as-text", "xml", "smollm", "gemma", "system-left-out"],
)
def test_calls_come_back(source: str, has_form: bool) -> None:
    template = ChatTemplate(source, {}, where="t")
    end = INNER.token_to_id("<|im_end|>")
    form = find_tool_form(template, TOKENIZER, [end, toy.END])
    assert (form is not None) is has_form
    goes_round(template, TOKENIZER, frozenset({end}), form)


def test_a_call_that_does_not_come_back_is_noticed() -> None:
    """The control: another family's form is none of this one's."""
    end = INNER.token_to_id("<|im_end|>")
    llama = find_tool_form(ChatTemplate(LLAMA, {}, where="t"), TOKENIZER, [end])
    with pytest.raises(AssertionError):
        goes_round(ChatTemplate(GEMMA, {}, where="t"), TOKENIZER, frozenset({end}), llama)
