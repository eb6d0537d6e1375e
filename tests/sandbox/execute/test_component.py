"""Components: the carrier itself, with guests small enough to read. Python agents have a test file of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import component as wc
from wasmtime.component._linker import FUNCTIONS

from tests.sandbox.conftest import COMPONENT
from turnwise.core.turn import FailureClass
from turnwise.errors import InvariantError
from turnwise.sandbox.execute.component import ComponentCarrier
from turnwise.sandbox.execute.execution import HOST_HANDLE_FUEL, Execution

MIB = 1024 * 1024
ECHO = "(call $answer (local.get $p) (local.get $n))"
ASK = "(call $effect (local.get $p) (local.get $n) (i32.const 32))"
ASK_AND_ANSWER = f"{ASK} (i32.const 32)"


def test_the_input_arrives_and_the_output_returns(run_component: Any) -> None:
    outcome, fuel, _ = run_component(ECHO, input='{"text": "Grüße, 世界"}'.encode())
    assert (outcome.status, outcome.body.decode()) == ("completed", '{"text": "Grüße, 世界"}')
    assert 0 < fuel < 1_000


def test_a_turn_ends_at_an_effect_without_reply_and_goes_on_with_it(run_component: Any) -> None:
    twice = f"{ASK} (call $effect (i32.load (i32.const 32)) (i32.load (i32.const 36)) (i32.const 32)) (i32.const 32)"
    first, fuel_first, _ = run_component(twice, input=b"one")
    assert (first.status, first.body, first.failure) == ("needs", b"one", None)
    second, fuel_second, _ = run_component(twice, input=b"one", replies=(b"two",))
    assert (second.status, second.body) == ("needs", b"two")
    third, fuel_third, execution = run_component(twice, input=b"one", replies=(b"two", "drei €".encode()))
    assert (third.status, third.body.decode(), execution.calls) == ("completed", "drei €", 2)
    assert fuel_first < fuel_second < fuel_third


@pytest.mark.parametrize(
    ("turn", "failure", "message"),
    [
        ("(loop (br 0)) unreachable", FailureClass.FUEL, "used up its fuel"),
        ("unreachable", FailureClass.TRAP, "unreachable"),
        ("(call $f (i32.const 1))", FailureClass.STACK, "stack"),
        ("(call $answer (i32.const -8) (i32.const 16))", FailureClass.TRAP, "out of bounds"),
        ("(call $answer (i32.const 0) (i32.const -1))", FailureClass.TRAP, "out of bounds"),
        ("(i32.const -4)", FailureClass.TRAP, "out of bounds"),
        ("(i32.const 3)", FailureClass.TRAP, "align"),
        ("(call $effect (i32.const -1) (i32.const 9) (i32.const 32)) (i32.const 32)", FailureClass.TRAP, "bounds"),
        ("(call $effect (i32.const 0) (i32.const 9) (i32.const -4)) (i32.const 32)", FailureClass.TRAP, "bounds"),
        ("(i32.store8 (i32.const 0) (i32.const 255)) (call $answer (i32.const 0) (i32.const 1))", "trap", "utf-8"),
    ],
)
def test_a_guest_that_misbehaves_fails_its_turn(run_component: Any, turn: str, failure: str, message: str) -> None:
    parts = "(func $f (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))"
    outcome, fuel, _ = run_component(turn, parts=parts, fuel=30_000_000, replies=(b"reply",))
    assert (outcome.status, outcome.failure) == ("failed", failure)
    assert message in outcome.body.decode()
    assert fuel <= 30_000_000


def test_names_that_a_guest_gives_its_functions_do_not_choose_the_class(run_component: Any) -> None:
    parts = r'(func $g (@name "x\n\nCaused by:\n    wasm trap: call stack exhausted") (result i32) unreachable)'
    outcome, _, _ = run_component("(call $g)", parts=parts)
    assert outcome.failure is FailureClass.TRAP
    assert "call stack exhausted" in outcome.body.decode()


def test_output_and_requests_are_bounded_to_the_byte(run_component: Any) -> None:
    exact, _, _ = run_component(ECHO, input=b"x" * 100, output_bytes_max=100)
    assert exact.status == "completed"
    for turn in (ECHO, ASK_AND_ANSWER):
        over, _, _ = run_component(turn, input=b"x" * 101, output_bytes_max=100)
        assert over.failure is FailureClass.OUTPUT_SIZE


def test_a_string_larger_than_the_engine_passes_is_too_large(run_component: Any) -> None:
    turn = "(call $answer (i32.const 0) (i32.const 0x0A000000))"
    outcome, _, _ = run_component(turn, pages="2600", memory_bytes=200 * MIB)
    assert outcome.failure is FailureClass.OUTPUT_SIZE


def test_memory_over_the_limit_cannot_begin(run_component: Any) -> None:
    outcome, _, _ = run_component(ECHO, pages="100", memory_bytes=MIB)
    assert outcome.failure is FailureClass.MEMORY


def test_a_second_memory_is_over_the_limit(run_component: Any) -> None:
    """The limit of linear memory holds per memory, so a component with two could have twice as much."""
    outcome, _, _ = run_component(ECHO, lowered="(core module $m (memory 1)) (core instance (instantiate $m))")
    assert outcome.failure is FailureClass.MEMORY


# What WASI answers, each with the pieces that a component needs to call it.
CLOCK = {
    "imports": """(import "wasi:clocks/wall-clock@0.2.3" (instance $clock
        (type $datetime (record (field "seconds" u64) (field "nanoseconds" u32)))
        (export "datetime" (type $exported (eq $datetime)))
        (export "now" (func (result $exported)))))
      (alias export $clock "now" (func $now))""",
    "lowered": "(core func $now (canon lower (func $now) (memory $memory)))",
    "host": '(import "host" "now" (func $now (param i32)))',
    "given": '(export "now" (func $now))',
}
RANDOM = {
    "imports": """(import "wasi:random/random@0.2.3" (instance $random
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
        (export "get-random-u64" (func (result u64)))))
      (alias export $random "get-random-bytes" (func $bytes))
      (alias export $random "get-random-u64" (func $u64))""",
    "lowered": """(core func $bytes (canon lower (func $bytes) (memory $memory) (realloc $realloc)))
      (core func $u64 (canon lower (func $u64)))""",
    "host": """(import "host" "bytes" (func $bytes (param i64 i32)))
      (import "host" "u64" (func $u64 (result i64)))""",
    "given": '(export "bytes" (func $bytes)) (export "u64" (func $u64))',
}
STREAMS = {
    "imports": """(import "wasi:io/error@0.2.3" (instance $error (export "error" (type (sub resource)))))
      (alias export $error "error" (type $error-type))
      (import "wasi:io/streams@0.2.3" (instance $streams
        (export "output-stream" (type $output (sub resource)))
        (alias outer 1 $error-type (type $e0))
        (export "error" (type $e (eq $e0)))
        (type $stream-error (variant (case "last-operation-failed" (own $e)) (case "closed")))
        (export "stream-error" (type $failure (eq $stream-error)))
        (export "[method]output-stream.blocking-write-and-flush"
          (func (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $failure)))))))
      (alias export $streams "output-stream" (type $stream))
      (alias export $streams "[method]output-stream.blocking-write-and-flush" (func $write))
      (import "wasi:cli/stdout@0.2.3" (instance $stdout
        (alias outer 1 $stream (type $s0))
        (export "output-stream" (type $s (eq $s0)))
        (export "get-stdout" (func (result (own $s))))))
      (alias export $stdout "get-stdout" (func $stdout))""",
    "lowered": """(core func $write (canon lower (func $write) (memory $memory)))
      (core func $stdout (canon lower (func $stdout)))""",
    "host": """(import "host" "write" (func $write (param i32 i32 i32 i32)))
      (import "host" "stdout" (func $stdout (result i32)))""",
    "given": '(export "write" (func $write)) (export "stdout" (func $stdout))',
}
POLLS = {
    "imports": """(import "wasi:io/poll@0.2.3" (instance $poll
        (export "pollable" (type $p (sub resource)))
        (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))
        (export "[method]pollable.block" (func (param "self" (borrow $p))))))
      (alias export $poll "pollable" (type $pollable))
      (alias export $poll "poll" (func $poll-list))
      (alias export $poll "[method]pollable.block" (func $block))
      (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock
        (alias outer 1 $pollable (type $p0))
        (export "pollable" (type $p (eq $p0)))
        (export "now" (func (result u64)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
      (alias export $clock "now" (func $now))
      (alias export $clock "subscribe-duration" (func $after))""",
    "lowered": """(core func $now (canon lower (func $now)))
      (core func $poll (canon lower (func $poll-list) (memory $memory) (realloc $realloc)))
      (core func $block (canon lower (func $block)))
      (core func $after (canon lower (func $after)))
      (core func $drop (canon resource.drop $pollable))""",
    "host": """(import "host" "now" (func $now (result i64)))
      (import "host" "poll" (func $poll (param i32 i32 i32)))
      (import "host" "block" (func $block (param i32)))
      (import "host" "after" (func $after (param i64) (result i32)))
      (import "host" "drop" (func $drop (param i32)))""",
    "given": """(export "now" (func $now)) (export "block" (func $block)) (export "after" (func $after))
      (export "poll" (func $poll))
      (export "drop" (func $drop))""",
}
FORBIDDEN = {
    "imports": """(import "wasi:sockets/instance-network@0.2.3" (instance $network
        (export "network" (type $n (sub resource)))
        (export "instance-network" (func (result (own $n))))))
      (alias export $network "instance-network" (func $open))""",
    "lowered": "(core func $open (canon lower (func $open)))",
    "host": '(import "host" "open" (func $open (result i32)))',
    "given": '(export "open" (func $open))',
}
EXIT = {
    "imports": """(import "wasi:cli/exit@0.2.3" (instance $exit
        (export "exit" (func (param "status" (result))))))
      (alias export $exit "exit" (func $exit))""",
    "lowered": "(core func $exit (canon lower (func $exit)))",
    "host": '(import "host" "exit" (func $exit (param i32)))',
    "given": '(export "exit" (func $exit))',
}


def test_the_clock_is_virtual_and_each_read_takes_a_microsecond(run_component: Any) -> None:
    turn = """(call $now (i32.const 32)) (call $now (i32.const 48))
      (if (i64.ne (i64.load (i32.const 32)) (i64.const 946684800)) (then unreachable))
      (if (i32.ne (i32.load (i32.const 40)) (i32.const 7000)) (then unreachable))
      (if (i32.ne (i32.load (i32.const 56)) (i32.const 8000)) (then unreachable))
      (call $answer (i32.const 0) (i32.const 0))"""
    outcome, _, _ = run_component(turn, input=b'{"now_us":946684800000007}', **CLOCK)
    assert outcome.status == "completed", outcome.body


def test_an_input_without_time_or_not_json_has_a_clock_too(run_component: Any) -> None:
    for text in (b"{}", b"not json", b'{"now_us":-5}', b'{"now_us":"x"}', b"[]", b'{"now_us":99999999999999999999}'):
        outcome, _, _ = run_component(f"(call $now (i32.const 32)) {ECHO}", input=text, **CLOCK)
        assert outcome.body == text


def test_waiting_is_over_at_once_and_advances_the_clock(run_component: Any) -> None:
    turn = """(local $start i64) (local $wait i32)
      (local.set $start (call $now))
      (local.set $wait (call $after (i64.const 5000000000)))
      (call $block (local.get $wait))
      (call $drop (local.get $wait))
      (if (i64.ne (i64.sub (call $now) (local.get $start)) (i64.const 5000001000)) (then unreachable))
      (call $answer (i32.const 0) (i32.const 0))"""
    outcome, _, _ = run_component(turn, **POLLS)
    assert outcome.status == "completed", outcome.body


def test_waiting_beyond_the_end_of_time_is_no_overflow(run_component: Any) -> None:
    turn = """(call $block (call $after (i64.const -1))) (call $block (call $after (i64.const -1)))
      (if (i64.ne (call $now) (i64.const -1)) (then unreachable))
      (call $answer (i32.const 0) (i32.const 0))"""
    outcome, _, _ = run_component(turn, **POLLS)
    assert outcome.status == "completed", outcome.body


POLL_MANY = """(local $i i32)
  (i32.store (i32.const 64) (call $after (i64.const 1000)))
  (i32.store (i32.const 68) (call $after (i64.const 9000)))
  (loop $next
    (i32.store (i32.add (i32.const 72) (i32.mul (local.get $i) (i32.const 4))) (i32.load (i32.const 68)))
    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {more}))))
  (call $poll (i32.const 64) (i32.const {count}) (i32.const 32))
  (if (i32.ne (i32.load (i32.const 36)) (i32.const 1)) (then unreachable))
  (if (i32.ne (i32.load (i32.load (i32.const 32))) (i32.const 0)) (then unreachable))
  (call $answer (i32.const 0) (i32.const 0))"""


def test_the_first_of_several_pollables_is_waited_for(run_component: Any) -> None:
    outcome, _, _ = run_component(POLL_MANY.format(more=1, count=2), **POLLS)
    assert outcome.status == "completed", outcome.body


def test_each_handle_in_a_list_costs_as_much_as_a_call(run_component: Any) -> None:
    _, few, _ = run_component(POLL_MANY.format(more=200, count=2), **POLLS)
    _, many, _ = run_component(POLL_MANY.format(more=200, count=202), **POLLS)
    assert many - few == 200 * HOST_HANDLE_FUEL
    one, two = (run_component(POLL_MANY.format(more=1, count=count), **POLLS)[1] for count in (1, 2))
    assert two - one == HOST_HANDLE_FUEL, "the first handle is free"


def test_pollables_are_bounded(run_component: Any) -> None:
    outcome, _, _ = run_component("(loop (drop (call $after (i64.const 1))) (br 0)) unreachable", **POLLS)
    assert outcome.failure is FailureClass.MEMORY
    kept = "(local $i i32) (loop (call $drop (call $after (i64.const 1))) (br 0)) unreachable"
    outcome, _, _ = run_component(kept, **POLLS)
    assert outcome.failure is FailureClass.FUEL


def random_words(run_component: Any, seed: str) -> bytes:
    turn = """(call $bytes (i64.const 8) (i32.const 32))
      (i64.store (i32.const 64) (i64.and (i64.load (i32.load (i32.const 32))) (i64.const 0x7f7f7f7f7f7f7f7f)))
      (i64.store (i32.const 72) (i64.and (call $u64) (i64.const 0x7f7f7f7f7f7f7f7f)))
      (call $answer (i32.const 64) (i32.const 16))"""
    outcome, _, _ = run_component(turn, input=f'{{"seed":"{seed}"}}'.encode(), **RANDOM)
    assert outcome.status == "completed", outcome.body
    return bytes(outcome.body)


def test_randomness_follows_the_seed(run_component: Any) -> None:
    first = random_words(run_component, "5eed")
    assert first == random_words(run_component, "5eed")
    assert first != random_words(run_component, "5eee")
    assert first[:8] != first[8:]
    assert first.hex() == "5f5f016769394739060617392c615b33", "the stream is part of what a journal promises"


def test_randomness_is_bounded(run_component: Any) -> None:
    turn = "(call $bytes (i64.const -1) (i32.const 32)) (i32.const 32)"
    outcome, _, _ = run_component(turn, **RANDOM)
    assert outcome.failure is FailureClass.FUEL


def test_what_is_printed_is_kept_and_bounded(run_component: Any) -> None:
    parts = '(data (i32.const 64) "hello\\n")'
    write = "(call $write (call $stdout) (i32.const 64) (i32.const {}) (i32.const 32))"
    turn = f"{write.format(6)} {write.format(3)} {ECHO}"
    outcome, fuel, execution = run_component(turn, parts=parts, **STREAMS)
    assert (outcome.status, execution.stdout()) == ("completed", "hello\nhel")
    assert fuel > 4 * 50_000 + 9 * 5_000
    _, _, execution = run_component(f"{write.format(40_000) * 2} {ECHO}", parts=parts, pages="2", **STREAMS)
    assert len(execution.stdout().encode()) <= 64 * 1024
    assert execution.stdout().endswith("… 14464 bytes more were printed; 65536 bytes are kept")


def test_printing_costs_fuel(run_component: Any) -> None:
    turn = "(loop (call $write (call $stdout) (i32.const 64) (i32.const 4096) (i32.const 32)) (br 0)) unreachable"
    outcome, fuel, _ = run_component(turn, fuel=100_000_000, **STREAMS)
    assert (outcome.failure, fuel) == (FailureClass.FUEL, 100_000_000)


def test_a_wild_resource_handle_is_a_trap(run_component: Any) -> None:
    for handle in (0, 7, -1):
        turn = f"(call $write (i32.const {handle}) (i32.const 64) (i32.const 1) (i32.const 32)) {ECHO}"
        outcome, _, _ = run_component(turn, **STREAMS)
        assert outcome.failure is FailureClass.TRAP


def test_what_is_not_answered_ends_the_turn_with_its_name(run_component: Any) -> None:
    outcome, _, _ = run_component(f"(drop (call $open)) {ECHO}", **FORBIDDEN)
    assert outcome.failure is FailureClass.FORBIDDEN
    assert "wasi:sockets/instance-network.instance-network" in outcome.body.decode()


def test_exit_fails_the_turn(run_component: Any) -> None:
    outcome, _, _ = run_component(f"(call $exit (i32.const 0)) {ECHO}", **EXIT)
    assert outcome.failure is FailureClass.TRAP
    assert "exited" in outcome.body.decode()


# Resources where others belong: signatures are compared without the names of resources, so these do get linked.
CONFUSED_WAIT = {
    "imports": """(import "wasi:cli/stdout@0.2.3" (instance $stdout
        (export "output-stream" (type $s (sub resource)))
        (export "get-stdout" (func (result (own $s))))))
      (alias export $stdout "output-stream" (type $stream))
      (alias export $stdout "get-stdout" (func $stdout))
      (import "wasi:io/poll@0.2.3" (instance $poll
        (alias outer 1 $stream (type $s0))
        (export "output-stream" (type $s (eq $s0)))
        (export "poll" (func (param "in" (list (borrow $s))) (result (list u32))))))
      (alias export $poll "poll" (func $poll-streams))""",
    "lowered": """(core func $stdout (canon lower (func $stdout)))
      (core func $poll (canon lower (func $poll-streams) (memory $memory) (realloc $realloc)))""",
    "host": """(import "host" "stdout" (func $stdout (result i32)))
      (import "host" "poll" (func $poll (param i32 i32 i32)))""",
    "given": '(export "stdout" (func $stdout)) (export "poll" (func $poll))',
}
CONFUSED_STREAM = {
    "imports": """(import "wasi:cli/stdout@0.2.3" (instance $stdout
        (export "pollable" (type $p (sub resource)))
        (export "get-stdout" (func (result (own $p))))))
      (alias export $stdout "get-stdout" (func $stdout))""",
    "lowered": "(core func $stdout (canon lower (func $stdout)))",
    "host": '(import "host" "stdout" (func $stdout (result i32)))',
    "given": '(export "stdout" (func $stdout))',
}


def test_waiting_for_what_is_no_pollable_fails_the_turn(run_component: Any) -> None:
    turn = f"""(i32.store (i32.const 64) (call $stdout))
      (call $poll (i32.const 64) (i32.const 1) (i32.const 32)) {ECHO}"""
    outcome, _, _ = run_component(turn, **CONFUSED_WAIT)
    assert outcome.failure is FailureClass.TRAP
    assert "no pollable" in outcome.body.decode()


def test_a_resource_of_another_type_fails_the_turn(run_component: Any) -> None:
    outcome, _, _ = run_component(f"(drop (call $stdout)) {ECHO}", **CONFUSED_STREAM)
    assert outcome.failure is FailureClass.TRAP


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_thousands_of_instances_leave_nothing_behind(engine: wasmtime.Engine) -> None:
    """With resources, printing, suspension and traps: memory, descriptors and the binding's tables stay flat."""
    turn = f"""(call $write (call $stdout) (i32.const 64) (i32.const 3) (i32.const 32))
      (if (i32.eq (local.get $n) (i32.const 1)) (then unreachable))
      {ASK_AND_ANSWER}"""
    text = COMPONENT.format(turn=turn, pages="1", parts="", **STREAMS)
    carrier = ComponentCarrier(engine, wc.Component(engine, text))
    work: list[tuple[bytes, tuple[bytes, ...]]] = [(b"1", ()), (b"two", ()), (b"two", (b"reply",))]

    def round_of(count: int) -> None:
        for index in range(count):
            data, replies = work[index % 3]
            execution = Execution(data, replies, 10_000_000, MIB, 1_000)
            outcome, _ = carrier.execute(execution)
            assert outcome.status == ("failed", "needs", "completed")[index % 3]
            assert execution.stdout() == "\0\0\0"

    round_of(600)
    before = measured()
    round_of(3_000)
    after = measured()
    assert after[1] <= before[1]
    assert after[2] == before[2]
    assert after[0] - before[0] < 4 * MIB


def measured() -> tuple[int, int, int]:
    """Resident bytes, open descriptors, callbacks that the binding keeps."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return pages * os.sysconf("SC_PAGE_SIZE"), descriptors, len(FUNCTIONS.handles)


def test_another_name_of_a_resource_is_the_same_resource(run_component: Any) -> None:
    """As components made by componentize-js import it, which an engine with two types for it refuses."""
    imports = """(import "wasi:http/types@0.2.10" (instance
      (export "fields" (type $fields (sub resource)))
      (export "headers" (type (eq $fields)))
      (export "trailers" (type (eq $fields)))
      (export "[constructor]fields" (func (result (own $fields))))))"""
    outcome, _, _ = run_component(ECHO, imports=imports, input=b"text")
    assert (outcome.status, outcome.body) == ("completed", b"text")


def test_a_host_function_outside_of_a_turn_is_a_fault_of_ours(engine: wasmtime.Engine) -> None:
    empty = {"imports": "", "pages": "1", "lowered": "", "host": "", "parts": "", "given": ""}
    turn = "(call $answer (i32.const 0) (i32.const 0))"
    carrier = ComponentCarrier(engine, wc.Component(engine, COMPONENT.format(turn=turn, **empty)))
    with pytest.raises(InvariantError, match="while no turn is executed"):
        carrier._host(lambda wasi: wasi)(None)
