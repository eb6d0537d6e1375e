"""Models that MCP servers ask in the middle of calls: run, killed, resumed, forked, replayed with the server absent."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

import turnwise
from tests.inference import toy
from tests.orchestrator.crashing import KILLED_AT
from tests.tools.kinds.mcp.serving import SERVERS
from turnwise.core.sampling import NESTED_FROM, SAMPLING
from turnwise.errors import WorldError
from turnwise.evidence.redact import redact
from turnwise.history.replay import replay
from turnwise.history.verify import verify
from turnwise.orchestrator.crash_points import CRASH_POINTS
from turnwise.orchestrator.native import run_native
from turnwise.orchestrator.settings import Settings
from turnwise.orchestrator.tool_trial import try_call
from turnwise.world import Agent, Grants, Model, Tools, World

AGENT = """
from turnwise_guest import EffectError

def turn(t):
    found = []
    for tool in t.args["tools"]:
        try:
            found.append(str(t.call("author." + tool, {"what": "fox"} if tool != "huge" else {})))
        except EffectError as error:
            found.append(f"{error.kind}: {error}")
    t.finish(found)
"""
SAMPLING_TABLE = 'sampling = { models = ["first"], requests_max = 3, tokens_max = 8 }'
TWO_MODELS = SAMPLING_TABLE.replace('"first"', '"first", "second"')


def make_world(
    folder: Path, tools: list[str], revision: str = "auto", sampling: str = SAMPLING_TABLE, **more: str
) -> Path:
    """A world with a server that lies in its folder, and an agent that is granted no model itself."""
    models = "".join(
        f'{name} = {{ path = "builtin:demo" }}\n' for name in ("first", "second") if name in sampling + "first"
    )
    shutil.copy(SERVERS / "author.py", folder / "author.py")
    (folder / "agent.py").write_text(AGENT)
    (folder / "world.toml").write_text(
        textwrap.dedent(
            f"""
            [world]
            name = "sampled"
            park_after_ms = {more.get("park_after_ms", "60000")}

            [models]
            {models.replace(chr(10), chr(10) + " " * 12)}

            [tools.author]
            kind = "mcp"
            command = {str(sys.executable)!r}
            args = [{str(folder / "author.py")!r}, {str(folder / "noted")!r}]
            revision = "{revision}"
            {sampling}

            [agents.agent]
            source = "agent.py"
            start = true
            args = {{ tools = {json.dumps(tools)} }}
            grants = {{ call = ["author"], finish = true }}
            system = "You belong to us."
            """
        )
    )
    return folder


def noted(folder: Path) -> list[str]:
    try:
        return (folder / "noted").read_text().split()
    except FileNotFoundError:
        return []


def check_replay(folder: Path, journal: Path) -> None:
    """Replay and verify with the server gone."""
    before = noted(folder)
    (folder / "author.py").unlink(missing_ok=True)
    assert replay(journal, Settings(workers=1)).difference is None
    assert noted(folder) == before


def play(folder: Path, journal: Path) -> list[str]:
    with turnwise.run(folder, journal=journal, workers=1) as run:
        assert run.status == "finished", run.message
        result: list[str] = run.result
        return result


@pytest.mark.parametrize("revision", ["auto", pytest.param("2025-11-25", marks=pytest.mark.exhaustive)])
def test_a_server_asks_granted_models_and_each_answer_is_recorded(tmp_path: Path, revision: str) -> None:
    folder, journal = make_world(tmp_path, ["open_", "both", "whole"], revision, TWO_MODELS), tmp_path / "run.journal"
    opened, both, whole = play(folder, journal)
    assert opened.startswith("first: ")
    assert opened.endswith("(maxTokens)")
    assert both.startswith(f"{opened} / second: ")
    assert whole.startswith("first: ")
    assert noted(folder) == ["open", "both", "whole"]
    with turnwise.open(journal) as run:
        (turn,) = run.turns
        effects = [(effect.index % NESTED_FROM, effect.kind, effect.model) for effect in turn.effects]
        asked = [effect for effect in turn.effects if effect.kind == "generate"]
    assert Counter(effects)[0, SAMPLING, None] == 1
    assert Counter(effects)[2, SAMPLING, None] == 2
    assert Counter(effects)[1, "generate", "second"] == 1
    assert "belong to us" not in json.dumps([effect.request for effect in asked])
    assert json.loads(str(asked[0].request)) == {
        "effect": "generate",
        "model": "first",
        "messages": [{"role": "user", "content": "The fox was"}],
        "system": "A story.",
        "temperature": 0,
        "tokens_max": 5,
    }
    check_replay(folder, journal)
    verified = verify(journal, Settings(workers=1))
    assert verified.difference is None
    assert verified.replies == len(asked) == 5
    assert {model.name: model.level for model in verified.models} == {"first": "L2", "second": "L2"}
    assert any("results of tools were taken from the journal" in line for line in verified.unproved) or verified.tools


def test_without_a_grant_a_server_gets_no_model(tmp_path: Path) -> None:
    folder, journal = make_world(tmp_path, ["open_"], sampling=""), tmp_path / "run.journal"
    (told,) = play(folder, journal)
    assert told.startswith("tool: ")
    assert noted(folder) == []
    with turnwise.open(journal) as run:
        assert [effect.kind for effect in next(iter(run.turns)).effects] == ["call"]
    check_replay(folder, journal)


def test_no_hint_reaches_a_model_that_is_not_granted(tmp_path: Path) -> None:
    """The world has the model that the server would like (the first test asks it, where it is granted)."""
    folder = make_world(tmp_path, ["both"], sampling=f"{SAMPLING_TABLE}  # not the second")
    (both,) = play(folder, tmp_path / "run.journal")
    assert both.count("first: ") == 2
    with turnwise.open(tmp_path / "run.journal") as run:
        asked = [effect.model for effect in next(iter(run.turns)).effects if effect.kind == "generate"]
    assert asked == ["first", "first"]


def test_requests_beyond_the_bounds_of_a_call_are_refused(tmp_path: Path) -> None:
    sampling = 'sampling = { models = ["first"], requests_max = 1, tokens_max = 2 }'
    folder, journal = make_world(tmp_path, ["open_", "whole", "huge"], sampling=sampling), tmp_path / "run.journal"
    opened, whole, huge = play(folder, journal)
    assert opened.startswith("first: ")
    assert whole.startswith("tool: ")
    assert huge.startswith("tool: ")
    assert noted(folder) == ["open"]
    with turnwise.open(journal) as run:
        asked = [effect for effect in next(iter(run.turns)).effects if effect.kind == "generate"]
        assert [json.loads(str(effect.request))["tokens_max"] for effect in asked] == [2, 2]
        assert all(json.loads(str(effect.reply))["ok"]["tokens"] <= 2 for effect in asked)
    check_replay(folder, journal)


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ('sampling = { models = ["frist"] }', "(?s)there is no model .frist.*Did you mean .first."),
        ("sampling = { models = [] }", "sampling.models"),
        ('sampling = { models = ["first"], requests_max = 0 }', "sampling.requests_max"),
        ('sampling = { models = ["first"], tokens = 5 }', "sampling"),
        ('sampling = ["first"]', "sampling"),
    ],
)
def test_a_grant_that_cannot_be_is_said_before_a_run(tmp_path: Path, sampling: str, said: str) -> None:
    folder = make_world(tmp_path, ["open_"], sampling=sampling)
    with pytest.raises(WorldError, match=said):
        turnwise.run(folder, journal=tmp_path / "run.journal", workers=1)


def test_a_turn_that_parks_goes_on_with_what_models_said(tmp_path: Path) -> None:
    """Each call is left at once; a person is asked between two requests to models."""
    folder, journal = make_world(tmp_path, ["whole", "asked"], park_after_ms="0"), tmp_path / "run.journal"
    with turnwise.start(folder, journal=journal, workers=1) as live:
        while not live.questions():
            live.step()
        (asked,) = live.questions()
        assert asked.text.startswith("Go on after this? first: ")
        assert live.answer(asked.id, {"sure": True})
        with live.result() as run:
            whole, ended = run.result
            assert whole.startswith("first: ")
            assert ended.startswith("first: ")
            assert len(run.turns) == 1
            assert run.last_round > 3
            head = run.head
    assert noted(folder) == ["whole", "asked"]
    check_replay(folder, journal)
    for number, pattern in enumerate(["The fox was", "prompt_tokens", "stage", "Go on after", "."]):
        redacted = tmp_path / f"redacted-{number}.journal"
        redact(journal, redacted, pattern=pattern)
        replayed = replay(redacted, Settings(workers=1))
        assert (replayed.difference, replayed.head) == (None, head), pattern


def test_a_fork_has_recorded_results_and_asks_models_again(tmp_path: Path) -> None:
    folder, journal = make_world(tmp_path, ["both", "whole"], sampling=TWO_MODELS), tmp_path / "run.journal"
    result = play(folder, journal)
    (folder / "author.py").unlink()
    with turnwise.open(journal) as run:
        head = run.head
    with turnwise.fork(journal, 0, journal=tmp_path / "fork.journal", workers=1).result() as fork:
        assert fork.head == head
        assert fork.result == result
    assert noted(folder) == ["both", "whole"]


@pytest.mark.exhaustive
def test_a_fork_of_a_run_that_parked_has_its_head(tmp_path: Path) -> None:
    folder, journal = make_world(tmp_path, ["whole"], park_after_ms="0"), tmp_path / "run.journal"
    play(folder, journal)
    with turnwise.open(journal) as run:
        head, rounds = run.head, run.last_round
    assert rounds > 2
    for at in (0, 1):
        with turnwise.fork(journal, at, journal=tmp_path / f"fork-{at}.journal", workers=1).result() as fork:
            assert fork.head == head, at
    assert noted(folder) == ["whole"]


def test_without_a_run_there_is_no_model(tmp_path: Path) -> None:
    world = World.read(make_world(tmp_path, ["open_"])).resolve()
    outcome = asyncio.run(try_call(world, "author.open_", {"what": "fox"}))
    assert outcome["error"]["kind"] == "unavailable"
    assert "asks a model" in outcome["error"]["message"]
    assert noted(tmp_path) == []
    told = subprocess.run(
        [sys.executable, "-m", "turnwise", "tools", str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert "may ask models in a call: first" in told


def test_agents_without_a_sandbox_have_servers_that_ask_models(tmp_path: Path) -> None:
    folder = make_world(tmp_path, ["whole"])
    ran = run_native(World.read(folder))
    assert ran.end.result is not None
    assert json.loads(ran.end.result)[0].startswith("first: ")


# -- crashes -----------------------------------------------------------------------------------------------------

CRASHING = (
    KILLED_AT
    + """
journal = Path(sys.argv[3])
live = turnwise.start(sys.argv[4], journal=journal, workers=1)
live.result().close()
"""
)
NOT_HERE = ("call: parking", "call: park durable", "call: parked")
"""Points that no call of these worlds reaches: none takes so long."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The head of a run that nothing has interrupted."""
    folder = make_world(tmp_path_factory.mktemp("undisturbed"), ["whole"])
    play(folder, folder / "run.journal")
    with turnwise.open(folder / "run.journal") as run:
        return run.head


IN_SHORT = [("call: outcome durable", 2)]
AT_LENGTH = [
    (point, number)
    for point in CRASH_POINTS
    if point not in NOT_HERE
    for number in ((1,) if point == "round: handed over" else (1, 2, 3))
]


@pytest.mark.parametrize(
    ("point", "number"),
    [*IN_SHORT, *(pytest.param(*one, marks=pytest.mark.exhaustive) for one in AT_LENGTH if one not in IN_SHORT)],
)
def test_a_kill_at_any_stage_doubles_nothing_and_loses_nothing(
    tmp_path: Path, undisturbed: str, point: str, number: int
) -> None:
    """A call of three stages: before it, and between its two requests to models, and after them."""
    folder, journal = make_world(tmp_path, ["whole"]), tmp_path / "run.journal"
    (tmp_path / "crash.py").write_text(CRASHING)
    arguments = [sys.executable, str(tmp_path / "crash.py"), point, str(number), str(journal), str(folder)]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    with turnwise.open(journal) if ended.returncode == 0 else turnwise.resume(journal, workers=1).result() as run:
        (result,) = run.result
        head = run.head
    if point == "call: intent durable" or (point == "call: outcome here" and ended.returncode):
        assert result.startswith("unknown: ")
        assert len(noted(folder)) <= 1
    else:
        assert result.startswith("first: ")
        assert noted(folder) == ["whole"]
        assert head == undisturbed
    assert ended.returncode or point == "round: handed over"
    check_replay(folder, journal)


# -- models whose bits depend on what runs beside what -----------------------------------------------------------

BESIDE = """
def turn(t):
    said = [t.generate("first", "a story of " + t.self_name, tokens_max=6, temperature=1.0).text]
    said.append(str(t.call("author.whole", {"what": t.self_name})))
    t.state = [*said, t.generate("first", said[-1][-20:], tokens_max=6, temperature=1.0).text]
"""


def test_requests_of_servers_run_in_the_same_waves_however_fast_anything_is(tmp_path: Path) -> None:
    model = toy.write_mixing_folder(tmp_path / "model")
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    heads = set()
    for workers in (1, 2):
        journal = tmp_path / f"{workers}.journal"
        world = World(
            "beside",
            models={"first": Model(model, provider="cpu", batching="free")},
            tools={
                "author": Tools(
                    "mcp",
                    {
                        "command": sys.executable,
                        "args": [str(SERVERS / "author.py"), str(tmp_path / "noted")],
                        "sampling": {"models": ["first"]},
                    },
                )
            },
            agents={
                "agent": Agent(BESIDE, count=3, start=True, grants=Grants(generate=["first"], call=["author.whole"]))
            },
            park_after_ms=60_000,
        )
        with turnwise.run(world, journal=journal, workers=workers) as run:
            assert not run.failures, [turn.failure for turn in run.failures]
            assert run.promise == "plan-bound"
            waves = [sorted(request[1] % NESTED_FROM for request in wave.requests) for wave in run.waves(1)]
            heads.add((run.head, run.execution))
        assert waves == [[0, 0, 0], [1, 1, 1], [1, 1, 1], [2, 2, 2]]
    assert len(heads) == 1
    verified = verify(journal, Settings(workers=1))
    assert verified.difference is None
    assert verified.replies == 12
