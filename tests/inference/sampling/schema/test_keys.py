from __future__ import annotations

from typing import Any

import pytest

from tests.inference.sampling.accepts import accepts
from turnwise.inference.requests.refusal import Refusal

PRICE: dict[str, Any] = {"type": "object", "properties": {"price": {"type": "integer"}}, "required": ["price"]}
TYPED: dict[str, Any] = {**PRICE, "additionalProperties": {"type": "string"}}
ANY_OF: dict[str, Any] = {"anyOf": [PRICE, {"properties": {"name": {"type": "string"}}, "required": ["name"]}]}
SIBLINGS: dict[str, Any] = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "anyOf": [{"properties": {"b": {"type": "integer"}}, "required": ["b"]}, {"required": ["c"]}],
}


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (PRICE, '{"price":1}', True),
        (PRICE, '{"price":1,"other":"free"}', True),
        (PRICE, r'{"price":1,"\u0070rice":"free"}', False),
        (PRICE, '{"price":1,"price":"free"}', False),
        (TYPED, '{"price":1,"other":"x"}', True),
        (TYPED, '{"price":1,"other":2}', False),
        (TYPED, '{"price":1,"other":"x","other":"y"}', True),
        (TYPED, r'{"price":1,"a\nb":"y"}', True),
        (TYPED, '{"price":1,"pric":"x","prices":"y","":"z","q":"a","pRice":"b"}', True),
        (TYPED, r'{"price":1,"\u0070rice":"free"}', False),
        ({**TYPED, "required": []}, '{"price":"x"}', False),
        ({**TYPED, "properties": {"a": {}, "ab": {}, "b.": {}}, "required": []}, '{"a":1,"ab":2,"b.":3,"b":"x"}', True),
        ({**TYPED, "properties": {"a": {}, "ab": {}, "b.": {}}, "required": []}, '{"abc":"x","bx":"y","c":"z"}', True),
        ({**TYPED, "properties": {"a": {}, "ab": {}, "b.": {}}, "required": []}, '{"b":1}', False),
        ({**PRICE, "additionalProperties": False}, '{"price":1,"other":"x"}', False),
        ({"type": "object", "properties": {"a": False}}, r'{"\u0061":1}', False),
        ({"type": "object", "properties": {"a": False}}, '{"b":1}', True),
        ({"type": "object", "required": ["q"]}, r'{"q":1,"\u0071":2}', False),
        ({"type": "object", "required": ["q"]}, '{"q":1,"r":2}', True),
        ({"type": "object", "patternProperties": {"^a": {"type": "integer"}}}, '{"ab":1}', True),
        ({"type": "object", "patternProperties": {"^a": {"type": "integer"}}}, r'{"\u0061b":"x"}', False),
        ({"type": "object", "patternProperties": {"^a": {"type": "integer"}}}, '{"b":"x"}', False),
        ({"allOf": [PRICE, {"properties": {"n": {"type": "null"}}}]}, r'{"price":1,"\u006e":2}', False),
        ({"allOf": [PRICE, {"properties": {"n": {"type": "null"}}}]}, '{"price":1,"n":null,"m":2}', True),
        (ANY_OF, r'{"name":"a","\u006eame":2}', False),
        (ANY_OF, '{"name":"a","else":2}', True),
        (SIBLINGS, '{"b":2,"x":1}', True),
        (SIBLINGS, '{"x":1,"c":[]}', True),
        (SIBLINGS, r'{"x":1,"c":[],"\u0078":"s"}', False),
        ({"$ref": "#/$defs/p", "$defs": {"p": PRICE}}, r'{"price":1,"\u0070rice":"free"}', False),
        ({"type": "array", "items": TYPED}, r'[{"price":1,"\u0070rice":"free"}]', False),
        ({"const": {"properties": {"a": 1}}}, '{"properties":{"a":1}}', True),
        ({"enum": [{"required": ["a"], "b": 1}]}, '{"b":1,"required":["a"]}', True),
        ({"type": "object", "minProperties": 1}, '{"a":1}', True),
        ({"type": "object", "minProperties": 1}, "{}", False),
        ({**PRICE, "minProperties": 2}, '{"price":1,"other":2}', True),
        ({**PRICE, "minProperties": 2}, '{"price":1}', False),
        ({**PRICE, "minProperties": 1}, '{"price":1}', True),
        ({"type": "object", "maxProperties": 1}, '{"a":1,"b":1}', False),
    ],
)
def test_keys_are_what_readers_of_json_see(schema: Any, text: str, expected: bool) -> None:
    assert accepts(schema, text) == expected


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "object", "minProperties": 2}, "others could come twice"),
        ({**PRICE, "minProperties": 3}, "others could come twice"),
        (
            {"type": "object", "minProperties": 2, "patternProperties": {"a": True}, "additionalProperties": False},
            "twice",
        ),
        ({"type": "object", "properties": {"a\nb": {}}}, "a control character"),
        ({"type": "object", "required": ["a\x7f"]}, "a control character"),
        ({"patternProperties": {"^a": {}}, "additionalProperties": {"type": "null"}}, "beside patternProperties"),
        (
            {"properties": {"a": {"$ref": "#/additionalProperties"}}, "additionalProperties": {}},
            "into additionalProper",
        ),
        ({"$ref": "#/elsewhere", "elsewhere": {"properties": {"a": {}}}}, "put what it leads to into $defs"),
        ({**TYPED, "properties": {"a" * 201: {}}, "required": []}, "names of more than 200 characters"),
        ({**TYPED, "properties": {f"{n:0100}": {} for n in range(41)}, "required": []}, "or 4096 in all"),
        ({"patternProperties": {f"^a{number}$": {} for number in range(33)}}, "33 patterns of keys, at most 32"),
        ({"properties": {"score": {}}, "patternProperties": {"^score$": {}}}, '"^score$" in patternProperties'),
        ({"properties": {"a": {}, "b": {}}, "patternProperties": {"^[ab]$": {}}}, "matches only names"),
        ({"allOf": [{"properties": {"s": {}}}, {"patternProperties": {"^s$": {}}}]}, "matches only names"),
    ],
)
def test_what_cannot_be_held_is_refused(schema: Any, reason: str) -> None:
    with pytest.raises(Refusal) as caught:
        accepts(schema, "")
    assert reason in caught.value.message
