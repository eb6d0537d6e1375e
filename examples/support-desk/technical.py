"""Finds the page that has most of a letter's words, and answers with the lines that have one."""

from collections import Counter

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    for message in t.inbox:
        asked = message.json()
        answer = look_up(t, asked["letter"])
        t.send(asked["customer"], answer)
        t.send("router", {"customer": asked["customer"], "answer": answer})


def look_up(t: Turn, letter: str) -> str:
    words = sorted({word.strip(".,!?").lower() for word in letter.split() if len(word) > 3})
    found = t.call_all([("knowledge.search", {"text": word}) for word in words])
    pages = Counter(match["path"] for result in found for match in result.data["matches"])
    if not pages:
        return "We do not know, and ask the workshop."
    page = min(pages, key=lambda path: (-pages[path], path))
    lines = t.call("knowledge.read", {"path": page}).text.splitlines()
    return " ".join(line for line in lines if any(word in line.lower() for word in words) and not line.startswith("#"))
