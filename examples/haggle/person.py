"""A buyer or a seller. The model writes what they say; they check each sentence before they say it."""

from typing import Any

from speech import Position, form, objection, read

from turnwise_guest import Message, Turn

ATTEMPTS_MAX = 8
LINES_MAX = 20
SILENCE = "…"


def turn(t: Turn) -> None:
    if t.turn == 1:
        t.send("crier", t.args["side"])
    for message in t.inbox:
        if message.sender == "crier":
            t.state = {**message.json(), "lines": [], "mine": [], "theirs": []}
            if t.args["side"] == "seller":
                speak(t)
        elif t.state.get("with") == message.sender:
            hear(t, message)


def hear(t: Turn, message: Message) -> None:
    """Take in what the other says, and answer unless it ends the talk."""
    saying = read(message.body)
    t.state["lines"].append([message.sender, message.body])
    if saying is None or saying.kind == "leave":
        part(t, None)
    elif saying.kind == "accept":
        part(t, saying.price if saying.price in t.state["mine"][-1:] else None)
    else:
        t.state["theirs"].append(saying.price)
        speak(t)


def speak(t: Turn) -> None:
    """Say the first sentence of the model that may be said; silence if it finds none."""
    state = t.state
    position = Position(t.args["side"], state["limit"], tuple(state["mine"]), tuple(state["theirs"]))
    sentence = write(t, prompt(t), position)
    t.send(state["with"], sentence)
    state["lines"].append([t.self_name, sentence])
    saying = read(sentence)
    if saying is None or saying.kind == "leave":
        part(t, None)
    elif saying.kind == "accept":
        part(t, saying.price)
    else:
        state["mine"].append(saying.price)


def write(t: Turn, beginning: str, position: Position) -> str:
    for attempt in range(ATTEMPTS_MAX if len(t.state["lines"]) < LINES_MAX else 0):
        answer = t.generate(
            "haggler",
            beginning,
            tokens_max=60,
            temperature=0.5 + 0.1 * attempt,  # who has not found a word looks further away
            regex=form(t.state["with"]),
            stop="\n",
        )
        sentence = answer.text.strip()
        wrong = objection(sentence, position)
        if wrong is None:
            return sentence
        t.log(f"does not say {sentence!r}: {wrong}", "debug")
    return SILENCE


def prompt(t: Turn) -> str:
    """Who the person is, what was said, and whose turn it is to speak: the form that the model has learned."""
    me, state = t.self_name, t.state
    if t.args["side"] == "seller":
        wish = f"You sell your {state['good']} to {state['with']}. You need at least {state['limit']}."
    else:
        wish = f"You want the {state['good']} of {state['with']}. You can pay at most {state['limit']}."
    lines = "".join(f"{speaker}: {sentence}\n" for speaker, sentence in state["lines"])
    return f"You are {me}, a {t.args['mood']} {t.args['side']}. {wish}\n{lines}{me}:"


def part(t: Turn, price: int | None) -> None:
    """The talk is over: tell the crier how it went."""
    report: dict[str, Any] = {"with": t.state["with"], "price": price, "lines": t.state["lines"]}
    t.send("crier", report)
    t.state = {}
