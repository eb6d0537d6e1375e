"""Comes to the gate, and pleads until it is opened or patience has run out."""

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    if t.turn == 1:
        t.send("guard", f"I come {t.args['purpose']}.")
    for message in t.inbox:
        answer = message.json()
        t.log(f"{'in' if answer['open'] else 'still out'}: {answer['say'] or '(no word)'}")
        if not answer["open"]:
            t.state["refused"] = t.state.get("refused", 0) + 1
            t.send("guard", "Please!" if t.state["refused"] < 2 else "I beg you, it is cold!")
