from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.worlds import kind, plan
from turnwise.core.canonical import canonical
from turnwise.core.plan import KindGrants
from turnwise.core.system_prompt import with_system
from turnwise.core.turn import EffectRequest
from turnwise.sim import Effect, simulate

USER = {"role": "user", "content": "hi"}


def request(**body: Any) -> EffectRequest:
    return EffectRequest("generate", "m", canonical({"effect": "generate", "model": "m", **body}))


def test_a_conversation_gets_the_kinds_system_prompt() -> None:
    asked = with_system(request(messages=[USER], tokens_max=3), "Be brief.")
    assert asked == request(messages=[USER], tokens_max=3, system="Be brief.")


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "hi"},
        {"messages": [USER], "system": "Own."},
        {"messages": [USER], "system": ""},
        {"messages": [USER, {"role": "system", "content": "Own."}]},
        {"messages": "hi"},
        {},
    ],
)
def test_what_has_none_or_its_own_stays_as_it_is(body: dict[str, Any]) -> None:
    assert with_system(request(**body), "Be brief.") == request(**body)


def test_other_requests_stay_as_they_are() -> None:
    assert with_system(request(messages=[USER]), "") == request(messages=[USER])
    other = EffectRequest("embed", "m", '{"messages":[]}')
    assert with_system(other, "Be brief.") == other
    strange = request(messages=[3, {"role": ["system"]}])
    assert json.loads(with_system(strange, "x").body)["system"] == "x"


def test_it_is_recorded_as_it_was_asked() -> None:
    def talker(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        effect({"effect": "generate", "model": "m", "messages": [USER]})
        effect({"effects": [{"effect": "generate", "model": "m", "prompt": "a"}]})
        return {"state": ""}

    asked: list[dict[str, Any]] = []

    def answer(request: EffectRequest, stream: bytes) -> dict[str, Any]:
        asked.append(json.loads(request.body))
        return {"ok": {}}

    def heads(system: str) -> bytes:
        kinds = [kind("talker", start=True, grants=KindGrants(generate=("m",)), system=system)]
        run = simulate(plan(kinds, models=(("m", "0" * 64),)), {"talker": talker}, answer=answer)
        effects = run.rounds[0].turns[0].effects
        assert [json.loads(effect.request) for effect in effects] == asked[-2:]
        return run.machine.head

    assert heads("A") != heads("B")
    assert [item.get("system") for item in asked] == ["A", None, "B", None]
