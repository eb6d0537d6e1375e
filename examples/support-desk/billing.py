"""Pays back what the rules of the house give, if a person approves."""

import re

from turnwise_guest import EffectError, Turn

RULE = re.compile(r"within (\d+) days: (\d+) percent")


def turn(t: Turn) -> None:
    for message in t.inbox:
        asked = message.json()
        answer = settle(t, asked["letter"])
        t.send(asked["customer"], answer)
        t.send("router", {"customer": asked["customer"], "answer": answer})


def settle(t: Turn, letter: str) -> str:
    number = re.search(r"\b[A-Z]-\d+\b", letter)
    if number is None:
        return "Which order is it about?"
    try:
        order = t.call("desk.order", {"number": number.group()}).data
    except EffectError as error:
        return f"We cannot find it: {error.message}."
    rules = RULE.findall(t.call("knowledge.read", {"path": "refunds.md"}).text)
    percent = next((int(percent) for days, percent in rules if order["days_ago"] <= int(days)), 0)
    if not percent:
        return "It is too long ago."
    amount = t.call("desk.share", {"price": order["price"], "percent": percent}).data
    try:
        paid = t.call("desk.pay_back", {"order": number.group(), "amount": amount})
    except EffectError as error:
        if error.kind == "unknown":
            return "We have been interrupted, and look whether it was paid."
        return f"We cannot pay back the {order['item']}: a colleague has said no."
    return f"For the {order['item']}, {paid.text}."
