"""Has a model write programs, small ones by a grammar, and tries them until one does what the examples say."""

from turnwise_guest import Turn

GRAMMAR = r"""
start: "def {name}(a, b):\n    return " value "\n"
value: sum | "abs(" sum ")" | ("max" | "min") "(" term ", " term ")"
sum: term (" " ("+" | "-" | "*") " " term)?
term: "a" | "b"
"""
PROMPT = """# {name}: {about}
{asserts}

"""
TRY = "{code}\n[{name}(*arguments) for arguments, _ in input] == [value for _, value in input]"


def turn(t: Turn) -> None:
    for message in t.inbox:
        t.state = {"task": message.json(), "tried": [], "attempts": 0}
    task, tried = t.state["task"], t.state["tried"]
    name, examples = task["name"], task["examples"]
    asserts = "\n".join(f"assert {name}({', '.join(map(str, given))}) == {value}" for given, value in examples)
    prompt = PROMPT.format(name=name, about=task["about"], asserts=asserts)
    answers = t.generate_all(
        "coder",
        [prompt] * t.args["programs"],
        lark=GRAMMAR.replace("{name}", name),
        temperature=t.args["temperature"],
        tokens_max=80,
    )
    written = dict.fromkeys(answer.text for answer in answers if answer.finish == "end")
    programs = [code for code in written if code not in tried]
    runs = t.run_python_all((TRY.format(code=code, name=name), examples) for code in programs)
    right = [code for code, run in zip(programs, runs, strict=True) if run.value is True]
    t.state["attempts"] += 1
    t.record("programs tried", len(programs))
    if right or t.state["attempts"] == t.args["attempts_max"]:
        t.send("tester", {"name": name, "code": right[0] if right else None, "examples": examples})
    else:
        t.state["tried"] += programs
        t.wake_in(1)
