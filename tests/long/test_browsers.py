"""The monitor's page, and the one that answers, in real browsers.

Run it as `TURNWISE_TEST_SCREENSHOTS=FOLDER pytest -m browsers -s tests/long`.
Needs Chromium with its driver and Firefox, `pip install selenium websockets servo-fetch`, a line
`127.0.0.1 machine.test` in /etc/hosts for Servo (which refuses addresses), and the `tsc` of TypeScript; what is not
there is skipped, and said.
Every view is opened on real journals; nothing may be said on the console.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path

import pytest

import turnwise
from tests.cli.journals import EVIL, evil_plan, play, write
from tests.cli.worlds import TICKS
from tests.long.browsers import Browser, Chromium, Firefox, Servo, waited
from tests.monitor.conftest import Monitor
from tests.monitor.petitions import granted, petition
from tests.orchestrator.worlds import lively
from tests.people.conftest import Page

pytestmark = [pytest.mark.browsers, pytest.mark.timeout(600)]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HTML = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script><b>bold</b>"
VIEWS = {
    "runs": ("?", "haggle.journal"),
    "branches": ("?as=branches", "compare with its parent"),
    "timeline": ("?run=haggle.journal", "finished"),
    "clock": ("?run=haggle.journal&view=clock", "waits for a model"),
    "clock that waits": ("?run=open.journal&view=clock", "waits for people"),
    "clock from afar": ("?run=market.journal&view=clock&round=30", "of work, idle time closed"),
    "small multiples": ("?as=multiples", '{"price":99.44'),
    "tokens": ("?run=haggle.journal&colour=tokens", "tokens"),
    "recorded": ("?run=market.journal&colour=record:price", "price"),
    "100,000 turns": ("?run=many.journal&round=900", "of 1,000 rounds"),
    "100,000 turns by the clock": ("?run=many.journal&view=clock", "of work, idle time closed"),
    "turn": ("?run=haggle.journal&agent=Finn&round=8&why=3", "Fork before this turn"),
    "round": ("?run=haggle.journal&round=3&details=1", "Round 3"),
    "conversation": ("?run=haggle.journal&view=conversation", "what haggler was asked"),
    "messages": ("?run=haggle.journal&view=messages", "63 messages"),
    "ring": ("?run=haggle.journal&view=messages&as=ring&message=38", "Where it came from"),
    "records": ("?run=market.journal&view=records", "all agents"),
    "numbers": ("?run=haggle.journal&view=records&number=tokens", "each round"),
    "consequences": ("?run=haggle.journal&agent=Finn&round=4&led=2", "What it led to"),
    "rewound": ("?run=haggle.journal&view=conversation&round=5", "round 5"),
    "summary": ("?run=haggle.journal&view=summary", "batch-invariant"),
    "search": ("?run=haggle.journal&view=search&text=rug", "found"),
    "diff": ("?left=haggle.journal&right=fork.journal", "What it reached"),
    "diff of branches": ("?left=haggle.journal&right=fork.journal", "one journal up to round 4 (muted)"),
    "failed": ("?run=failed.journal&view=summary", "failed"),
    "evil": ("?run=evil.journal&view=conversation", "\\x1b[2J"),
    "html": ("?run=fork.journal&view=messages", "<script>"),
    "bundle": ("?run=haggle.bundle&view=summary", "finished"),
    "missing": ("?run=none.journal", "there is no such run"),
    "waits": ("?run=open.journal&at=1~0~60~40", "waits for an answer"),
    "turn that waits": ("?run=open.journal&agent=clerk&round=8", "It waits for an answer."),
    "turn that waited": ("?run=granted.journal&agent=clerk&round=9", "Nobody answered in time: its default was taken."),
    "round of an answer": ("?run=granted.journal&round=5&details=1", "Answered from outside"),
    "questions": ("?run=granted.journal&view=conversation", "question 3 to people"),
    "questions that wait": ("?run=open.journal&view=summary", "turnwise answer"),
    "search of a question": ("?run=granted.journal&view=search&text=sign", "Sign <b>here</b>"),
}
"""What is opened, and what must then stand on the page."""


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    folder = tmp_path_factory.mktemp("shown")
    turnwise.run(EXAMPLES / "haggle", journal=folder / "haggle.journal").close()
    turnwise.run(EXAMPLES / "market", journal=folder / "market.journal").close()
    turnwise.run(lively(seed=3, rounds_max=3), journal=folder / "lively.journal").close()
    changed = {"Finn": f"Too dear. {HTML} {EVIL}"}
    with turnwise.fork(folder / "haggle.journal", 4, messages=changed, journal=folder / "fork.journal") as live:
        live.result().close()
    with suppress(turnwise.TurnwiseError):  # a run that fails is what this is for
        turnwise.run(failing(), journal=folder / "failed.journal").close()
    ticking = turnwise.World("many", rounds_max=1_000, agents={"tick": turnwise.Agent(TICKS, count=100, start=True)})
    turnwise.run(ticking, journal=folder / "many.journal").close()
    turnwise.bundle(folder / "haggle.journal", folder / "haggle.bundle")
    plan = evil_plan()
    write(folder / "evil.journal", plan, play(plan))
    petition(folder / "open.journal")
    granted(folder / "granted.journal")
    found = Monitor(folder)
    yield found
    found.close()


def failing() -> turnwise.World:
    """A world whose first failed turn ends the run."""
    source = "def turn(t):\n    raise ValueError('no')\n"
    return turnwise.World("failing", agents={"one": turnwise.Agent(source, start=True)}, on_failure="stop")


@pytest.fixture(scope="module", params=[Chromium, Firefox, Servo], ids=lambda kind: kind.__name__)
def browser(request: pytest.FixtureRequest, monitor: Monitor) -> Iterator[Browser]:
    found: Browser = request.param(monitor.server.address)
    yield found
    found.close()


def of(monitor: Monitor, address: str) -> str:
    """The whole address of a view."""
    return f"http://127.0.0.1:{monitor.port}/{address}"


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_shows_what_it_should_and_nothing_acts(browser: Browser, monitor: Monitor, view: str) -> None:
    address, expected = VIEWS[view]
    browser.open(of(monitor, address))
    text = waited(lambda: browser.script("document.body.textContent"), lambda found: expected in str(found))
    assert not (set(EVIL) - set("[2J\r\b1m")) & set(text)
    assert browser.script("document.title") != "taken"
    made = "document.querySelectorAll('#view script, #view img, #view b, #panel script, #panel img').length"
    assert browser.script(made) == 0
    assert [line for line in browser.console() if view != "missing" or "404" not in line] == []
    picture(browser, view)


def picture(browser: Browser, name: str) -> None:
    """Keep what is seen, if pictures are kept."""
    folder = os.environ.get("TURNWISE_TEST_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.picture(Path(folder) / f"{type(browser).__name__}-{name}.png")


def test_a_click_opens_a_turn_and_back_closes_it(browser: Browser, monitor: Monitor) -> None:
    if isinstance(browser, Servo):
        pytest.skip("its pages do not live on between two questions")
    browser.open(of(monitor, "?run=haggle.journal&view=conversation"))
    link = "document.querySelector('.said .who a')"
    waited(lambda: browser.script(f"{link} !== null"), bool)
    browser.script(f"{link}.click()")
    panel = "document.getElementById('panel')"
    waited(lambda: browser.script(f"{panel}.textContent"), lambda found: "Fork before this turn" in str(found))
    assert "agent=" in str(browser.script("location.search"))
    browser.script("history.back()")
    waited(lambda: browser.script(f"{panel}.hidden"), bool)


DRAWN = """(() => {
  const canvas = document.querySelector(".stage canvas");
  if (!canvas || canvas.width < 300) return [];
  const ratio = window.devicePixelRatio, found = [];
  const image = canvas.getContext("2d").getImageData(0, 0, 580 * ratio, 230 * ratio);
  for (let place = 0; place < 10; place++) for (let round = 1; round <= 22; round++) {
    const [x, y] = [130 + (round - 1) * 20 + 10, 24 + place * 20 + 10];
    const [red, green, blue] = image.data.slice(4 * ratio * (y * image.width + x));
    if (red < 100 && green > 80 && blue > 70) found.push(`${round} ${place}`);
  }
  return found.join();
})()"""
"""Cells whose middle has the colour of a turn, at 20 pixels a cell."""


def test_the_timeline_draws_each_turn_where_it_was(browser: Browser, monitor: Monitor) -> None:
    browser.open(of(monitor, "?run=haggle.journal&at=1~0~20~20"))
    found = waited(lambda: browser.script(DRAWN), bool)
    turns = {
        f"{number} {turn['place']}"
        for number in range(1, 23)
        for turn in monitor.ask("round", run="haggle.journal", round=number)["turns"]
    }
    assert set(str(found).split(",")) == turns


WAITS = """(() => {
  const canvas = document.querySelector(".stage canvas");
  if (!canvas || canvas.width < 300) return "";
  const ratio = window.devicePixelRatio, found = [];
  const image = canvas.getContext("2d").getImageData(0, 0, 580 * ratio, 230 * ratio);
  for (let place = 0; place < 3; place++) for (let round = 1; round <= 8; round++) {
    const [x, y] = [130 + (round - 1) * 20 + 10, 24 + place * 20 + 10];
    const [red, , blue] = image.data.slice(4 * ratio * (y * image.width + x));
    if (red - blue > 80) found.push(`${round} ${place}`);
  }
  return found.join();
})()"""
"""Cells whose middle has the colour of a turn that waits for people, at 20 pixels a cell."""


def test_waits_are_bands_over_the_lane_of_who_asks(browser: Browser, monitor: Monitor) -> None:
    browser.open(of(monitor, "?run=open.journal&at=1~0~20~20"))
    assert str(waited(lambda: browser.script(WAITS), bool)).split(",") == [f"{number} 1" for number in range(2, 9)]
    browser.console()  # where a canvas is read again and again, which only this does, a browser says how to be faster


def test_a_person_plays_on_the_page(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with turnwise.start(EXAMPLES / "night-watch", journal=path, workers=1, patience_s=None) as live:
        live.play()
        waited(lambda: live.progress().questions, bool)
        page = Page(path, "guard")
        try:
            browser.open(page.server.address)
            said = "document.body.textContent"
            waited(lambda: browser.script(said), lambda found: "traveller-1 (plea 1)" in str(found))
            picture(browser, "play")
            if isinstance(browser, Servo):  # its pages do not live on between two questions
                assert browser.console() == []
                return
            browser.script(filled(""))
            waited(lambda: browser.script(said), lambda found: "it lacks 'open'" in str(found))
            picture(browser, "play, refused")
            assert [line for line in browser.console() if "422" not in line] == []
            browser.script(filled("0"))
            waited(lambda: browser.script(said), lambda found: "traveller-2 (plea 1)" in str(found))
            assert browser.script("document.activeElement.tagName") == "SELECT"
            assert "#" not in str(browser.script("location.href"))
            browser.script(filled("0"))
            waited(lambda: browser.script(said), lambda found: "The run is over." in str(found))
            picture(browser, "play, over")
            assert browser.console() == []
        finally:
            left(browser)
            page.close()
        with live.result() as run:
            assert run.result == {"let_in": ["traveller-1", "traveller-2"]}


def filled(chosen: str) -> str:
    """Choose an answer of the form, and send it."""
    fill = f"document.querySelector('.question select').value = '{chosen}'"
    return f"({fill}, document.querySelector('.question form').requestSubmit(), true)"


def test_what_agents_ask_never_acts_on_the_page_that_answers(browser: Browser, tmp_path: Path) -> None:
    code = f"def turn(t):\n    t.ask({HTML + EVIL!r}, schema={{'enum': [{HTML!r}, 'b']}})\n"
    agents = {"asker": turnwise.Agent(code, start=True, grants=turnwise.Grants(ask=True))}
    with turnwise.start(turnwise.World("w", agents=agents), journal=tmp_path / "a.journal") as live:
        while not live.questions():
            live.step()
    page = Page(tmp_path / "a.journal")
    try:
        browser.open(page.server.address)
        text = waited(lambda: browser.script("document.body.textContent"), lambda found: "asker asks" in str(found))
        assert HTML in text
        assert not (set(EVIL) - set("[2J\r\b1m")) & set(text)
        assert browser.script("document.querySelectorAll('#course script, #course img, #course b').length") == 0
        assert browser.script("document.title") != "taken"
        assert browser.console() == []
        picture(browser, "play, evil")
    finally:
        left(browser)
        page.close()


def left(browser: Browser) -> None:
    """Leave a page before its server ends, for which it would ask again and again, and forget what it said."""
    if not isinstance(browser, Servo):
        browser.open("about:blank")
        browser.console()


def test_texts_are_seen_while_models_write_them(browser: Browser, tmp_path: Path) -> None:
    source = """
def turn(t):
    for number in range(50):
        t.generate("m", "A story of a rug", tokens_max=400, logit_bias={"</s>": -100})
    t.send("teller", "and another")
"""
    grants = turnwise.Grants(generate=["m"], send=["teller"])
    agents = {"teller": turnwise.Agent(source, start=True, grants=grants)}
    world = turnwise.World("tellers", agents=agents, models={"m": turnwise.Model("builtin:demo")})
    with turnwise.start(world, journal=tmp_path / "live.journal") as live:
        live.play()
        waited(lambda: (tmp_path / "live.journal").exists(), bool)
        shown = Monitor(tmp_path)
        try:
            browser.open(shown.server.address)
            browser.open(of(shown, "?run=live.journal&view=conversation"))
            texts = "[...document.querySelectorAll('#live .now pre')].map((text) => text.textContent).join()"
            waited(lambda: browser.script(texts), lambda found: " token" in str(found))
            assert "live, may miss some" in str(browser.script("document.getElementById('live').textContent"))
            assert browser.console() == []
        finally:
            shown.close()
        live.abort()


def test_an_open_question_is_shown_with_who_asks_and_what(browser: Browser, tmp_path: Path) -> None:
    code = 'def turn(t):\n    t.ask("<b>May I?</b>", schema={"type": "boolean"}, deadline=9, default=False)\n'
    agent = turnwise.Agent(code, start=True, grants=turnwise.Grants(ask=True))
    world = turnwise.World("w", agents={"asker": agent})
    with turnwise.start(world, journal=tmp_path / "a.journal") as live:
        while not live.questions():
            live.step()
    shown = Monitor(tmp_path)
    try:
        browser.open(shown.server.address)
        browser.open(of(shown, "?run=a.journal&view=summary"))
        view = "document.getElementById('view').textContent"
        text = str(waited(lambda: browser.script(view), lambda found: "Questions to people" in str(found)))
        assert "asker asks, until round" in text
        assert "<b>May I?</b>" in text
        assert "turnwise answer" in text
        assert "[object" not in text
    finally:
        shown.close()


def features() -> dict[str, str]:
    """The features that the page may use, with what shows that they are there."""
    lines = resources.files("turnwise.monitor").joinpath("features.txt").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


def test_the_browser_has_every_feature_that_the_page_needs(browser: Browser, monitor: Monitor) -> None:
    browser.open(of(monitor, "?"))
    tests = ", ".join(f"Boolean({test})" for test in features().values())
    found = browser.script(f"[{tests}].join()")
    assert dict(zip(features(), str(found).split(","), strict=True)) == dict.fromkeys(features(), "true")


@pytest.mark.parametrize("of_which", ["monitor", "people"])
def test_the_scripts_of_a_page_have_the_types_that_they_say(tmp_path: Path, of_which: str) -> None:
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip("there is no tsc: npm install -g typescript")
    page = tmp_path / "page"
    for package in ("monitor", of_which):
        with resources.as_file(resources.files(f"turnwise.{package}").joinpath("page")) as folder:
            shutil.copytree(folder, page, dirs_exist_ok=True)
    checked = [compiler, "-p", str(page / "jsconfig.json")]
    found = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    (page / "wrong.js").write_text("/** @type {number} */ export const wrong = 'text';\n")
    assert subprocess.run(checked, capture_output=True, check=False).returncode != 0
