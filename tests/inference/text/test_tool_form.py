"""The forms of calls that families of models have, found in templates like theirs."""

from __future__ import annotations

import pytest

from tests.inference import toy
from turnwise.inference.plans.tool_form import CALL_ID, ToolForm
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.tokenizer import Tokenizer
from turnwise.inference.text.tool_form import find_tool_form

INNER = toy.byte_tokenizer()
INNER.add_special_tokens(["<|im_start|>", "<|im_end|>", "[TOOL_CALLS]", "[/INST]"])
INNER.add_tokens(["<tool_call>"])
TOKENIZER = Tokenizer(INNER, None)
CALLS = INNER.token_to_id("[TOOL_CALLS]")

HERMES = (
    "{% if tools %}<|im_start|>system\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}"
    "{% if m.role != 'assistant' or m.content %}{{ '\n' }}{{ m.content }}{% endif %}"
    "{% for c in m.tool_calls or [] %}{{ '\n' }}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}'
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKS_LAST = HERMES.replace(
    "{% for c in m.tool_calls",
    "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}{% for c in m.tool_calls",
)
LLAMA = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}{{ raise_exception('one call only') }}{% endif %}"
    '{% set c = m.tool_calls[0].function %}{"name": "{{ c.name }}", "parameters": {{ c.arguments | tojson }}}'
    "{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL = (
    "{% set asked = namespace(count=0) %}"
    "{% set all = messages | selectattr('role', 'equalto', 'user') | list | length %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set asked.count = asked.count + 1 %}"
    "{% if tools and asked.count == all %}{{ tools | tojson }}{% endif %}"
    "[INST]{{ m.content }}[/INST]{% elif m.tool_calls %}[TOOL_CALLS] ["
    "{% for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('nine') }}{% endif %}"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}, "id": "{{ c.id }}"}'
    "{% if not loop.last %}, {% endif %}{% endfor %}]<|im_end|>"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
)
AS_TEXT = HERMES.replace("c.function.arguments | tojson", "c.function.arguments")
XML = HERMES.replace(
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}',
    "<function={{ c.function.name }}>{% for k, v in c.function.arguments.items() %}<p={{ k }}>{{ v }}</p>{% endfor %}",
)
OWN_ARGUMENTS = HERMES.replace(
    "{{ c.function.arguments | tojson }}",
    "{% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}"
    "{% for k, v in c.function.arguments.items() %}{{ k }}:{{ v }}{% endfor %}{% endif %}",
)
RESULTS_WITHIN = HERMES.replace(
    "<|im_end|>\n{% endfor %}", "{% if not m.tool_calls %}<|im_end|>{% endif %}\n{% endfor %}"
)
CHANNELS = HERMES.replace('", "arguments": ', "[TOOL_CALLS]")
HERMES_FORM = ToolForm(
    head='<tool_call>\n{"name": "',
    middle='", "arguments": ',
    joint='}\n</tool_call>\n<tool_call>\n{"name": "',
    tail="}\n</tool_call>",
)


@pytest.mark.parametrize(
    ("source", "form"),
    [
        (HERMES, HERMES_FORM),
        (THINKS_LAST, HERMES_FORM),
        (LLAMA, ToolForm('{"name": "', '", "parameters": ', None, "}")),
        (
            MISTRAL,
            ToolForm(
                '[TOOL_CALLS] [{"name": "',
                '", "arguments": ',
                f', "id": "{CALL_ID}"}}, {{"name": "',
                f', "id": "{CALL_ID}"}}]',
                {"[TOOL_CALLS]": CALLS},
            ),
        ),
        (AS_TEXT, ToolForm(HERMES_FORM.head, HERMES_FORM.middle, HERMES_FORM.joint, HERMES_FORM.tail, {}, True)),
        (XML, None),
        (OWN_ARGUMENTS, None),
        (RESULTS_WITHIN, None),
        (CHANNELS, None),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", None),
        (HERMES.replace("{% for t in tools %}{{ t | tojson }}", "{% for t in tools %}"), None),
    ],
    ids=[
        "hermes",
        "thinks-last",
        "llama",
        "mistral",
        "as-text",
        "xml",
        "own-arguments",
        "results-within",
        "channels",
        "plain",
        "tools-untold",
    ],
)
def test_the_form_is_what_the_template_writes(source: str, form: ToolForm | None) -> None:
    template = ChatTemplate(source, {}, where="t")
    assert find_tool_form(template, TOKENIZER, [INNER.token_to_id("<|im_end|>"), toy.END]) == form


def test_a_form_needs_an_end_that_is_known() -> None:
    assert find_tool_form(ChatTemplate(HERMES, {}, where="t"), TOKENIZER, [toy.END]) is None
