"""Hands out tasks, each with one example, and keeps its tests to itself. A program that fails one gets that, too."""

from turnwise_guest import Turn

TASKS = {
    "larger": {"about": "the larger of two numbers", "tests": [[[3, 5], 5], [[9, 2], 9], [[-1, -7], -1]]},
    "rest": {"about": "what is left of a when b is paid", "tests": [[[7, 4], 3], [[4, 7], -3], [[0, 5], -5]]},
    "distance": {"about": "the distance of two numbers", "tests": [[[9, 2], 7], [[2, 9], 7], [[-3, 4], 7]]},
}
RUN = "{code}\n[{name}(*arguments) for arguments in input]"


def turn(t: Turn) -> None:
    if t.turn == 1:
        t.state = {"open": sorted(TASKS), "programs": {}, "sent_back": 0}
    for message in t.inbox:
        answer = message.json()
        name, code = answer["name"], answer["code"]
        wrong = None if code is None else first_wrong(t, name, code)
        if wrong is not None:
            t.log(f"{name}: {code!r} fails for {wrong[0]}")
            t.state["sent_back"] += 1
            t.send("coder", {"name": name, "about": TASKS[name]["about"], "examples": [*answer["examples"], wrong]})
            return
        t.state["programs"][name] = code
        t.state["open"].remove(name)
    if t.state["open"]:
        name = t.state["open"][0]
        task = TASKS[name]
        t.send("coder", {"name": name, "about": task["about"], "examples": task["tests"][:1]})
    else:
        t.finish({"programs": t.state["programs"], "sent_back": t.state["sent_back"]})


def first_wrong(t: Turn, name: str, code: str) -> list | None:
    """Return the first test that a program fails, None if it passes all."""
    tests = TASKS[name]["tests"]
    ran = t.run_python(RUN.format(code=code, name=name), [arguments for arguments, _ in tests])
    found = ran.value if ran.ok else [ran.error] * len(tests)
    return next((test for test, value in zip(tests, found, strict=True) if value != test[1]), None)
