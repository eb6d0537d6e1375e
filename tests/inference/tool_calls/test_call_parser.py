"""Calls in text, however it comes in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inference.text.test_tool_form import HERMES_FORM
from turnwise.inference.plans.tool_form import CALL_ID, ToolForm
from turnwise.inference.tool_calls.call_parser import CallDelta, CallParser, TextDelta

LLAMA_FORM = ToolForm('{"name": "', '", "parameters": ', None, "}")
MISTRAL_FORM = ToolForm(
    '[TOOL_CALLS] [{"name": "',
    '", "arguments": ',
    f', "id": "{CALL_ID}"}}, {{"name": "',
    f', "id": "{CALL_ID}"}}]',
    {"[TOOL_CALLS]": 7},
)
ODD = '{"a":"}\\"</tool_call>{","b":[{},{"c":1}]}'
BEGIN = '<tool_call>\n{"name": "f", "arguments": '
TWO = BEGIN + ODD + '}\n</tool_call>\n<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
IDS = ' [{"name": "f", "arguments": {}, "id": "abcdefgh1"}, {"name": "g", "arguments": {}, "id": "x"}]'


def parsed(form: ToolForm, pieces: list[str]) -> tuple[str, list[tuple[str, str]], int]:
    """The text, the calls by name with their arguments, and how many calls there are said to be."""
    parser = CallParser(form)
    text, calls = "", []
    for delta in [delta for piece in pieces for delta in parser.feed(piece)] + parser.rest():
        if isinstance(delta, TextDelta):
            assert not calls, "text behind a call"
            text += delta.text
        elif delta.name is not None:
            assert delta.index == len(calls)
            calls.append((delta.name, delta.arguments))
        else:
            assert isinstance(delta, CallDelta)
            assert delta.index == len(calls) - 1
            calls[-1] = (calls[-1][0], calls[-1][1] + delta.arguments)
    return text, calls, parser.calls


CASES = [
    (HERMES_FORM, "No call <tool> at <tool_cal", "No call <tool> at <tool_cal", []),
    (HERMES_FORM, " space is kept \n", " space is kept \n", []),
    (HERMES_FORM, "", "", []),
    (HERMES_FORM, "Let me see.\n\n" + TWO, "Let me see.", [("f", ODD), ("g", "{}")]),
    (HERMES_FORM, "\n" + TWO, "", [("f", ODD), ("g", "{}")]),
    (HERMES_FORM, BEGIN + ODD[:3], "", [("f", ODD[:3])]),
    (LLAMA_FORM, '{"name": "f", "parameters": {"a":1}}', "", [("f", '{"a":1}')]),
    (LLAMA_FORM, 'A set: {"name"} is none', 'A set: {"name"} is none', []),
    (MISTRAL_FORM, IDS, "", [("f", "{}"), ("g", "{}")]),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "plain", "calls"), CASES)
@given(data=st.data())
def test_pieces_change_nothing(
    form: ToolForm, text: str, plain: str, calls: list[tuple[str, str]], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert parsed(form, pieces) == (plain, calls, len(calls))
    assert parsed(form, list(text)) == (plain, calls, len(calls))
