from __future__ import annotations

import pytest

from tests.world.conftest import Write, only_problem, problems_of
from turnwise.world import World
from turnwise.world.meaning import references

WORLD = """
[world]
name = "test"
[models.storyteller]
path = "."
[agents.editor]
source = "a.py"
{editor}
[agents.narrator]
source = "a.py"
count = 2
groups = ["writers"]
{narrator}
"""


def world(editor: str = "", narrator: str = "", more: str = "") -> str:
    return WORLD.format(editor=editor, narrator=narrator) + more


@pytest.mark.parametrize(
    ("grants", "key", "message", "hint"),
    [
        (
            "generate = ['storyteler']",
            "generate.0",
            'no model "storyteler"',
            "Did you mean storyteller? The world has:",
        ),
        ("generate = ['x']", "generate.0", 'no model "x"', "The world has: storyteller."),
        ("generate = ['x*']", "generate.0", 'no model matches "x*"', "The world has: storyteller."),
        ("generate = ['[']", "generate.0", 'no model "["', "The world has: storyteller."),
        ("send = ['editr']", "send.0", 'no agent or group "editr"', "Did you mean editor?"),
        ("send = ['editor', 'Editor']", "send.1", 'no agent or group "Editor"', "Did you mean editor?"),
        ("send = ['narrator']", "send.0", 'no agent or group "narrator"', "Did you mean narrator-1 or narrator-*?"),
        ("send = ['narrator-3']", "send.0", 'no agent or group "narrator-3"', "(grants.spawn)"),
        ("send = ['writer']", "send.0", 'no agent or group "writer"', "Did you mean writers?"),
        ("send = ['zzz']", "send.0", 'no agent or group "zzz"', "narrator-1, narrator-2. Groups: writers."),
        ("send = ['x-*']", "send.0", 'no agent matches "x-*"', "Agents: editor, narrator-1, narrator-2."),
        (
            "send = ['narrator-[12]*']",
            "send.0",
            '"narrator-[12]*" is no pattern of names',
            "* stands for any characters",
        ),
        ("send = ['a b']", "send.0", '"a b" is not a name', "A name is a letter"),
        ("send = ['outside']", "send.0", '"outside" is nobody', "Name an agent or a group."),
        ("stop = ['editr']", "stop.0", 'no agent or group "editr"', "Did you mean editor?"),
        ("spawn = ['narator']", "spawn.0", 'no kind of agent "narator"', "Did you mean narrator?"),
        ("spawn = ['narrator-1']", "spawn.0", 'no kind of agent "narrator-1"', "Did you mean narrator?"),
    ],
)
def test_a_grant_to_unknown_names(write: Write, grants: str, key: str, message: str, hint: str) -> None:
    problem = only_problem(write(world(f"grants = {{ {grants} }}")))
    assert problem.where.endswith(f"world.toml: agents.editor.grants.{key}")
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "names",
    [["editor"], ["narrator-2"], ["writers"], ["narrator-*"], ["narrator-?"], ["*"], ["*ers"], ["e*r", "writers"]],
)
def test_grants_reach_agents_patterns_and_groups(write: Write, names: list[str]) -> None:
    resolved = World.read(write(world(f"grants = {{ send = {names}, stop = {names} }}"))).resolve()
    assert resolved.kinds[0].grants.send == resolved.kinds[0].grants.stop == tuple(sorted(names))


def test_where_kinds_are_spawned_agents_may_have_any_name(write: Write) -> None:
    grants = "grants = { spawn = ['narrator'], send = ['anna', 'child-*'], stop = ['child-?'] }"
    resolved = World.read(write(world(grants, "grants = { send = ['bob'] }"))).resolve()
    assert resolved.kinds[0].grants.send == ("anna", "child-*")
    assert resolved.kinds[1].grants.send == ("bob",)


def test_even_there_a_name_is_a_name(write: Write) -> None:
    problems = problems_of(write(world("grants = { spawn = ['narrator'], send = ['a b', 'outside', 'x-[1]*'] }")))
    assert [problem.message for problem in problems] == [
        '"a b" is not a name',
        '"outside" is nobody',
        '"x-[1]*" is no pattern of names',
    ]


def test_each_effect_has_its_models(write: Write) -> None:
    grants = "grants = { generate = ['storyteller'], infer = ['ot*'], embed = ['other', 'other'] }"
    given = (
        World.read(write(world(grants, more="[models.other]\npath = '.'\ntask = 'infer'\n"))).resolve().kinds[0].grants
    )
    assert (given.generate, given.infer, given.embed) == (("storyteller",), ("other",), ("other",))
    problem = only_problem(write(world("grants = { infer = ['policy'] }")))
    assert problem.message == 'there is no model "policy"'
    assert problem.where.endswith("agents.editor.grants.infer.0")


def test_patterns_over_models_and_kinds_are_written_out(write: Write) -> None:
    grants = "grants = { generate = ['*'], spawn = ['narr*', 'narrator', '?ditor'] }"
    resolved = World.read(write(world(grants, more="[models.other]\npath = '.'\n"))).resolve()
    assert resolved.kinds[0].grants.generate == ("other", "storyteller")
    assert resolved.kinds[0].grants.spawn == ("editor", "narrator")


@pytest.mark.parametrize(
    ("to", "message", "hint"),
    [
        (
            "nobody",
            'there is no agent or group "nobody"',
            "Agents: editor, narrator-1, narrator-2. Groups: writers, spares.",
        ),
        ("narrator", 'there is no agent or group "narrator"', "Did you mean narrator-1?"),
        ("narrator-*", '"narrator-*" is a pattern', "Send to an agent or to a group."),
        ("outside", 'there is no agent or group "outside"', "Agents: editor"),
        ("", 'there is no agent or group ""', "Agents: editor"),
        ("spares", 'the group "spares" has nobody in it in round 1', "a count above 0"),
    ],
)
@pytest.mark.parametrize("spawn", ["", "grants = { spawn = ['spare'] }"])
def test_a_message_to_unknown_names(write: Write, to: str, message: str, hint: str, spawn: str) -> None:
    spare = "[agents.spare]\nsource = 'a.py'\ncount = 0\ngroups = ['spares']\n"
    problem = only_problem(write(world(spawn, more=f"{spare}[[messages]]\nto = '{to}'\nbody = ''\n")))
    assert problem.where.endswith("world.toml: messages.0.to")
    assert problem.message == message
    assert hint in problem.hint


def test_messages_reach_agents_and_groups(write: Write) -> None:
    more = "".join(f"[[messages]]\nto = '{to}'\nbody = ''\n" for to in ("editor", "narrator-2", "writers"))
    assert len(World.read(write(world(more=more))).resolve().messages) == 3


@pytest.mark.parametrize(
    ("group", "message", "hint"),
    [
        ("editor", 'the group "editor" has the name of an agent', "Rename the group or the agent"),
        ("narrator-1", 'the group "narrator-1" has the name of an agent', "Rename the group or the agent"),
        ("outside", '"outside" is reserved', "Choose another name."),
        ("a b", '"a b" is not a name', "A name is a letter"),
        ("", '"" is not a name', "A name is a letter"),
    ],
)
def test_a_group_with_a_bad_name(write: Write, group: str, message: str, hint: str) -> None:
    problem = only_problem(write(world(f"groups = ['ok', '{group}']")))
    assert problem.where.endswith("world.toml: agents.editor.groups.1")
    assert problem.message == message
    assert hint in problem.hint


def test_a_group_may_be_called_like_a_kind_of_many(write: Write) -> None:
    assert World.read(write(world("groups = ['narrator']"))).resolve().kinds[0].groups == ("narrator",)


def test_names_among_very_many_are_checked_at_once(write: Write) -> None:
    toml = world("grants = { send = ['nobody', 'narrator-100000', 'narrator-*', '*-99999'] }")
    problem = only_problem(write(toml.replace("count = 2", "count = 100_000")))
    assert "and 99989 more" in problem.hint


def test_what_patterns_cost_to_check_is_bounded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "COMPARISONS_MAX", 6_000)
    late = ", ".join(f"'narrator-{number}?99'" for number in (3, 4, 5))  # found after some 3,000 names each
    text = world(editor=f"grants = {{ send = [{late}] }}").replace("count = 2", "count = 9999")
    problem = only_problem(write(text))
    assert problem.where.endswith("agents.editor.grants.send.1")
    assert problem.message == "takes more than 6000 comparisons of names to check"
    monkeypatch.setattr(references, "COMPARISONS_MAX", 60_000)
    World.read(write(text))


def test_a_pattern_is_compared_once_however_often_it_is_granted(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "COMPARISONS_MAX", 4_000)
    text = world(editor="grants = { send = ['narrator-3?99'], stop = ['narrator-3?99'] }")
    World.read(write(text.replace("count = 2", "count = 9999")))


def test_what_patterns_grant_when_they_are_written_out_is_bounded(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "GRANTED_MAX", 3)
    assert len(World.read(write(world(editor="grants = { spawn = ['*'] }"))).resolve().kinds[0].grants.spawn) == 2
    problem = only_problem(write(world("grants = { spawn = ['*'] }", "grants = { spawn = ['*'] }")))
    assert problem.where.endswith("agents.narrator.grants.spawn.0")
    assert problem.message == "grants too many names"
