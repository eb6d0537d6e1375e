"""Sends the story so far to all writers, and goes on with the continuation that brings in the most new words."""

from turnwise_guest import Turn


def new_words(story: str, continuation: str) -> int:
    return len(set(continuation.lower().split()) - set(story.lower().split()))


def turn(t: Turn) -> None:
    if not t.inbox:
        return
    if "story" not in t.state:
        t.state = {"story": t.inbox[0].body, "chapter": 0}
    else:
        best = max(t.inbox, key=lambda message: new_words(t.state["story"], message.body))
        t.log(f"chapter {t.state['chapter']} is by {best.sender}")
        t.record("new words", new_words(t.state["story"], best.body))
        t.state["story"] += best.body
    if t.state["chapter"] == t.args["chapters"]:
        t.finish(t.state["story"])
    else:
        t.state["chapter"] += 1
        t.send("writers", t.state["story"])
