from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.worlds import WITHOUT_SUMS, kind, plan
from turnwise.core.canonical import canonical
from turnwise.core.head import genesis, text_digest
from turnwise.core.plan import (
    CONTENTS_BYTES_MAX_DEFAULT,
    AgentPlan,
    InitialMessage,
    Kind,
    KindGrants,
    Limits,
    Plan,
)
from turnwise.core.plan_json import VERSION, plan_from_json, plan_to_json
from turnwise.core.tool_plan import SamplingPlan, ToolPlan, ToolServerPlan
from turnwise.core.withheld import Withheld
from turnwise.errors import InvariantError, JournalError

NAMES = st.sampled_from(["a", "b", "a-1", "trader", "é"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(["", "{}"])
LISTS = st.lists(NAMES, max_size=3).map(tuple)
INTEGERS = st.integers(0, 2**63 - 1)
GRANTS = st.builds(KindGrants, LISTS, LISTS, LISTS, LISTS, LISTS, LISTS, st.booleans(), st.booleans())
GRANTS_1 = st.builds(KindGrants, LISTS, LISTS, LISTS, LISTS, LISTS, LISTS, st.just(True))
LIMITS = st.builds(Limits, *[INTEGERS] * 10)
LIMITS_1 = st.builds(Limits, *[INTEGERS] * 4, *[st.none()] * 5, INTEGERS)


def plans(
    limits: st.SearchStrategy[Limits], grants: st.SearchStrategy[KindGrants], agents_max: st.SearchStrategy[int | None]
) -> st.SearchStrategy[Plan]:
    kinds = st.builds(Kind, NAMES, TEXTS, TEXTS, TEXTS, st.booleans(), LISTS, grants, limits, TEXTS)
    return st.builds(
        Plan,
        TEXTS,
        INTEGERS,
        st.lists(kinds, max_size=3).map(tuple),
        st.lists(st.builds(AgentPlan, NAMES, NAMES, TEXTS, TEXTS), max_size=4).map(tuple),
        st.sampled_from(["rounds", "sequential"]),
        INTEGERS,
        st.sampled_from(["continue", "stop"]),
        st.lists(st.builds(InitialMessage, NAMES, TEXTS), max_size=3).map(tuple),
        st.lists(st.tuples(NAMES, TEXTS), max_size=3).map(tuple),
        INTEGERS,
        INTEGERS,
        agents_max,
        st.none() | TEXTS,
        INTEGERS,
    )


PLANS = plans(LIMITS, GRANTS, INTEGERS) | plans(LIMITS_1, GRANTS_1, st.none())

PLAN = Plan(
    name="market",
    seed=7,
    kinds=(
        Kind(
            "trader",
            "ab" * 32,
            '{"budget":3}',
            "{}",
            groups=("traders",),
            grants=KindGrants(send=("market",)),
            limits=Limits(fuel=5_000_000_000),
        ),
    ),
    agents=(
        AgentPlan("trader-1", "trader", '{"budget":3}', "{}"),
        AgentPlan("trader-2", "trader", '{"budget":4}', "{}"),
    ),
    messages=(InitialMessage("trader-1", "go"),),
    models=(("storyteller", "cd" * 32),),
)
PLAN_1 = dataclasses.replace(
    PLAN,
    agents_max=None,
    kinds=(
        dataclasses.replace(
            PLAN.kinds[0], limits=WITHOUT_SUMS, grants=dataclasses.replace(PLAN.kinds[0].grants, finish=True)
        ),
    ),
)
TEXT_1 = (
    '{"agents":[{"kind":"trader","name":"trader-1"},{"args":"{\\"budget\\":4}","kind":"trader","name":"trader-2"}],'
    '"kinds":[{"args":"{\\"budget\\":3}","code":"' + "ab" * 32 + '",'
    '"grants":{"generate":[],"send":["market"],"spawn":[],"stop":[]},"groups":["traders"],'
    '"limits":{"effects_max":64,"fuel":5000000000,"memory_bytes":67108864,"output_bytes_max":4194304},'
    '"name":"trader","start":false,"state":"{}"}],"messages":[{"body":"go","to":"trader-1"}],'
    '"models":[{"name":"storyteller","sha256":"' + "cd" * 32 + '"}],"name":"market","on_failure":"continue","plan":1,'
    '"round_us":1000000,"rounds_max":2147483647,"schedule":"rounds","seed":7,"time_start_us":946684800000000}'
)
TEXT = (
    TEXT_1.replace('"plan":1', '"plan":2')
    .replace('],"kinds"', '],"agents_max":1000000,"kinds"')
    .replace('"grants":{"generate"', '"grants":{"finish":false,"generate"')
    .replace(
        '"limits":{"effects_max":64,"fuel":5000000000,"memory_bytes":67108864,"output_bytes_max":4194304}',
        '"limits":{"deliveries_max":1000000,"effects_bytes_max":67108864,"effects_max":64,"fuel":5000000000,'
        '"inbox_bytes_max":8388608,"memory_bytes":67108864,"output_bytes_max":4194304,"send_bytes_max":4194304,'
        '"state_bytes_max":8388608}',
    )
)


def test_plans_without_bounds_of_sums_keep_the_form_of_version_1() -> None:
    assert plan_to_json(PLAN_1) == TEXT_1
    assert plan_from_json(TEXT_1) == PLAN_1


def test_a_plan_has_all_bounds_of_sums_or_none() -> None:
    for half in (
        dataclasses.replace(PLAN, agents_max=None),
        dataclasses.replace(PLAN_1, agents_max=5),
        dataclasses.replace(PLAN, kinds=(dataclasses.replace(PLAN.kinds[0], limits=Limits(send_bytes_max=None)),)),
    ):
        with pytest.raises(InvariantError, match="all bounds of sums, or none"):
            plan_to_json(half)
    with pytest.raises(JournalError, match="'inbox_bytes_max'"):
        plan_from_json(TEXT.replace('"inbox_bytes_max":8388608,', ""))
    with pytest.raises(JournalError, match="'deliveries_max'"):
        plan_from_json(TEXT.replace('"plan":2', '"plan":1').replace('"finish":false,', ""))


def test_the_grant_to_finish_is_there_from_version_2_on() -> None:
    assert plan_from_json(TEXT_1).kinds[0].grants.finish
    assert not plan_from_json(TEXT).kinds[0].grants.finish
    assert plan_from_json(TEXT.replace('"finish":false', '"finish":true')).kinds[0].grants.finish
    for text in (TEXT.replace('"finish":false,', ""), TEXT_1.replace('"grants":{', '"grants":{"finish":false,')):
        with pytest.raises(JournalError, match="'finish'"):
            plan_from_json(text)
    kind_1 = dataclasses.replace(PLAN_1.kinds[0], grants=KindGrants())
    with pytest.raises(InvariantError, match="everybody may finish"):
        plan_to_json(dataclasses.replace(PLAN_1, kinds=(kind_1,)))


def test_the_stored_form_never_changes() -> None:
    assert plan_to_json(PLAN) == TEXT
    assert plan_from_json(TEXT) == PLAN


@given(PLANS)
def test_the_round_trip_is_exact(plan: Plan) -> None:
    text = plan_to_json(plan)
    assert plan_from_json(text) == plan
    assert canonical(json.loads(text)) == text


@given(PLANS, PLANS)
def test_other_plans_have_other_texts(one: Plan, other: Plan) -> None:
    assert (plan_to_json(one) == plan_to_json(other)) == (one == other)


def test_every_field_counts() -> None:
    """A field that is added to the plan and not to its text would let two runs have one head."""
    grants = KindGrants(infer=("m",), embed=("m",), run_python=True, ask=True, call=("t",), approve=("t.a",))
    limits = dataclasses.replace(PLAN.kinds[0].limits, put_bytes_max=1)
    granted = dataclasses.replace(PLAN.kinds[0], grants=grants, limits=limits, system="s")
    tool = ToolPlan("a", "does it", "{}", "{}", idempotent=True, pure=True)
    sampling = SamplingPlan(("m",))
    server = ToolServerPlan("t", (tool,), sampling=sampling)
    text = plan_to_json(
        dataclasses.replace(PLAN, kinds=(granted,), run_python="ab" * 32, contents_bytes_max=1, tools=(server,))
    )
    for part in (
        PLAN,
        granted,
        granted.grants,
        granted.limits,
        PLAN.agents[1],
        PLAN.messages[0],
        server,
        sampling,
        tool,
    ):
        for item in dataclasses.fields(part):
            assert f'"{item.name}":' in text, item.name


def changed(path: list[Any], value: object) -> str:
    document = json.loads(TEXT)
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        changed(["seed"], "7"),
        changed(["seed"], True),
        changed(["seed"], KeyError),
        changed(["schedule"], "random"),
        changed(["on_failure"], None),
        changed(["more"], 1),
        changed(["kinds"], {}),
        changed(["kinds", 0], []),
        changed(["kinds", 0, "groups"], [1]),
        changed(["kinds", 0, "start"], 0),
        changed(["kinds", 0, "grants", "fly"], []),
        changed(["kinds", 0, "grants", "send"], "market"),
        changed(["kinds", 0, "limits", "fuel"], 1.5),
        changed(["kinds", 0, "name"], "other"),
        changed(["agents", 0, "name"], KeyError),
        changed(["agents", 0, "kind"], []),
        changed(["agents", 0, "kind"], {}),
        changed(["agents", 0, "args"], 3),
        changed(["agents", 0, "more"], "x"),
        changed(["agents", 0], None),
        changed(["agents", 0], ["kind"]),
        changed(["messages", 0, "body"], None),
        changed(["messages", 0, "more"], "x"),
        changed(["models", 0, "path"], "x"),
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(JournalError, match="the plan cannot be read") as caught:
        plan_from_json(text)
    assert caught.value.hint is not None


def test_a_newer_version_is_said_to_be_one() -> None:
    with pytest.raises(JournalError, match="version 3") as caught:
        plan_from_json(changed(["plan"], 3))
    assert (caught.value.expected, caught.value.actual) == (VERSION, 3)
    assert "newer" in str(caught.value)


def test_later_grants_are_written_where_there_are_any() -> None:
    plan = dataclasses.replace(PLAN, kinds=(dataclasses.replace(PLAN.kinds[0], grants=KindGrants(infer=("x",))),))
    text = plan_to_json(plan)
    assert '"grants":{"finish":false,"generate":[],"infer":["x"],"send":[],"spawn":[],"stop":[]}' in text
    assert plan_from_json(text) == plan
    with pytest.raises(JournalError, match="empty 'infer'"):
        plan_from_json(text.replace('"infer":["x"]', '"infer":[]'))


def test_texts_that_were_withheld_leave_the_beginning_of_the_head() -> None:
    told = kind("a", args='{"secret":1}', state="first", system="be kind")
    whole = plan([told], ["one:a", "two:a"], messages=[("one", "go")])
    whole = dataclasses.replace(
        whole, agents=(whole.agents[0], dataclasses.replace(whole.agents[1], args='{"other":2}'))
    )

    def without(text: str) -> Withheld:
        return Withheld(text_digest(text))

    hidden = dataclasses.replace(told, args=without(told.args), state=without(told.state), system=without(told.system))
    first, second = whole.agents
    redacted = dataclasses.replace(
        whole,
        kinds=(hidden,),
        agents=(
            dataclasses.replace(first, args=hidden.args, state=hidden.state),
            dataclasses.replace(second, args=without(second.args), state=hidden.state),
        ),
        messages=(InitialMessage("one", without("go")),),
    )
    text = plan_to_json(redacted)
    assert "secret" not in text
    assert "other" not in text
    assert plan_to_json(plan_from_json(text)) == text
    assert genesis(plan_from_json(text)) == genesis(whole)
    assert genesis(dataclasses.replace(redacted, kinds=(dataclasses.replace(hidden, args=without("x")),))) != genesis(
        whole
    )


def test_tools_come_back_as_they_were() -> None:
    tools = ToolPlan("a"), ToolPlan("b", "does it", '{"type":"object"}', "{}", idempotent=True, pure=True)
    sampling = SamplingPlan(("m", "n"), 3, 50)
    servers = ToolServerPlan("s", tools, 5, 1_000), ToolServerPlan("t"), ToolServerPlan("u", sampling=sampling)
    plan = dataclasses.replace(PLAN, tools=servers)
    text = plan_to_json(plan)
    assert plan_from_json(text) == plan
    for before, after in (
        ('"calls_max":5', '"calls_max":"5"'),
        ('"pure":true', '"pure":false'),
        ('"name":"t"', '"name":"s"'),
        ('"models":["m","n"]', '"models":[]'),
        ('"models":["m","n"]', '"models":["m",5]'),
        ('"requests_max":3', '"requests_max":0'),
        ('"tokens_max":50', '"tokens_max":"50"'),
        ('"tokens_max":50', '"tokens_max":50,"more":1'),
    ):
        assert before in text
        with pytest.raises(JournalError, match="tools"):
            plan_from_json(text.replace(before, after))


@pytest.mark.parametrize("name", ["ask", "run_python"])
def test_a_grant_is_written_where_it_is_given(name: str) -> None:
    granted = dataclasses.replace(PLAN.kinds[0], grants=KindGrants(**{name: True}))  # type: ignore[arg-type]
    text = plan_to_json(dataclasses.replace(PLAN, kinds=(granted,)))
    assert plan_from_json(text).kinds[0].grants == granted.grants
    assert f'"{name}":true' in text
    assert f'"{name}"' not in TEXT
    with pytest.raises(JournalError, match="that is not set"):
        plan_from_json(text.replace(f'"{name}":true', f'"{name}":false'))


def test_what_is_as_it_usually_is_stands_in_no_plan() -> None:
    for bytes_max, said in ((1, None), (CONTENTS_BYTES_MAX_DEFAULT, "that is the usual one")):
        text = TEXT.replace('"kinds"', f'"contents_bytes_max":{bytes_max},"kinds"', 1)
        if said is None:
            assert plan_from_json(text).contents_bytes_max == bytes_max
        else:
            with pytest.raises(JournalError, match=said):
                plan_from_json(text)
