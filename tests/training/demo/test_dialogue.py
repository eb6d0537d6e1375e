"""The generator's conversations, held against the ears of the agents that the model is trained for."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from training.demo.dialogue import Dialogue, Person, dialogue, header
from training.demo.policy import PRICE_MAX, PRICE_MIN
from training.demo.words import GOODS, MOODS, NAMES

from tests.examples.haggle import agent_module, people
from turnwise_guest.testing import make_turn

SEEDS = range(5_000_000, 5_000_400)


def other(made: Dialogue, person: Person) -> Person:
    return made.buyer if person is made.seller else made.seller


def test_a_number_makes_one_conversation() -> None:
    assert dialogue(7) == dialogue(7)
    assert len({dialogue(seed).lines for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", [SEEDS[0], SEEDS[-1]])
def test_the_two_speak_in_turn_and_the_seller_begins(seed: int) -> None:
    made = dialogue(seed)
    names = (made.seller.name, made.buyer.name)
    assert [line.speaker for line in made.lines] == [names[number % 2] for number in range(len(made.lines))]


def test_a_deal_is_struck_exactly_where_the_limits_allow_one() -> None:
    for made in map(dialogue, SEEDS):
        last = made.lines[-1].move
        assert (last.kind == "accept") == (made.seller.limit <= made.buyer.limit)
        assert last.kind in ("accept", "leave")
        if last.kind == "accept":
            assert last.price is not None
            assert made.seller.limit <= last.price <= made.buyer.limit
            assert last.price == made.lines[-2].move.price


def test_prices_have_two_digits() -> None:
    prices = [line.move.price for made in map(dialogue, SEEDS) for line in made.lines if line.move.price is not None]
    assert min(prices) >= PRICE_MIN
    assert max(prices) <= PRICE_MAX


def test_agents_understand_every_sentence_as_it_was_meant_and_have_no_objection() -> None:
    speech = agent_module("speech")
    kinds: Counter[str] = Counter()
    for made in map(dialogue, SEEDS):
        named: dict[str, list[int]] = {made.seller.name: [], made.buyer.name: []}
        for line in made.lines:
            me = made.seller if line.speaker == made.seller.name else made.buyer
            heard = speech.read(line.text)
            assert heard is not None, line
            assert heard.kind == {"final": "offer"}.get(line.move.kind, line.move.kind), line
            assert heard.price == line.move.price, line
            position = speech.Position(me.side, me.limit, tuple(named[me.name]), tuple(named[other(made, me).name]))
            assert speech.objection(line.text, position) is None, line
            kinds[line.move.kind] += 1
            if heard.kind == "offer":
                named[me.name].append(heard.price)
    assert all(kinds[kind] > 50 for kind in ("offer", "final", "accept", "leave"))


def test_every_sentence_has_the_form_that_agents_ask_for() -> None:
    form = agent_module("speech").form
    for made in map(dialogue, SEEDS):
        for line in made.lines:
            hears = made.buyer if line.speaker == made.seller.name else made.seller
            assert re.fullmatch(form(hears.name), f" {line.text}\n"), line


def test_the_world_knows_only_people_and_goods_that_the_model_has_met() -> None:
    assert {row["name"] for row in people()} <= set(NAMES)
    assert {row["mood"] for row in people()} <= set(MOODS)
    assert set(agent_module("crier").GOODS) <= {good.name for good in GOODS}


@pytest.mark.parametrize("side", ["seller", "buyer"])
def test_agents_prompt_in_the_form_that_the_model_has_learned(side: str) -> None:
    made = dialogue(SEEDS[0])
    me = made.seller if side == "seller" else made.buyer
    lines = [[line.speaker, line.text] for line in made.lines[:3]]
    state = {"with": other(made, me).name, "good": made.good.name, "limit": me.limit, "lines": lines}
    t = make_turn(self_name=me.name, args={"side": side, "mood": me.mood}, state=state)
    said = "".join(f"{speaker}: {text}\n" for speaker, text in lines)
    assert agent_module("person").prompt(t) == header(me, other(made, me), made.good.name) + said + f"{me.name}:"
