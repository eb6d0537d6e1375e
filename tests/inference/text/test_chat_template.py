from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from turnwise.errors import ModelError
from turnwise.inference.requests.generate_request import ChatMessage
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.template import meter
from turnwise.inference.text.template.meter import WORK_MAX

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
        ("{% if tools is not none %}tools{% endif %}{% if strftime_now is defined %}date{% endif %}none", "datenone"),
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


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "{{ [3, 1, 2] | sort | join(',') }} {{ ['b', 'A'] | sort | first }} {{ [3, 1] | sort(reverse=true) }}",
            "1,2,3 A [3, 1]",
        ),
        ("{{ [{'a': 2}, {'a': 1}] | sort(attribute='a') | map(attribute='a') | join }}", "12"),
        (
            "{{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') | first }}",
            "[('a', 2), ('b', 1)] ('b', 1)",
        ),
        ("{{ [1, 2, 3] | sum }} {{ [{'a': 2}, {'a': 1}] | sum('a') }} {{ [[1], [2]] | sum(start=[]) }}", "6 3 [1, 2]"),
        ("{{ [1, 5, 2] | max }} {{ ['b', 'A'] | min }} {{ ([] | max) is undefined }}", "5 A True"),
        ("{{ ['a', 'A', 'b'] | unique | list }}", "['a', 'b']"),
        ("{{ [1, 2, 3] | batch(2, 0) | list }} {{ [1, 2, 3] | batch(2) | list }}", "[[1, 2], [3, 0]] [[1, 2], [3]]"),
        (
            "{{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 2.1 | round(method='ceil') }} {{ 12.0 | round(-1) }}",
            "2.57 2.0 3.0 10.0",
        ),
        (
            "{{ '12' | int + 1 }} {{ 'x' | int(7) }} {{ '0x1f' | int(base=16) }} {{ '2.9' | int }} {{ none | int }}",
            "13 7 31 2 0",
        ),
        ("{{ '1.5' | float * 2 }} {{ 'x' | float }}", "3.0 0.0"),
        (
            "{{ 'hello big-world' | title }} {{ 'HELLO' | capitalize }} {{ 'a' | upper }}{{ 'A' | lower }}",
            "Hello Big-World Hello Aa",
        ),
        ("{{ '<a & b>' | e }} {{ 'x' | safe }} {{ 'a b c' | wordcount }}", "&lt;a &amp; b&gt; x 3"),
        ("{{ '%s has %d of %.1f' | format('x', 3, 2.25) }} {{ '%s%%' % 5 }} {{ '%02d' % 7 }}", "x has 3 of 2.2 5% 07"),
        ("{{ 'a\\nb\\n' | indent(2) }}|{{ 'a\\n\\nb' | indent(1, first=true, blank=true) }}", "a\n  b\n| a\n \n b"),
        (
            "{{ [1, 2, 3] | reverse | list }} {{ 'abc' | reverse }} {{ [1, 2] | first }}{{ 'xy' | last }}",
            "[3, 2, 1] cba 1y",
        ),
        (
            "{{ {'a': 1} | items | list }} {{ nothing | items | list }} {{ {'a': 1}.items() | list }}",
            "[('a', 1)] [] [('a', 1)]",
        ),
        (
            "{{ 'abcdef'[1:4] }} {{ 'abcdef'[::-1] }} {{ [1, 2, 3][:-1] }} {{ 'abc'[1] }} {{ 'abc'[-1] }}",
            "bcd fedcba [1, 2] b c",
        ),
        (
            "{{ 1 < 2 < 3 }} {{ 1 < 2 > 5 }} {{ 'a' in 'abc' }} {{ 3 not in [1, 2] }} {{ 'x' in {'x': 1} }}",
            "True False True True True",
        ),
        (
            "{{ 'a' is in ['a'] }} {{ 3 is odd }} {{ 4 is divisibleby 2 }} "
            "{{ none is none }} {{ true is sameas true }}",
            "True True True True True",
        ),
        (
            "{{ 'a,b,,c'.split(',') }} {{ ' a b '.split() }} {{ 'a\\nb'.splitlines() }}",
            "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b']",
        ),
        (
            "{{ 'x=1'.partition('=') }} {{ 'abc'.removeprefix('a') }} {{ ' a '.strip() }} {{ 'xax'.strip('x') }}",
            "('x', '=', '1') bc a a",
        ),
        (
            "{{ 'abc'.startswith('ab') }} {{ 'abc'.find('c') }} {{ ['a', 'b'].index('b') }} {{ [1, 1].count(1) }}",
            "True 2 1 2",
        ),
        (
            "{{ {'a': 1}.get('b', 2) }} {{ {'a': 1}.keys() | list }} {{ dict(a=1, b=2) }} {{ dict({'c': 3}) }}",
            "2 ['a'] {'a': 1, 'b': 2} {'c': 3}",
        ),
        (
            "{% for a in [1, 2] if a > 1 %}{{ loop.index }}{{ loop.last }}{{ loop.cycle('x', 'y') }}{% endfor %}",
            "1Truex",
        ),
        (
            "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}"
            "{% set j = joiner('-') %}{{ j() }}{{ j() }}",
            "aba-",
        ),
        ("{% call(x) f(2) %}[{{ x }}]{% endcall %}", "'f' is undefined"),
        ("{% macro f(n) %}{{ caller(n) }}{% endmacro %}{% call(x) f(2) %}[{{ x }}]{% endcall %}", "[2]"),
        ("{% filter upper %}abc{% endfilter %}{% set x %}de{% endset %}{{ x ~ 1 }}", "ABCde1"),
        ("{{ messages | rejectattr('role', 'equalto', 'user') | list }} {{ [0, 1] | select | list }}", "[] [1]"),
        (
            "{{ 'é' | tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': [1]} | tojson(indent=1, sort_keys=true) }}",
            '"\\u00e9" {\n "a": [\n  1\n ],\n "b": 1\n}',
        ),
        (
            "{{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 3 }} {{ -3 + 1 }} {{ 7 / 2 }} {{ 'a' * 3 }} {{ [1] + [2] }}",
            "3 3 8 -2 3.5 aaa [1, 2]",
        ),
        ("{{ messages | attr('x') is undefined }} {{ nothing | default('d') }} {{ '' | d('e', true) }}", "True d e"),
    ],
)
def test_operations_are_those_of_jinja2(source: str, expected: str) -> None:
    """The right values are those of jinja2 itself: see the test after this one."""
    if "undefined" in expected:
        assert expected in refused(source)
    else:
        assert render(source) == expected
        assert plain_jinja2(source) == expected


def plain_jinja2(source: str) -> str:
    """As transformers renders it: jinja2's own filters, tests and operators."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **({"ensure_ascii": False} | options))
    messages = [{"role": "user", "content": "hi"}]
    return environment.from_string(source).render(messages=messages, add_generation_prompt=True)


def test_the_date_is_the_runs() -> None:
    source = "{{ strftime_now('%d %B %Y, %A %H:%M:%S %j %-d/%-m %y %b %a %I %p %e %f %Z%z %F %T %D %R %u%w %%') }}"
    at = datetime(2031, 4, 6, 15, 7, 9, 250, tzinfo=UTC)
    now_us = int(at.timestamp() * 1_000_000)
    rendered = ChatTemplate(source, {}, where="t").render([ChatMessage("user", "hi")], now_us=now_us)
    assert rendered == (
        "06 April 2031, Sunday 15:07:09 096 6/4 31 Apr Sun 03 PM  6 000250 UTC+0000 "
        "2031-04-06 15:07:09 04/06/31 15:07 70 %"
    )
    with pytest.raises(Refusal, match="beyond the year 9999"):
        ChatTemplate(source, {}, where="t").render([ChatMessage("user", "hi")], now_us=2**62)


def test_a_template_may_refuse_messages() -> None:
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    assert refused(source, ("system", "x")) == "the chat template refuses these messages: no system role"
    assert render(source) == ""


LITTLE_WORK = 1024 * 1024


@pytest.fixture
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rendering has `LITTLE_WORK`, and not `WORK_MAX`, which takes a second to spend."""
    monkeypatch.setattr(meter, "WORK_MAX", LITTLE_WORK)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a %}{{ ns.a * 2 }}{% endset %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a | replace('x', 'xx') %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a.replace('x', 'xx') %}{% endfor %}",
        "{% set ns = namespace(a='xx') %}{% for i in range(99) %}{% set ns.a = ns.a.join(ns.a) %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(99) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ 10 ** 9 * [1] }}",
        "{% for i in range(9999) %}" + "some words that are printed again and again " * 5 + "{% endfor %}",
        "{{ [1] | batch(1000000000, 0) | list }}",
        "{{ ('a' * 1000) | batch(0) | list | length }}{{ range(9999) | batch(0) | list * 999 }}",
        "{% set ns = namespace(a=[1]) %}"
        "{% for i in range(99) %}{% set ns.a = [ns.a, ns.a] | sum(start=[]) %}{% endfor %}",
        "{% set a = range(9999) | list %}{% for i in a %}{{ -1 in a }}{% endfor %}",
        "{% set a = range(9999) | list %}{% for i in a %}{{ a == a }}{% endfor %}",
        "{% set a = range(9999) | list %}{% for i in a %}{{ a is eq a }}{% endfor %}",
        "{% set a = range(9999) | list %}{% for i in a %}{% set b = a[:] %}{% endfor %}",
        "{% set a = range(9999) | list %}{% for i in a %}{{ a.count(i) }}{% endfor %}",
        "{% set a = range(9999) | list %}{% for i in a %}{{ a | sort | length }}{% endfor %}",
        "{% set a = range(9999) | list %}{% for i in a %}{{ a | map('string') | list | last }}{% endfor %}",
        "{% set a = range(9999) | list %}{% for i in a %}{{ a | select('in', a) | list | length }}{% endfor %}",
        "{% set a = 'a' * 9999 %}{% for i in a %}{{ 'b' in a }}{{ a.find('b') }}{{ a[1:] | length }}{% endfor %}",
        "{% set a = 'a' * 9999 %}{% for i in a %}{{ a | upper | length }}{% endfor %}",
        "{% set a = 'a' * 9999 %}{% for i in a %}{{ a[3] }}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}"
        "{% for i in range(14) %}{% set ns.a = [ns.a] * 9 %}{% endfor %}{{ ns.a | tojson }}",
        "{% set ns = namespace(a=[1]) %}"
        "{% for i in range(14) %}{% set ns.a = [ns.a] * 9 %}{% endfor %}{{ ns.a == ns.a }}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(14) %}{% set ns.a = [ns.a] * 9 %}{% endfor %}{{ ns.a }}",
        "{% macro f() %}{% endmacro %}"
        "{% for i in range(9999) %}{% for j in range(99) %}{{ f() }}{% endfor %}{% endfor %}",
    ],
)
@pytest.mark.usefixtures("little_work")
def test_too_much_work_is_refused(source: str) -> None:
    assert f"more than {LITTLE_WORK} units of work" in refused(source)


@pytest.mark.parametrize("items", ["range(9999) | list", "'a' * 9999"])
@pytest.mark.usefixtures("little_work")
def test_passes_of_such_loops_alone_are_not_too_much(items: str) -> None:
    """The control for the test above: what is done in a pass is what is too much."""
    assert len(render("{% set a = " + items + " %}{% for i in a %}{{ 'x' }}{% endfor %}")) == 9_999


def test_a_rendering_has_sixteen_million_units_of_work() -> None:
    source = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    assert WORK_MAX == 16 * 1024 * 1024
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
        ("{{ strftime_now('%Q') }}", "does not know '%Q'"),
        ("{{ strftime_now('%') }}", "does not know '%'"),
        ("{{ strftime_now('%Y' * 200) }}", "at most 256 characters"),
        ("{{ strftime_now(3) }}", "at most 256 characters"),
        ("{{ messages[7].content }}", "no element 7"),
        ("{{ 3 // 0 }}", "ZeroDivisionError"),
        ("{{ 'a' + 1 }}", "TypeError"),
        ("{{ messages | tojson(indent='x' * 9) }}", "TypeError"),
        ("{{ ''.strip | upper }}", "has no text"),
        ("{{ ''.strip | string }}", "has no text"),
        ("{{ namespace() }}", "has no text"),
        ("{{ 'a'.encode() }}", "unsafe"),
        ("{{ (1).to_bytes(1000000000, 'big') }}", "unsafe"),
        ("{{ {}.fromkeys(range(9)) }}", "unsafe"),
        ("{{ {1: 2}.pop(1) }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{{ 3.0.hex() }}", "unsafe"),
        ("{{ 3() }}", "cannot be called"),
        ("{{ messages() }}", "cannot be called"),
        ("{{ ['a', 'b'].index('c') }}", "not in the list"),
        ("{{ {(1, 2): 3} }}", "is no key"),
        ("{{ dict([((1, 2), 3)]) }}", "is no key"),
        ("{{ (1, 2) in {1: 2} }}", "is no key"),
        ("{{ {1: 2}[(1, 2)] }}", "is no key"),
        ("{{ {1: 2}.get((1, 2)) }}", "is no key"),
        ("{{ [[1], [2]] | sort }}", "is no key, and is not sorted"),
        ("{{ [[1], [2]] | unique | list }}", "is no key"),
        ("{{ [[1], [2]] | max }}", "is no key"),
        ("{{ 3.5 | round(300000000, 'floor') }}", "a precision from -15 to 15"),
        ("{{ 3.5 | round(-300000000) }}", "a precision from -15 to 15"),
        ("{{ 3.5 | round(1, 'up') }}", "common, ceil and floor"),
        ("{{ ('1' * 78) | int }}", "more than 77 characters"),
        ("{{ messages | tojson(separators=('x' * 17, '')) }}", "separators of at most 16"),
        ("{{ '%999999999f' % 1.5 }}", "formatting with %"),
        ("{{ '%.99999f' | format(1.5) }}", "formatting with %"),
        ("{{ '%*d' | format(999, 1) }}", "formatting with %"),
        ("{{ {'a': 1} | dictsort(by='x') }}", "dictsort takes"),
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
        ("{{ 0x" + "f" * 9999 + " // 3 }}", "more than 256 bits"),
        ("x" * (1024 * 1024 + 1), "1048577 characters"),
    ],
)
def test_a_template_that_is_not_valid_is_the_models_fault(source: str, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        ChatTemplate(source, TOKENS, where="model/chat_template.jinja")
    assert reason in str(caught.value)
    assert caught.value.where == "model/chat_template.jinja"


def test_a_number_of_a_request_is_shown_and_not_calculated_with() -> None:
    message = [ChatMessage("user", "hi")]
    assert ChatTemplate("{{ n }}", {}, where="t").render(message, {"n": 2**300}) == str(2**300)
    for source, number, reason in (
        ("{{ n // 3 }}", 2**300, "256 bits"),
        ("{{ -n }}", 2**300, "256 bits"),
        ("{{ n | tojson }}", 2**4096, "4096 bits"),
        ("{{ n }}", 2**4096, "4096 bits"),
    ):
        with pytest.raises(Refusal, match=reason):
            ChatTemplate(source, {}, where="t").render(message, {"n": number})


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
