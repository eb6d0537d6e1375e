"""A specialist that is a model: it calls what it may, and answers."""

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    for message in t.inbox:
        asked = message.json()
        acted = t.act("assistant", asked["letter"], tools=t.args["tools"], begin="required", steps_max=6, calls_max=2)
        for call in acted.calls:
            t.log(f"{call.tool} {call.args}: {call.error or 'done'}")
        t.send(asked["customer"], acted.answer)
        t.send("router", {"customer": asked["customer"], "answer": acted.answer})
