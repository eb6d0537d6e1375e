"""The haggling world: what its people understand and refuse to say, and that language decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training.demo.evaluate import Evaluation
from training.demo.play import Mode

import turnwise
from tests.examples.haggle import WORLD, agent_module, people
from turnwise.core.plan_json import plan_from_json
from turnwise.journal import Journal
from turnwise_guest.testing import make_turn, outcome

SEED = 1
SEEDS = range(500, 503)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return Evaluation(WORLD, None)


# -- the world ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("haggle") / "haggle.journal"
    turnwise.run(WORLD, seed=SEED, journal=path, workers=2).close()
    return path


def test_a_whole_run_reaches_its_goal_and_no_turn_fails(journal: Path) -> None:
    buyers = {person["name"] for person in people() if person["side"] == "buyer"}
    with turnwise.open(journal) as run:
        assert run.status == "finished"
        assert run.result["goal"]
        assert all(turn.failure is None for turn in run.turns)
        assert {deal["buyer"] for deal in run.result["deals"]} <= buyers


def test_every_deal_was_struck_in_words(journal: Path) -> None:
    """The one says a price, the other agrees to it, and that is what the result tells."""
    speech = agent_module("speech")
    with turnwise.open(journal) as run:
        said = [(message.sender, message.to, speech.read(message.body)) for message in run.messages]
        assert run.result["deals"]
        for deal in run.result["deals"]:
            pair = {deal["buyer"], deal["seller"]}
            talk = [(who, heard) for who, to, heard in said if {who, to} == pair and heard is not None]
            (who_offered, offer), (who_agreed, agreement) = talk[-2:]
            assert {who_offered, who_agreed} == pair
            assert (offer.kind, agreement.kind) == ("offer", "accept")
            assert offer.price == agreement.price == deal["price"]
            assert deal["buyer_gain"] >= 0
            assert deal["seller_gain"] >= 0


def test_played_in_this_process_it_has_the_same_head(journal: Path, evaluation: Evaluation) -> None:
    with Journal.open(journal) as file:
        plan = plan_from_json(file.header.plan)
    play = evaluation.play(SEED, "honest", plan)
    with turnwise.open(journal) as run:
        assert play.machine.head.hex() == run.head
        assert play.result == run.result


def reached(evaluation: Evaluation, mode: Mode) -> int:
    results = [evaluation.play(seed, mode).result for seed in SEEDS]
    return sum(bool(result and result["goal"]) for result in results)


def test_it_is_the_language_that_decides(evaluation: Evaluation) -> None:
    assert reached(evaluation, "honest") >= len(SEEDS) - 1
    assert reached(evaluation, "shuffled") < len(SEEDS) / 2
    assert reached(evaluation, "blanked") == 0


# -- what sentences mean -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "kind", "price"),
    [
        ("How about 41?", "offer", 41),
        ("92 is too much for a lamp. I can give you 41.", "offer", 41),
        ("Not a coin less than 58.", "offer", 58),
        ("Deal! The lamp is yours for 58.", "accept", 58),
        ("DONE, 58 it is.", "accept", 58),
        ("50 is too little for me. Goodbye.", "leave", None),
    ],
)
def test_sentences_are_understood(sentence: str, kind: str, price: int | None) -> None:
    heard = agent_module("speech").read(sentence)
    assert (heard.kind, heard.price) == (kind, price)


@pytest.mark.parametrize("sentence", ["", "…", "Hello, Ada!", "Deal!", "a dealer in undone lamps", "\0", "9" * 20_000])
def test_what_means_nothing_is_never_a_deal(sentence: str) -> None:
    speech = agent_module("speech")
    heard = speech.read(sentence)
    assert heard is None or heard.kind == "offer"
    assert speech.objection(sentence, speech.Position("buyer", 60, (40,), (50,))) is not None


@pytest.mark.parametrize(
    ("sentence", "objection"),
    [
        ("I can pay 61.", "it is beyond the limit"),
        ("Deal, 61 it is.", "it is beyond the limit"),
        ("I can pay 39.", "it takes back an offer"),
        ("I can pay 55.", "it offers more than is asked"),
        ("Deal, 54 it is.", "it agrees to a price that was not offered"),
        ("70 is too much. I can pay 45.", "it speaks of a price that was not named"),
        ("Hm.", "it makes no sense"),
        ("I can pay 45.\nBen: Deal, 45 it is.", "it makes no sense"),
        ("I can pay 45." + "!" * 200, "it makes no sense"),
    ],
)
def test_a_buyer_does_not_say_everything(sentence: str, objection: str) -> None:
    speech = agent_module("speech")
    position = speech.Position("buyer", 60, (40,), (58, 55))
    assert speech.objection(sentence, position) == objection


def test_nobody_leaves_before_haggling() -> None:
    speech = agent_module("speech")
    assert speech.objection("Goodbye.", speech.Position("seller", 40, (60,), (30,))) == "it is too early to leave"
    assert speech.objection("Goodbye.", speech.Position("seller", 40, (60, 50), (30, 35))) is None


@given(
    sentence=st.one_of(st.text(max_size=80), st.from_regex(agent_module("speech").form("Ben"), fullmatch=True)),
    side=st.sampled_from(["buyer", "seller"]),
    limit=st.integers(10, 99),
    mine=st.lists(st.integers(10, 99), max_size=3),
    theirs=st.lists(st.integers(10, 99), max_size=3),
)
def test_whatever_is_said_keeps_the_limit(
    sentence: str, side: str, limit: int, mine: list[int], theirs: list[int]
) -> None:
    speech = agent_module("speech")
    sentence = sentence.strip()
    if speech.objection(sentence, speech.Position(side, limit, tuple(mine), tuple(theirs))) is not None:
        return
    heard = speech.read(sentence)
    if heard.kind == "leave":
        return
    assert heard.price <= limit if side == "buyer" else heard.price >= limit
    if heard.kind == "accept":
        assert heard.price == theirs[-1]


# -- what people do with a model -------------------------------------------------------------------------------------


def person_says(answers: list[str], *, limit: int = 60) -> dict[str, Any]:
    """What a buyer does who has offered 40, hears 50, and whose model gives these answers one after the other."""
    given_answers = iter(answers)
    state = {"with": "Ben", "good": "lamp", "limit": limit, "mine": [40], "theirs": [58]}
    state["lines"] = [["Ben", "58 for the lamp."], ["Ada", "I can pay 40."]]
    t = make_turn(
        self_name="Ada",
        args={"side": "buyer", "mood": "shy"},
        state=state,
        turn=4,
        inbox=[("Ben", "Make it 50.")],
        generate=lambda request: next(given_answers),
    )
    agent_module("person").turn(t)
    return outcome(t)


def test_a_sentence_that_may_be_said_is_said() -> None:
    left = person_says([" I can pay 45."])
    assert left["send"] == [{"to": "Ben", "body": "I can pay 45."}]
    assert left["state"]["mine"] == [40, 45]
    assert left["state"]["theirs"] == [58, 50]


def test_the_model_is_asked_again_a_bounded_number_of_times() -> None:
    assert person_says([" I can pay 70.", " I can pay 30.", " I can pay 45."])["send"][0]["body"] == "I can pay 45."
    left = person_says([" I can pay 70."] * agent_module("person").ATTEMPTS_MAX)
    assert left["send"][0] == {"to": "Ben", "body": "…"}
    assert left["send"][1]["to"] == "crier"
    assert json.loads(left["send"][1]["body"])["price"] is None


def test_an_agreement_is_reported() -> None:
    left = person_says([" Deal. I will pay 50."])
    assert left["send"][0] == {"to": "Ben", "body": "Deal. I will pay 50."}
    assert json.loads(left["send"][1]["body"])["price"] == 50
    assert left["state"] == {}
