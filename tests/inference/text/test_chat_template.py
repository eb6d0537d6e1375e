from __future__ import annotations

import pytest

from turnwise.errors import ModelError
from turnwise.inference.requests.generate_request import ChatMessage
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.chat_template import WORK_MAX, ChatTemplate

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
CHATML = (
    "{%- for message in messages %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}"
)


def render(source: str, *messages: tuple[str, str]) -> str:
    chosen = messages or (("user", "hi"),)
    return ChatTemplate(source, TOKENS, where="model/chat_template.jinja").render(
        [ChatMessage(role, content) for role, content in chosen]
    )


def refused(source: str, *messages: tuple[str, str]) -> str:
    with pytest.raises(Refusal) as caught:
        render(source, *messages)
    assert caught.value.kind == "refused"
    return caught.value.message


def test_chatml() -> None:
    assert render(CHATML, ("system", "Be brief."), ("user", " hi ")) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ bos_token }}{{ messages[0]['content'] }}{{ eos_token }}", "<s>hi</s>"),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "hi"}]'),
        ("{% if tools is not none %}tools{% endif %}{% if strftime_now is defined %}date{% endif %}none", "none"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1"),
        ("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}", "hi"),
        ("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m('a') ~ m(1) }}", "[a][1]"),
        (
            "{{ 'a,b,c'.split(',')[1:] | join('+') }}{{ 'aXb'.replace('X', '-') }}{{ '-'.join(['x', 'y']) }}",
            "b+ca-bx-y",
        ),
        ("{{ 'one\\ntwo' | indent(2) }}", "one\n  two"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
        ("{{ none }} {{ true }} {{ 1.5 }} {{ [1, 'a'] }} {{ nothing }}", "None True 1.5 [1, 'a'] "),
    ],
)
def test_what_templates_use(source: str, expected: str) -> None:
    assert render(source) == expected


def test_a_template_may_refuse_messages() -> None:
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    assert refused(source, ("system", "x")) == "the chat template refuses these messages: no system role"
    assert render(source) == ""


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a %}{{ ns.a * 2 }}{% endset %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a | replace('x', 'xx') %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a.replace('x', 'xx') %}{% endfor %}",
        "{% set ns = namespace(a='xx') %}{% for i in range(99) %}{% set ns.a = ns.a.join(ns.a) %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(99) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ 10 ** 9 * [1] }}",
        "{% for i in range(99999) %}" + "some words that are printed again and again " * 5 + "{% endfor %}",
    ],
)
def test_too_much_work_is_refused(source: str) -> None:
    assert f"more than {WORK_MAX} units of work" in refused(source)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ 9 ** 9 ** 9 }}", "256 bits"),
        ("{% set ns = namespace(a=9) %}{% for i in range(99) %}{% set ns.a = ns.a * ns.a %}{% endfor %}", "256 bits"),
        ("{{ '%1000000000d' % 1 }}", "formatting with %"),
        ("{{ '{:1000000000}'.format(1) }}", "'format' of 'str' object is unsafe"),
        ("{{ 'a'.center(1000000000) }}", "unsafe"),
        ("{{ 'a'.ljust(1000000000) }}", "unsafe"),
        ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", "32 deep"),
        (
            "{% set ns = namespace(a=1) %}{% for i in range(50) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}",
            "nested",
        ),
        ("{{ ''.strip }}", "has no text"),
        ("{{ range }}", "has no text"),
        ("{{ messages | map(attribute='role') }}", "has no text"),
        ("{{ [''.strip] }}", "has no text"),
        ("{{ 'a' ~ range }}", "has no text"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ messages[0].update({}) }}", "unsafe"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        ("{{ strftime_now('%Y') }}", "'strftime_now' is undefined"),
        ("{{ messages[7].content }}", "no element 7"),
        ("{{ 3 // 0 }}", "ZeroDivisionError"),
        ("{{ 'a' + 1 }}", "TypeError"),
        ("{{ messages | tojson(indent='x' * 9) }}", "TypeError"),
    ],
)
def test_what_templates_may_not_do(source: str, reason: str) -> None:
    assert reason in refused(source)


def test_one_rendering_does_not_spend_what_the_next_one_has() -> None:
    template = ChatTemplate("{% for i in range(90000) %}some words of text{% endfor %}", {}, where="t")
    lengths = {len(template.render([ChatMessage("user", "x")])) for _ in range(12)}
    assert lengths == {90_000 * 18}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for", "line 1"),
        ("\n\n{{ messages | random }}", "line 3"),
        ("{% include 'x' %}", "cannot load other templates"),
        ("{% import 'x' as x %}", "cannot load other templates"),
        ("{% extends 'x' %}", "cannot load other templates"),
        ("{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}", "recursive loops"),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "not valid"),
        ("x" * (1024 * 1024 + 1), "1048577 characters"),
    ],
)
def test_a_template_that_is_not_valid_is_the_models_fault(source: str, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        ChatTemplate(source, TOKENS, where="model/chat_template.jinja")
    assert reason in str(caught.value)
    assert caught.value.where == "model/chat_template.jinja"


def test_arguments_of_a_request() -> None:
    source = "{% if enable_thinking is defined and not enable_thinking %}quick {% endif %}{{ tools | tojson }}"
    template = ChatTemplate(source, TOKENS, where="model/chat_template.jinja")
    message = [ChatMessage("user", "hi")]
    assert template.render(message) == "null"
    assert template.render(message, {"enable_thinking": False, "tools": [{"name": "f"}]}) == 'quick [{"name": "f"}]'


@pytest.mark.parametrize("name", ["messages", "add_generation_prompt", "bos_token", "raise_exception", "range"])
def test_arguments_that_are_taken(name: str) -> None:
    template = ChatTemplate(CHATML, TOKENS, where="model/chat_template.jinja")
    with pytest.raises(Refusal, match=f"the argument '{name}', which every prompt has already"):
        template.render([ChatMessage("user", "hi")], {name: 1})
