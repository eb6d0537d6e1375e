"""JavaScript agents in their interpreter: what they may do and may not, and that nothing is left to chance."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wasmtime

import turnwise
from tests.sandbox.test_python_agents import Played, envelope, execute
from turnwise import Agent, Grants, InitialMessage
from turnwise.core.turn import FailureClass
from turnwise.errors import EnvironmentFailure
from turnwise.sandbox.build.code import CodeError, Source, prepare
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.execute.modules import ModuleLoader
from turnwise.sandbox.execute.pooling import INTERPRETER_RESET_BYTES
from turnwise.sandbox.execute.switches import ALL_ON
from turnwise.sandbox.javascript import module_path

MIB = 1024 * 1024

AGENTS: dict[str, str] = {
    "hello": "t.send('you', 'hello ' + t.inbox[0].body)",
    "counts": "t.state.n = (t.state.n ?? 0) + 1; globalThis.N = (globalThis.N ?? 0) + 1; t.send('you', String(N))",
    "sees": "t.send('you', [t.selfName, t.kind, t.round, t.turn, t.backlog, t.args, t.nowUs, t.inbox[0].sender,"
    " t.inbox[0].round])",
    "acts": "t.wakeIn(3); t.log('a', 'debug'); console.warn('b', {c: 1}); t.record('x', 1.5); t.record('y', 'z');"
    " t.spawn('k', 'n', {args: {a: 1}, state: {b: 2}}); t.stop('m'); t.finish({z: 1, a: [null, true]});"
    " t.state = {b: 1, a: {d: '€', c: undefined}}",
    "reads a text as JSON": "t.inbox[0].json()",
    "throws": "helper()",
    "throws text": "throw 'no good'",
    "rejects": "return Promise.reject(new TypeError('no good'))",
    "waits for nothing": "return new Promise(() => {})",
    "leaves a rejection": "Promise.reject(new Error('left behind'))",
    "handles a rejection": "Promise.reject(new Error('x')).catch(() => t.send('you', 'handled'))",
    "awaits": "return (async () => { await null; t.send('you', await 'awaited') })()",
    "yields": "return (function* () { yield 1 })()",
    "recurses": "const f = () => f(); f()",
    "recurses through C": "const f = () => [1].map(f); f()",
    "recurses and goes on": "const f = () => f(); try { f() } catch (error) { t.send('you', error.name) }",
    "recurses deeply": "const f = (n) => n === 0 ? 0 : 1 + f(n - 1); t.send('you', String(f(900)))",
    "parses deeply": "JSON.parse('['.repeat(100000))",
    "matches deeply": "new RegExp('('.repeat(100000))",
    "nests the state": "let x = []; for (let i = 0; i < 100000; i++) x = [x]; t.state = x",
    "takes memory": "const a = []; for (;;) a.push(new Uint8Array(1 << 20))",
    "takes memory at once": "new Uint8Array(2 ** 30)",
    "takes memory in pieces": "const a = []; for (;;) a.push({})",
    "takes memory as text": "let a = 'x'; for (;;) a += a",
    "survives lack of memory": "try { new Uint8Array(2 ** 30) } catch { t.send('you', 'survived') }",
    "loops": "for (;;);",
    "loops in promises": "const f = () => Promise.resolve().then(f); f()",
    "matches without end": "/(a+)+b/.test('a'.repeat(40))",
    "draws without end": "for (;;) Math.random()",
    "reads the clock without end": "for (;;) Date.now()",
    "waits for the clock": "const then = Date.now() + 2; while (Date.now() < then); t.send('you', 'passed')",
    "looks around": "t.send('you', ['std', 'os', 'require', 'process', 'fetch', 'setTimeout', '__host', '__turnwise',"
    " 'bjson', 'print', 'Worker', 'WebAssembly'].filter((name) => name in globalThis))",
    "imports what there is not": "return import('node:fs')",
    "evaluates": "t.send('you', [eval('1 + 1'), new Function('return 3')()])",
    "time": "t.send('you', [Date.now(), new Date().toISOString(), new Date().getTimezoneOffset(),"
    " t.now().toISOString(), new Date(2000, 0, 1).toISOString()])",
    "chance": "const r = t.random; t.send('you', [r.random(), r.randint(1, 1000), r.below(2 ** 40), r.choice('abcdef'),"
    " r.shuffle([1, 2, 3, 4, 5, 6]), r.sample([1, 2, 3, 4, 5, 6, 7, 8], 3),"
    " r.sample(Array.from({length: 1000}, (_, i) => i), 4), r.uniform(-1, 1)])",
    "other chance": "t.send('you', [Math.random(), Math.random()])",
    "order": "t.send('you', [Object.keys({b: 1, a: 2, 1: 3}), [...new Set('hello')], [3, 1, 2].sort()])",
    "floats": "t.send('you', [Math.sin(1e22), 0.1 + 0.2, Math.E ** 50, Math.pow(2, 0.5), 5e-324, 1e21])",
    "keeps a set": "t.state.seen = new Set([1])",
    "keeps a date": "t.state.when = [new Date()]",
    "keeps no number": "t.state.x = {y: NaN}",
    "keeps a ring": "t.state.me = t.state",
    "keeps half a character": "t.state.x = '\\ud800'",
    "sorts keys": 't.state = JSON.parse(\'{"\\ue000": 1, "\\ud83d\\ude00": 2, "a": 3, "__proto__": 4}\')',
    "sends a function": "t.send('you', {f: () => 1})",
    "records nonsense": "t.record('x', 1 / 0)",
    "wakes never": "t.wakeIn(0)",
    "sends to nobody": "t.send('', 'x')",
    "returns much": "t.state.x = 'y'.repeat(1 << 21)",
    "asks": "t.send('you', t.generate('model', 'prompt', {tokensMax: 3, topK: 4, stop: 'x'}).text)",
    "asks twice": "for (const p of 'ab') t.send('you', t.generate('model', p).text)",
    "asks many": "t.send('you', t.generateAll('model', ['a', [{role: 'user', content: 'b'}]], {returnErrors: true})"
    ".map((a) => a.kind ?? a.text))",
    "asks wrongly": "t.generate('model', 'prompt', {tokens_max: 3})",
    "asks for tensors": "const {y} = t.infer('m', {x: [[1, 2], [3, 4]]}); t.send('you', [y.dtype, y.toList()])",
    "asks for vectors": "t.send('you', t.embed('m', ['a', 'b']))",
    "catches": "try { t.generate('m', 'p') } catch { t.log('caught') } finally { t.log('at last') }",
    "breaks the language": "Array.prototype.push = JSON.stringify = Object.keys = () => { throw new Error('broken') };"
    " throw new Error('first')",
    "throws what cannot be told": "throw {toJSON() { throw 1 }, get [Symbol.toStringTag]() { throw 2 }}",
    "throws itself": "const e = new Error('round'); e.cause = e; throw e",
    "tensors": "const x = new Tensor([[1, 2, 3], [4, 5, 6]]); t.send('you', [x.dtype, x.shape, x.toList(),"
    " new Tensor([true]).dtype, new Tensor([1n]).dtype, new Tensor([1.5], {dtype: 'float16'}).toList(),"
    " new Tensor([1, 2], {dtype: 'int8', shape: [2, 1]}).toList()])",
    "tensors of no shape": "new Tensor([[1], [2, 3]])",
    "tensors that do not fit": "new Tensor([300], {dtype: 'int8'})",
}
SOURCE = """import {{ EffectError, NotJSON, Tensor }} from "turnwise";
function helper() {{
  throw new Error("no good", {{ cause: new RangeError("deeper") }});
}}
export function turn(t) {{
  {}
}}
"""
GROWING = ("takes memory in pieces", "takes memory as text", "loops in promises")


@pytest.fixture(scope="module", autouse=True)
def interpreter() -> Path:
    """The interpreter, without which there is nothing to test."""
    try:
        return module_path()
    except EnvironmentFailure as error:
        pytest.skip(str(error))


def source(name: str) -> Source:
    return Source("agents.a.source", "javascript", {"agent.js": SOURCE.format(AGENTS[name]).encode()}, "agent.js")


@pytest.fixture(scope="module")
def played() -> Played:
    codes = dict(zip(AGENTS, asyncio.run(prepare([source(name) for name in AGENTS])), strict=True))
    jobs = {
        name: TurnJob(
            number,
            codes[name].hash,
            envelope(name),
            (),
            20_000_000_000 if name in (*GROWING, "returns much") else 300_000_000,
            (16 if name in GROWING else 64) * MIB,
            MIB,
        )
        for number, name in enumerate(AGENTS)
    }
    results = asyncio.run(execute(list(codes.values()), list(jobs.values()), 2))
    return Played(codes, jobs, {name: results[number] for number, name in enumerate(AGENTS)})


def again(played: Played, *names: str, workers: int = 1, **changes: Any) -> list[TurnResult]:
    """Executes agents again, in a pool of their own."""
    jobs = [replace(played.jobs[name], id=number, **changes) for number, name in enumerate(names)]
    results = asyncio.run(execute([played.codes[name] for name in {*names}], jobs, workers))
    return [results[number] for number in range(len(names))]


def told(played: Played, name: str) -> Any:
    return json.loads(played.sent(name))


def test_a_turn_reads_its_inbox_and_sends(played: Played) -> None:
    assert played.output("hello")["send"] == [{"body": "hello world", "to": "you"}]
    assert told(played, "sees") == ["agent-1", "sees", 3, 2, 0, {}, 946_684_800_000_000, "you", 2]


def test_nothing_survives_a_turn_but_the_state(played: Played) -> None:
    results = again(played, *["counts"] * 3)
    assert {result.body for result in results} == {played.results["counts"].body}
    assert played.sent("counts") == "1"
    assert json.loads(played.output("counts")["state"]) == {"n": 1}


def test_all_that_an_agent_can_do_is_in_its_output(played: Played) -> None:
    assert played.output("acts") == {
        "state": '{"a":{"d":"€"},"b":1}',
        "wake_in": 3,
        "log": [{"level": "debug", "text": "a"}, {"level": "warning", "text": 'b {"c":1}'}],
        "record": [{"name": "x", "value": 1.5}, {"name": "y", "value": "z"}],
        "spawn": [{"kind": "k", "name": "n", "args": {"a": 1}, "state": '{"b":2}'}],
        "stop": ["m"],
        "finish": {"z": 1, "a": [None, True]},
    }
    assert '"finish":{"z":1,"a":[null,true]}' in played.results["acts"].body.decode()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("throws", "Error: no good\n    at helper (agent.js:3"),
        ("throws", "at turn (agent.js:6"),
        ("throws", "caused by RangeError: deeper"),
        ("throws text", "thrown: no good"),
        ("rejects", "TypeError: no good"),
        ("waits for nothing", "a promise that nothing will ever settle"),
        ("leaves a rejection", "Error: left behind"),
        ("yields", "is a generator"),
        ("recurses", "RangeError: Maximum call stack size exceeded\n    at f (agent.js:6"),
        ("reads a text as JSON", 'the message of you is not JSON but the text "world": read it as .body'),
        ("recurses through C", "RangeError: Maximum call stack size exceeded"),
        ("parses deeply", "RangeError"),
        ("matches deeply", "SyntaxError"),
        ("nests the state", "is nested more than 1000 levels deep"),
        ("takes memory", "InternalError: out of memory"),
        ("takes memory at once", "InternalError: out of memory"),
        ("takes memory in pieces", "InternalError: out of memory"),
        ("takes memory as text", "InternalError"),
        ("loops in promises", "InternalError: out of memory"),
        ("imports what there is not", "node:fs"),
        ("keeps a set", 't.state["seen"] is a Set, which is not a JSON value: use [...value].sort()'),
        ("keeps a date", 't.state["when"][0] is a Date'),
        ("keeps no number", 't.state["x"]["y"] is NaN'),
        ("keeps a ring", "contains itself"),
        ("keeps half a character", "lone surrogate"),
        ("sends a function", 'body["f"] is a function'),
        ("records nonsense", "RangeError: record x is Infinity"),
        ("wakes never", "rounds is between 1 and"),
        ("sends to nobody", "to is empty"),
        ("asks wrongly", "there is no option tokens_max; there are callsMax, jsonSchema, lark"),
        ("breaks the language", "cannot be told"),
        ("throws what cannot be told", "cannot be told"),
        ("throws itself", "Error: round"),
        ("tensors of no shape", "values[1] has the shape [2], and those before it [1]"),
        ("tensors that do not fit", "the value 300 does not fit into int8"),
    ],
)
def test_a_fault_of_an_agent_is_its_error(played: Played, name: str, error: str) -> None:
    assert error in played.error(name)


def test_errors_show_the_lines_of_the_agent_only(played: Played) -> None:
    assert "(turnwise" not in played.error("keeps a set")
    assert "at turn (agent.js:6" in played.error("sends to nobody")


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("handles a rejection", "handled"),
        ("awaits", "awaited"),
        ("recurses and goes on", "RangeError"),
        ("recurses deeply", "900"),
        ("survives lack of memory", "survived"),
        ("waits for the clock", "passed"),
        ("evaluates", "[2,3]"),
        ("looks around", "[]"),
    ],
)
def test_an_agent_goes_on(played: Played, name: str, sent: str) -> None:
    assert played.sent(name) == sent


@pytest.mark.parametrize("name", [name for name in AGENTS if name.endswith("without end") or name == "loops"])
def test_what_has_no_end_runs_out_of_fuel(played: Played, name: str) -> None:
    result = played.results[name]
    assert (result.failure, result.fuel) == (FailureClass.FUEL, played.jobs[name].fuel)


def test_time_is_virtual(played: Played) -> None:
    first, iso, offset, now, built = told(played, "time")
    assert (first, offset) == (946_684_800_000, 0)
    assert {iso, now, built} == {"2000-01-01T00:00:00.000Z"}


def test_chance_is_that_of_other_languages(played: Played) -> None:
    """What CPython's `random.Random` draws from the same seed, as Python agents do."""
    chance = random.Random(int("5eed" * 16, 16))
    expected: list[Any] = [chance.random(), chance.randint(1, 1000), chance.randrange(2**40), chance.choice("abcdef")]
    shuffled = [1, 2, 3, 4, 5, 6]
    chance.shuffle(shuffled)
    expected += [shuffled, chance.sample([1, 2, 3, 4, 5, 6, 7, 8], 3), chance.sample(range(1000), 4)]
    expected.append(chance.uniform(-1, 1))
    assert told(played, "chance") == expected
    other = random.Random(int("5eed" * 16, 16) * 2 + 1)
    assert told(played, "other chance") == [other.random(), other.random()]


def test_another_seed_is_another_chance(played: Played) -> None:
    (result,) = again(played, "chance", input=envelope("chance").replace(b"5eed5eed", b"5eee5eed"))
    assert json.loads(json.loads(result.body)["send"][0]["body"])[0] != told(played, "chance")[0]


def test_numbers_are_those_that_were_journalled_before(played: Played) -> None:
    """Golden: a change here is a change of every stored run of a JavaScript agent."""
    assert played.sent("floats") == (
        "[-0.8522008497671888,0.30000000000000004,5.184705528587058e+21,1.4142135623730951,5e-324,1e+21]"
    )
    assert told(played, "order") == [["1", "b", "a"], ["h", "e", "l", "o"], [1, 2, 3]]


def test_keys_are_sorted_as_in_other_languages(played: Played) -> None:
    state = played.output("sorts keys")["state"]
    value = {"\ue000": 1, "😀": 2, "a": 3, "__proto__": 4}
    assert state == json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def test_output_over_its_limit_fails_the_turn(played: Played) -> None:
    assert played.results["returns much"].failure is FailureClass.OUTPUT_SIZE


def test_tensors_have_types_and_shapes(played: Played) -> None:
    assert told(played, "tensors") == [
        "float32",
        [2, 3],
        [[1, 2, 3], [4, 5, 6]],
        "bool",
        "int64",
        [1.5],
        [[1], [2]],
    ]


def test_an_effect_suspends_the_turn_and_its_reply_goes_on(played: Played) -> None:
    result = played.results["asks"]
    assert result.status == "needs"
    assert json.loads(result.body) == {
        "effect": "generate",
        "model": "model",
        "prompt": "prompt",
        "temperature": 0,
        "tokens_max": 3,
        "top_k": 4,
        "stop": ["x"],
    }
    reply = b'{"ok":{"finish":"end","prompt_tokens":3,"text":"once upon","tokens":2}}'
    (done,) = again(played, "asks", replies=(reply,))
    assert json.loads(done.body)["send"][0]["body"] == "once upon"


def test_a_turn_goes_further_with_every_reply(played: Played) -> None:
    reply = b'{"ok":{"finish":"end","prompt_tokens":3,"text":"r","tokens":2}}'
    first = played.results["asks twice"]
    (second,) = again(played, "asks twice", replies=(reply,))
    (third,) = again(played, "asks twice", replies=(reply, reply))
    assert [first.status, second.status, third.status] == ["needs", "needs", "completed"]
    assert [json.loads(one.body)["prompt"] for one in (first, second)] == ["a", "b"]
    assert first.fuel < second.fuel < third.fuel


def test_many_are_asked_at_once_and_errors_take_their_place(played: Played) -> None:
    request = json.loads(played.results["asks many"].body)["effects"]
    assert [one.get("prompt") or one["messages"] for one in request] == ["a", [{"role": "user", "content": "b"}]]
    reply = (
        b'{"results":[{"error":{"kind":"denied","message":"no"}},'
        b'{"ok":{"finish":"end","prompt_tokens":1,"text":"r","tokens":1}}]}'
    )
    (done,) = again(played, "asks many", replies=(reply,))
    assert json.loads(json.loads(done.body)["send"][0]["body"]) == ["denied", "r"]


def test_an_error_that_nobody_catches_fails_the_turn(played: Played) -> None:
    (done,) = again(played, "asks", replies=(b'{"error":{"kind":"denied","message":"not granted"}}',))
    assert json.loads(done.body)["error"].startswith("EffectError: denied: not granted\n    at turn (agent.js:6")


def test_tensors_go_out_and_come_back(played: Played) -> None:
    request = json.loads(played.results["asks for tensors"].body)
    tensor = {"dtype": "float32", "shape": [2, 2], "data": "AACAPwAAAEAAAEBAAACAQA=="}
    assert request == {"effect": "infer", "model": "m", "inputs": {"x": tensor}}
    reply = json.dumps({"ok": {"outputs": {"y": tensor | {"shape": [4]}}}}).encode()
    (done,) = again(played, "asks for tensors", replies=(reply,))
    assert json.loads(json.loads(done.body)["send"][0]["body"]) == ["float32", [1, 2, 3, 4]]
    reply = json.dumps({"ok": {"vectors": tensor}}).encode()
    (done,) = again(played, "asks for vectors", replies=(reply,))
    assert json.loads(json.loads(done.body)["send"][0]["body"]) == [[1, 2], [3, 4]]


def test_a_suspension_cannot_be_caught(played: Played) -> None:
    assert played.results["catches"].status == "needs"


def test_every_execution_is_the_same_in_every_process(played: Played) -> None:
    names = [name for name in AGENTS if "without end" not in name and name not in GROWING]
    for workers, order in ((1, names), (2, names[::-1])):
        for name, result in zip(order, again(played, *order, workers=workers), strict=True):
            assert replace(result, id=0) == replace(played.results[name], id=0), name


# Sources of more than one file, and sources with mistakes.


def javascript(**files: str) -> Source:
    names = {name.replace("__", "/") + ".js": text.encode() for name, text in files.items()}
    return Source("agents.agent.source", "javascript", names, "agent.js")


def test_local_modules_travel_with_the_agent() -> None:
    wanted = javascript(
        agent="import { word } from './lib/words.js';\nimport twice from './twice.js';\n"
        "export default function (t) { t.send('you', word + twice('b')); }",
        twice="import { word } from './lib/words.js'; export default (x) => x + x + word;",
        lib__words="import twice from '../twice.js'; export const word = 'a';",
    )
    (code,) = asyncio.run(prepare([wanted]))
    done = asyncio.run(execute([code], [TurnJob(0, code.hash, envelope("x"), (), 10**9, 64 * MIB, MIB)]))
    assert json.loads(done[0].body)["send"][0]["body"] == "abba"


def test_a_file_can_be_imported_while_the_turn_is_played() -> None:
    wanted = javascript(
        agent="export async function turn(t) { const { x } = await import('./b.js'); t.send('you', x); }",
        b="import { y } from './c.js'; export const x = 'b' + y;",
        c="export const y = 'c';",
    )
    (code,) = asyncio.run(prepare([wanted]))
    done = asyncio.run(execute([code], [TurnJob(0, code.hash, envelope("x"), (), 10**9, 64 * MIB, MIB)]))
    assert json.loads(done[0].body)["send"][0]["body"] == "bc"


def test_what_a_module_does_when_it_is_loaded_is_part_of_the_turn() -> None:
    wanted = javascript(
        agent="const first = [Date.now(), Math.random()];\nexport const turn = (t) => t.send('you', first)"
    )
    (code,) = asyncio.run(prepare([wanted]))
    done = asyncio.run(execute([code], [TurnJob(0, code.hash, envelope("x"), (), 10**9, 64 * MIB, MIB)]))
    other = random.Random(int("5eed" * 16, 16) * 2 + 1)
    assert json.loads(json.loads(done[0].body)["send"][0]["body"]) == [946_684_800_000, other.random()]


def test_a_change_in_any_file_is_another_code() -> None:
    base = {"agent": "import './helper.js'; export function turn() {}", "helper": "1"}
    variants = [base, base | {"helper": "2"}, base | {"other": ""}, {"agent": base["agent"] + " ", "helper": "1"}]
    codes = asyncio.run(prepare([javascript(**files) for files in variants]))
    assert len({code.hash for code in codes}) == 4
    assert len({code.path for code in codes}) == 1


@pytest.mark.parametrize(
    ("files", "where", "message"),
    [
        ({"agent": "export function turn(t) {\n  let x = = 1\n}\n"}, "agent.js:2", "SyntaxError"),
        ({"agent": "import './b.js'", "b": "\n\n)"}, "b.js:3", "SyntaxError"),
        (
            {"agent": "import { x } from './nowhere.js'"},
            "agent.js:1",
            "nowhere.js is neither a file beside the agent's",
        ),
        ({"agent": "import * as fs from 'node:fs'"}, "agent.js:1", "node:fs is neither a file"),
        ({"agent": "(" * 100_000}, "agent.js", ""),
    ],
)
def test_a_mistake_is_named_with_file_and_line(files: dict[str, str], where: str, message: str) -> None:
    with pytest.raises(CodeError) as caught:
        asyncio.run(prepare([javascript(**files)]))
    assert f"agents.agent.source: {where}" in (caught.value.where or "")
    assert message in caught.value.message


def test_a_run_of_agents_in_two_languages_is_replayed(tmp_path: Path) -> None:
    world = turnwise.World(
        "w",
        rounds_max=6,
        agents={
            "ann": Agent(
                "export function turn(t) {\n"
                "  for (const m of t.inbox) t.send('bob', { n: (m.json().n ?? 0) + 1 });\n}\n",
                grants=Grants(send=["bob"]),
            ),
            "bob": Agent(
                "def turn(t):\n    for m in t.inbox: t.send('ann', {'n': m.json()['n'] * 2})\n",
                grants=Grants(send=["ann"]),
            ),
        },
        messages=[InitialMessage("ann", "{}")],
    )
    path = tmp_path / "a.journal"
    with turnwise.run(world, journal=path, workers=1) as run:
        assert [message.body for message in run.messages][1:5] == ['{"n":1}', '{"n":2}', '{"n":3}', '{"n":6}']
        assert len(run.failures) == 0
    assert turnwise.replay(path).difference is None


def test_the_interpreter_has_its_slot(played: Played, engine: wasmtime.Engine) -> None:
    """It fits into it, all of its stored memory: else each turn costs as many page faults as it touches pages."""
    loader = ModuleLoader(engine, ALL_ON)
    carrier = loader.load(str(played.codes["hello"].path), is_interpreter=True)
    assert list(loader._pooling) == [INTERPRETER_RESET_BYTES]
    assert carrier._engine is loader._pooling[INTERPRETER_RESET_BYTES]  # type: ignore[attr-defined]
