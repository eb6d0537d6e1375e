"""Goes on with whatever story it is sent."""

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    stories = [message.body for message in t.inbox]
    answers = t.generate_all("storyteller", stories, tokens_max=40, temperature=t.args["temperature"])
    for message, answer in zip(t.inbox, answers, strict=True):
        t.send(message.sender, answer.text)
    t.state["told"] += len(answers)
