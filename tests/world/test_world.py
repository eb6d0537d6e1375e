from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.world.conftest import Write
from turnwise.core.plan import AgentPlan
from turnwise.errors import InvariantError, WorldError
from turnwise.world import Agent, Grants, InitialMessage, Model, Overrides, World

STORY_CIRCLE = """
[world]
name = "story-circle"
seed = 7
schedule = "sequential"
rounds_max = 12
on_failure = "stop"
time_start = 2030-06-01T12:00:00+02:00
round_seconds = 0.25
turn_seconds_max = 7200

[models.storyteller]
path = "models/stories"
provider = "cuda"
require = true
variant = "q4"
accuracy_level = 4
context_tokens_max = 2048
multiplications_max = 5000000000000
batching = "free"

[agents.narrator]
source = "narrator.py"
count = 3
args = { mood = "cheerful" }
state = { told = 0 }
groups = ["writers"]
grants = { generate = ["storyteller"], send = ["editor"], spawn = ["helper"], stop = ["helper-*"] }
fuel = 5_000_000
memory_mib = 48
output_mib = 2
effects_max = 8

[agents.editor]
source = "editor.py"
start = true
state = "as it is"
grants = { send = ["writers"] }

[agents.helper]
source = "helpers/helper.wat"
count = 0

[[messages]]
to = "editor"
body = "A dog finds a red ball."
"""
FILES = {
    "narrator.py": "import words\n",
    "words.py": "",
    "editor.py": "",
    "helpers/helper.wat": "(module)",
    "models/stories/genai_config.json": "{}",
}
CODES = {"narrator": "a" * 64, "editor": "b" * 64, "helper": "c" * 64}
MODELS = {"storyteller": "d" * 64}


@pytest.fixture
def folder(write: Write) -> Path:
    return write(STORY_CIRCLE, FILES)


def story_circle(folder: Path | None, source: Path) -> World:
    """The same world, built in Python."""
    return World(
        "story-circle",
        seed=7,
        schedule="sequential",
        rounds_max=12,
        on_failure="stop",
        time_start=datetime(2030, 6, 1, 10, tzinfo=UTC),
        round_seconds=0.25,
        turn_seconds_max=7200,
        models={
            "storyteller": Model(
                source / "models/stories",
                provider="cuda",
                require=True,
                variant="q4",
                accuracy_level=4,
                context_tokens_max=2048,
                multiplications_max=5_000_000_000_000,
                batching="free",
            )
        },
        agents={
            "narrator": Agent(
                source / "narrator.py",
                count=3,
                args={"mood": "cheerful"},
                state={"told": 0},
                groups=["writers"],
                grants=Grants(generate=["storyteller"], send=["editor"], spawn=["helper"], stop=["helper-*"]),
                fuel=5_000_000,
                memory_mib=48,
                output_mib=2,
                effects_max=8,
            ),
            "editor": Agent(
                source / "editor.py",
                start=True,
                state="as it is",
                grants=Grants(send=["writers"]),
            ),
            "helper": Agent("(module)", count=0),
        },
        messages=[InitialMessage("editor", "A dog finds a red ball.")],
        folder=folder,
    )


def test_a_world_from_a_file_has_the_plan_that_it_says(folder: Path) -> None:
    plan = World.read(folder).plan(CODES, MODELS)
    assert (plan.name, plan.seed, plan.schedule, plan.rounds_max, plan.on_failure) == (
        "story-circle",
        7,
        "sequential",
        12,
        "stop",
    )
    assert plan.time_start_us == int(datetime(2030, 6, 1, 10, tzinfo=UTC).timestamp()) * 1_000_000
    assert plan.round_us == 250_000
    assert plan.models == (("storyteller", "d" * 64),)
    assert plan.messages == (InitialMessage("editor", "A dog finds a red ball."),)
    narrators = [AgentPlan(f"narrator-{i}", "narrator", '{"mood":"cheerful"}', '{"told":0}') for i in (1, 2, 3)]
    assert plan.agents == (*narrators, AgentPlan("editor", "editor", "{}", "as it is"))
    narrator, editor, helper = plan.kinds
    assert (narrator.code, narrator.args, narrator.state) == ("a" * 64, '{"mood":"cheerful"}', '{"told":0}')
    assert (narrator.groups, narrator.start) == (("writers",), False)
    assert narrator.grants.generate == ("storyteller",)
    assert (narrator.grants.spawn, narrator.grants.stop) == (("helper",), ("helper-*",))
    limits = narrator.limits
    assert (limits.fuel, limits.memory_bytes, limits.output_bytes_max, limits.effects_max) == (
        5_000_000,
        48 << 20,
        2 << 20,
        8,
    )
    assert editor.start
    assert (helper.name, helper.args, helper.state) == ("helper", "{}", "")


def test_the_file_and_its_folder_are_the_same_world(folder: Path) -> None:
    assert World.read(folder).resolve() == World.read(folder / "world.toml").resolve()


@pytest.mark.parametrize("inside", [True, False], ids=["in its folder", "without a folder"])
def test_a_world_built_in_python_has_the_same_plan(folder: Path, inside: bool) -> None:
    built = story_circle(folder if inside else None, Path() if inside else folder)
    read = World.read(folder)
    assert built.plan(CODES, MODELS) == read.plan(CODES, MODELS)
    assert built.resolve().sources == read.resolve().sources
    assert built.resolve().models == read.resolve().models
    assert built.resolve() == read.resolve()
    assert (built.resolve().label, read.resolve().label) == ('World("story-circle")', f"{folder}/world.toml")


def test_sources_come_with_what_they_import(folder: Path) -> None:
    sources = World.read(folder).resolve().sources
    assert [name for name, _ in sources["narrator"].files] == ["narrator.py", "words.py"]
    assert (sources["helper"].language, sources["helper"].files) == ("wat", (("helper.wat", b"(module)"),))


def test_a_place_is_named_for_errors_that_are_found_later(folder: Path) -> None:
    resolved = World.read(folder).resolve()
    assert resolved.where("agents", "a.b", "source") == f'{folder}/world.toml: agents."a.b".source'


def test_a_world_is_resolved_once(folder: Path) -> None:
    world = World.read(folder)
    (folder / "narrator.py").unlink()
    assert world.resolve() is world.resolve()


def test_a_world_can_be_changed_into_another(folder: Path) -> None:
    world = World.read(folder)
    other = dataclasses.replace(world, seed=8)
    assert (world.plan(CODES, MODELS).seed, other.plan(CODES, MODELS).seed) == (7, 8)
    assert dataclasses.replace(world.plan(CODES, MODELS), seed=8) == other.plan(CODES, MODELS)
    assert world.override(Overrides(seed=8)).resolve() == other.resolve()


def test_worlds_can_be_copied_and_pickled(folder: Path) -> None:
    world = World.read(folder)
    assert copy.deepcopy(world) == world == pickle.loads(pickle.dumps(world))


def test_a_subclass_reads_itself(folder: Path) -> None:
    class Mine(World):
        __slots__ = ()

    assert type(Mine.read(folder)) is Mine
    assert type(Mine.read(folder).override(Overrides(seed=1))) is Mine


def test_the_order_of_grants_groups_and_models_leaves_no_trace(write: Write) -> None:
    head = '[world]\nname = "x"\n'
    m, n = '[models.m]\npath = "."\n', '[models.n]\npath = "."\n'
    agent = '[agents.a]\nsource = "a.py"\ngroups = {}\ngrants = {{ generate = {} }}\n'
    one = World.read(write(head + m + n + agent.format('["g", "h"]', '["m", "n"]'))).resolve()
    two = World.read(write(head + n + m + agent.format('["h", "g"]', '["*", "m"]'))).resolve()
    assert one == two


@pytest.mark.parametrize("codes", [{"narrator": "a" * 64}, CODES | {"helper": "C" * 64}, CODES | {"helper": ""}])
def test_a_plan_needs_every_hash(folder: Path, codes: dict[str, str]) -> None:
    with pytest.raises(InvariantError, match="has no hash"):
        World.read(folder).plan(codes, MODELS)


def test_wrong_types_are_found_in_python_too() -> None:
    world = World(
        "built",
        seed=True,
        agents={"a": Agent("def turn(t):\n    pass\n", count="3", grants=Grants(send="a"))},  # type: ignore[arg-type]
        messages={"to": "a"},  # type: ignore[arg-type]
    )
    with pytest.raises(WorldError) as caught:
        world.resolve()
    assert [problem.where for problem in caught.value.problems] == [
        'World("built"): world.seed',
        'World("built"): agents.a.count',
        'World("built"): agents.a.grants.send',
        'World("built"): messages',
    ]


def test_a_graph_is_a_file_and_a_language_model_is_none(write: Write) -> None:
    models = "".join(f"[models.{task}]\npath = 'x.onnx'\ntask = '{task}'\n" for task in ("infer", "embed", "generate"))
    text = "[world]\nname = 'w'\n[agents.a]\nsource = 'a.py'\n[models.any]\npath = 'x.onnx'\n"
    resolved = World.read(
        write(text + "[models.m]\npath = 'x.onnx'\ntask = 'infer'\n", {"a.py": "", "x.onnx": ""})
    ).resolve()
    assert [(model.name, model.path.name, model.task) for model in resolved.models] == [
        ("any", "x.onnx", None),
        ("m", "x.onnx", "infer"),
    ]
    with pytest.raises(WorldError) as caught:
        World.read(write(text + models, {"a.py": "", "x.onnx": ""}))
    assert [problem.where.split()[-1] for problem in caught.value.problems] == [
        "models.embed.path",
        "models.generate.path",
    ]
