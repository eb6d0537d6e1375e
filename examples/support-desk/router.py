"""Hands each letter to who knows about it, and ends when all are answered."""

from turnwise_guest import Turn

ABOUT_MONEY = {"money", "paid", "pay", "price", "refund", "invoice"}


def turn(t: Turn) -> None:
    t.state = t.state or {"open": [], "answers": {}}
    for message in t.inbox:
        if message.sender in ("billing", "technical"):
            told = message.json()
            t.state["open"].remove(told["customer"])
            t.state["answers"][told["customer"]] = told["answer"]
            continue
        words = {word.strip(".,!?").lower() for word in message.body.split()}
        specialist = "billing" if words & ABOUT_MONEY else "technical"
        t.log(f"{message.sender} goes to {specialist}")
        t.state["open"].append(message.sender)
        t.send(specialist, {"customer": message.sender, "letter": message.body})
    if t.state["answers"] and not t.state["open"]:
        t.finish(dict(sorted(t.state["answers"].items())))
