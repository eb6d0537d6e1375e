"""Answers to the page say what the journal says, within their bounds, and nothing in them acts."""

from __future__ import annotations

import re
import shlex
import struct
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.monitor.conftest import Monitor
from turnwise import Run
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.texts import shown
from turnwise.visible_text import visible


@pytest.fixture(scope="module")
def lively_run(runs_folder: Path) -> Run:
    with turnwise.open(runs_folder / "lively.journal") as run:
        yield run


def cells(data: bytes) -> dict[int, tuple[int, int, float]]:
    """A tile's bytes, read as the page reads them."""
    count = len(data) // 16
    index, turns, failed = (struct.unpack_from(f"<{count}I", data, 4 * count * column) for column in range(3))
    values = struct.unpack_from(f"<{count}f", data, 12 * count)
    return dict(zip(index, zip(turns, failed, values, strict=True), strict=True))


@pytest.mark.parametrize(("round_bits", "place_bits"), [(0, 0), (1, 0), (0, 2), (3, 3), (30, 30)])
def test_a_tile_counts_each_turn_in_its_cell(
    monitor: Monitor, lively_run: Run, round_bits: int, place_bits: int
) -> None:
    asked = f"/api/tile?run=lively.journal&measure=fuel&column=0&row=0&round_bits={round_bits}&place_bits={place_bits}"
    found = cells(monitor.get(asked).body)
    places = {agent.name: agent.place for agent in lively_run.agents}
    expected: dict[int, list[float]] = {}
    for turn in lively_run.turns:
        cell = expected.setdefault((turn.round >> round_bits) + 256 * (places[turn.agent] >> place_bits), [0, 0, 0.0])
        cell[0] += 1
        cell[1] += turn.failure is not None
        cell[2] += turn.fuel
    assert {index: (turns, failed) for index, (turns, failed, _) in found.items()} == {
        index: (cell[0], cell[1]) for index, cell in expected.items()
    }
    for index, (_, _, fuel) in found.items():
        assert fuel == pytest.approx(expected[index][2], rel=1e-6)


def test_forks_name_their_parent_in_the_list_and_where_they_left_it(tmp_path: Path, runs_folder: Path) -> None:
    (tmp_path / "lively.journal").write_bytes((runs_folder / "lively.journal").read_bytes())
    (tmp_path / "deep").mkdir()
    first, second = tmp_path / "deep" / "first.journal", tmp_path / "second.journal"
    turnwise.fork(tmp_path / "lively.journal", 2, seed=9, journal=first).result().close()
    turnwise.fork(first, 3, seed=10, journal=second).result().close()
    shown_here = Monitor(tmp_path)
    try:
        rows = {row["name"]: row["parent"] for row in shown_here.ask("runs")["runs"]}
        assert rows["lively.journal"] is None
        assert (rows["deep/first.journal"]["run"], rows["deep/first.journal"]["round"]) == ("lively.journal", 2)
        assert (rows["second.journal"]["run"], rows["second.journal"]["round"]) == ("deep/first.journal", 3)
        branches = shown_here.ask("diff", left="lively.journal", right="second.journal")["branches"]
        assert branches == {"common": 2, "last": [4, 4]}
    finally:
        shown_here.close()
    alone = Monitor(tmp_path / "deep")
    try:
        (row,) = alone.ask("runs")["runs"]
        assert row["parent"]["run"] is None
    finally:
        alone.close()


def test_tiles_beside_the_run_are_empty(monitor: Monitor) -> None:
    assert monitor.get("/api/tile?run=lively.journal&column=1&row=0").body == b""


def test_the_summary_is_the_runs(monitor: Monitor, lively_run: Run) -> None:
    found = monitor.ask("summary", run="lively.journal")
    assert found["head"] == lively_run.head
    assert found["status"] == lively_run.status
    assert found["agents"] == len(lively_run.agents)
    assert found["totals"]["turns"] == len(lively_run.turns)
    assert found["totals"]["messages"] + found["totals"]["inputs"] == len(lively_run.messages)
    assert found["records"] == sorted({record.name for record in lively_run.records})


def test_a_question_is_shown_with_the_command_that_answers_it(tmp_path: Path) -> None:
    """The page has no way to write: it says how."""
    code = 'def turn(t):\n    t.ask("<b>May I?</b>", schema={"type": "boolean"}, deadline=9, default=False)\n'
    grants = turnwise.Grants(ask=True)
    world = turnwise.World(name="w", agents={"asker": turnwise.Agent(code, start=True, grants=grants)})
    path = tmp_path / "it's.journal"
    with world.start(journal=path, workers=1) as live:
        while not live.questions():
            live.step()
    shown_here = Monitor(tmp_path)
    try:
        (asked,) = shown_here.ask("summary", run="it's.journal")["questions"]
        assert (asked["id"], asked["agent"]["text"], asked["deadline"]) == (1, "asker", 10)
        assert asked["text"]["text"] == "<b>May I?</b>"
        assert shlex.split(asked["command"])[:4] == ["turnwise", "answer", str(path), "1"]
        assert turnwise.answer(path, 1, True)
        turnwise.resume(path, workers=1).result().close()
        assert shown_here.ask("summary", run="it's.journal")["questions"] == []
    finally:
        shown_here.close()


def test_a_turn_has_what_it_had_did_and_left(monitor: Monitor, lively_run: Run) -> None:
    for turn in lively_run.turns:
        found = monitor.ask("turn", run="lively.journal", agent=turn.agent, round=turn.round)
        assert [message["seq"] for message in found["inbox"]] == list(turn.inbox)
        assert found["fuel"] == turn.fuel
        assert [effect["index"] for effect in found["effects"]] == [effect.index for effect in turn.effects]
        if turn.output is None:
            assert turn.failure is not None
            assert found["failure"]["kind"] == turn.failure.kind
        else:
            assert found["state"]["text"] == turn.output.state
            assert [message["body"]["text"] for message in found["sent"]] == [send.body for send in turn.output.send]
        assert found["after"] == next(
            (later.round for later in lively_run.turns if later.agent == turn.agent and later.round > turn.round), None
        )


def test_a_round_lists_its_turns(monitor: Monitor, lively_run: Run) -> None:
    for record in lively_run.rounds:
        found = monitor.ask("round", run="lively.journal", round=record.round)
        assert [turn["place"] for turn in found["turns"]] == [turn.place for turn in record.turns]
        assert found["head"] == record.head.hex()
        assert found["hidden"] == 0


@pytest.mark.parametrize(("first", "last"), [(1, 4), (2, 3), (4, 4), (9, 9)])
def test_flows_count_each_message_for_each_recipient(monitor: Monitor, lively_run: Run, first: int, last: int) -> None:
    found = monitor.ask("flows", run="lively.journal", first=first, last=last)
    places = {agent.name: agent.place for agent in lively_run.agents}
    expected: Counter[tuple[int, int]] = Counter()
    rounds = {number: record for record in lively_run.rounds for number in [record.round]}
    shown = [
        message
        for number, record in rounds.items()
        if first <= number <= last
        for message in (*record.inputs, *record.messages)
    ]
    for message in shown:
        for recipient in message.recipients:
            expected[-1 if message.sender is None else message.sender, recipient] += 1
    assert {(sender, to): count for sender, to, count in found["flows"]} == dict(expected)
    assert found["messages"] == sum(expected.values())
    assert max(expected, default=(0, 0))[1] < len(places)


def test_messages_are_all_told_page_after_page(monitor: Monitor, lively_run: Run) -> None:
    found: list[Any] = []
    seq = 0
    while True:
        page = monitor.ask("messages", run="lively.journal", seq=seq)
        found += page["messages"]
        if page["next"] is None:
            break
        seq = page["next"]
    assert [message["seq"] for message in found] == [message.seq for message in lively_run.messages]
    sender = found[-1]["sender"]
    of_one = monitor.ask("messages", run="lively.journal", sender=sender)["messages"]
    assert of_one
    assert {message["sender"] for message in of_one} == {sender}


def test_a_conversation_has_each_message_and_each_answer_once(monitor: Monitor, lively_run: Run) -> None:
    found: list[Any] = []
    after: int | None = 0
    while after is not None:
        page = monitor.ask("conversation", run="lively.journal", after=after)
        found += page["turns"]
        after = page["next"]
    assert [message["seq"] for turn in found for message in turn["sent"]] == [one.seq for one in lively_run.messages]
    asked = [effect for turn in lively_run.turns for effect in turn.effects if effect.model is not None]
    assert sum(len(turn["answers"]) for turn in found) == len(asked)
    name = found[-1]["agent"]
    of_one = monitor.ask("conversation", run="lively.journal", agent=name)["turns"]
    assert {turn["agent"] for turn in of_one} - {"outside"} == {name}


def test_agents_are_told_page_after_page_and_found_by_name(monitor: Monitor, lively_run: Run) -> None:
    names = [agent.name for agent in lively_run.agents]
    first = monitor.ask("agents", run="lively.journal", first=0, count=2)
    assert [agent["name"] for agent in first["agents"]] == names[:2]
    assert first["more"] is True
    rest = monitor.ask("agents", run="lively.journal", first=2)
    assert [agent["name"] for agent in rest["agents"]] == names[2:]
    assert rest["more"] is False
    found = monitor.ask("agents", run="lively.journal", search=names[-1].upper())
    assert names[-1] in [agent["name"] for agent in found["agents"]]


def test_records_of_each_agent_make_a_line(monitor: Monitor, lively_run: Run) -> None:
    name = next(iter(lively_run.records)).name
    agents = sorted({record.agent for record in lively_run.records if record.name == name})
    found = monitor.ask("records", run="lively.journal", name=name, agent=agents)
    for line in found["lines"]:
        expected = [
            (record.round, record.value)
            for record in lively_run.records
            if record.name == name and record.agent == line["agent"] and not isinstance(record.value, str)
        ]
        assert [(point[0], point[3]) for point in line["points"]] == expected


def test_a_search_finds_each_message_that_has_the_text(monitor: Monitor, lively_run: Run) -> None:
    word = max((message.body for message in lively_run.messages), key=len)[:12]
    expected = {message.seq for message in lively_run.messages if word.casefold() in message.body.casefold()}
    found = monitor.ask("search", run="lively.journal", text=word.upper())
    assert {hit["seq"] for hit in found["hits"] if hit["what"] == "message"} == expected
    assert found["next"] is None


def test_where_a_message_came_from_is_the_tree_of_why(monitor: Monitor, lively_run: Run) -> None:
    seq = max(message.seq for message in lively_run.messages)
    found = monitor.ask("why", run="lively.journal", message=seq, depth=2)
    expected = turnwise.why(lively_run.path, message=seq, depth=2)
    assert found["kind"] == "message"
    assert len(found["causes"]) == len(expected.causes)


def test_the_difference_of_two_runs_is_that_of_diff(monitor: Monitor, runs_folder: Path) -> None:
    found = monitor.ask("diff", left="lively.journal", right="other.journal")
    expected = turnwise.diff(runs_folder / "lively.journal", runs_folder / "other.journal")
    assert found["count"] == expected.count
    assert found["equal"] is expected.equal is False
    assert found["first"]["agent"] == expected.first.agent
    assert monitor.ask("diff", left="lively.journal", right="lively.journal")["equal"] is True


def test_long_texts_are_cut_and_say_so() -> None:
    assert shown("a" * 5_000) == {"text": "a" * 4_000, "cut": 1_000}
    assert shown("short") == {"text": "short", "cut": 0}


def test_the_page_shows_the_same_characters_as_escapes_that_terminals_are_spared() -> None:
    """The page has its own copy of the list, since it is another language: both must be the same."""
    page = resources.files("turnwise.monitor").joinpath("page", "dom.js").read_text()
    written = page.partition("const ACTING = /")[2].partition("/gu;")[0]
    characters = re.compile(re.sub(r"\\u\{(\w+)\}", lambda match: f"\\U{int(match[1], 16):08x}", written))
    for code in (*range(0x1E000), *range(0xDFF00, 0xE0200)):
        character = chr(code)
        assert bool(characters.match(character)) == (visible(character, lines=True) != character), hex(code)


@pytest.mark.parametrize(
    "asked",
    [
        "summary?run=missing.journal",
        "summary",
        "turn?run=lively.journal&agent=nobody&round=1",
        "turn?run=lively.journal&agent=hub&round=99999",
        "round?run=lively.journal&round=99",
        "round?run=lively.journal&round=-1",
        "round?run=lively.journal&round=99999999999999999999",
        "round?run=lively.journal&round=%D9%A1",
        "message?run=lively.journal&seq=99999",
        "tile?run=lively.journal&round_bits=31",
        "tile?run=lively.journal&measure=secret",
        "messages?run=lively.journal&" + "&".join("sender=x" for _ in range(101)),
        "why?run=lively.journal",
        "summary?run=broken.journal",
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(monitor: Monitor, asked: str) -> None:
    found = monitor.get(f"/api/{asked}")
    assert found.status in (404, 409)
    assert found.json["error"]
    assert monitor.ask("summary", run="lively.journal")["world"] == "lively"


def test_files_of_the_page_are_served_and_no_others(monitor: Monitor) -> None:
    assert monitor.get("/page/app.js").headers["content-type"].startswith("text/javascript")
    assert monitor.get("/page/style.css").headers["content-type"].startswith("text/css")
    for path in (
        "/page/../access.py",
        "/page/..%2f..%2faccess.js",
        "/page/none.js",
        "/anything",
        "/page",
        "/page/views/../../x.html",
    ):
        assert monitor.get(path).status == 404, path
    assert monitor.get("/").headers["content-type"].startswith("text/html")


def test_a_turn_has_its_bounds_and_the_hash_of_its_code(monitor: Monitor, runs_folder: Path) -> None:
    with Journal.open(runs_folder / "lively.journal") as journal:
        kinds = {kind.name: kind for kind in journal.header.plan_at().kinds}
        agents = {agent.place: agent for agent in journal.queries.agents()}
        for number, turn in list(journal.queries.turns())[:10]:
            agent = agents[turn.place]
            found = monitor.ask("turn", run="lively.journal", agent=agent.name, round=number)
            kind = kinds[agent.kind]
            assert (found["code"], found["limits"]["fuel"]) == (kind.code, kind.limits.fuel)
            assert found["limits"]["memory_bytes"] == kind.limits.memory_bytes
