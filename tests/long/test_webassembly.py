"""WebAssembly's scripts as guests: `pytest -m corpora -s tests/long`; the player's own tests run with the others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import wasmtime

from tests.long.script_run import Finding, play
from turnwise.sandbox.execute import engine
from turnwise.sandbox.execute.engine import SETTINGS, make_engine, on_guest_stack

FEATURES = frozenset(name for name, value in SETTINGS if value is False) - {
    "epoch_interruption",  # no feature of guests
    "wasm_stack_switching",  # not on every machine
}
"""Settings of features that the sandbox has turned off."""

FEATURE_OF_TEXT = {
    "memory64": "64-bit memories",
    "gc": "garbage collection, with references to what is the host's",
    "function references": "function references",
    "exceptions": "exceptions",
}

SINCE_2_0 = "WebAssembly 2.0 says otherwise: segments are written in order, and one that does not fit traps"
MULTI_VALUE = "WebAssembly 2.0 says otherwise: more than one result, table, or type of a dead branch"
BINARYEN = "Binaryen has changed the script, and not all of it"
OLD = "text or imports of the time before WebAssembly 1.0"
PROPOSED = "text of a proposal as it was then"
EXPLAINED: dict[str, tuple[str, frozenset[int]]] = {
    "elem.wast": (SINCE_2_0, frozenset({142, 151, 160, 169, 177, 185, 194, 202, 211, 219, 228, 236})),
    "linking.wast": (SINCE_2_0, frozenset({206, 227, 236, 238, 248, 298, 334, 342, 344, 354})),
    "func.wast": (MULTI_VALUE, frozenset({492, 496})),
    "type.wast": (MULTI_VALUE, frozenset({52, 56})),
    "unreached-invalid.wast": (MULTI_VALUE, frozenset({538})),
    "old_import.wast": (f"{OLD}, and more than one table", frozenset({48, 130, 134})),
    "imports.wast": (BINARYEN, frozenset({315})),
    "old_float_exprs.wast": ("a NaN that is converted keeps its payload there; here it is canonical", frozenset({608})),
}
"""Lines that come to something else, and why that is right."""
REFUSED: dict[str, str] = {
    "elem.wast": BINARYEN,
    "imports.wast": BINARYEN,
    "multivalue.wast": BINARYEN,
    **dict.fromkeys(["array", "atomics", "br_on_null", "call_ref", "exception-handling"], PROPOSED),
    **dict.fromkeys(
        ["float_memory64", "i31", "ref_as_non_null", "ref_cast", "struct"],
        PROPOSED,
    ),
}
"""Scripts with modules that no engine takes today, and why; those whose names begin with "old_" are `OLD`."""


@pytest.fixture(scope="module")
def wider() -> wasmtime.Engine:
    """The sandbox's engine with all features."""
    with pytest.MonkeyPatch.context() as change:
        change.setattr(engine, "SETTINGS", tuple((dict(SETTINGS) | dict.fromkeys(FEATURES, True)).items()))
        return make_engine()


def played(script: str | bytes, wider: wasmtime.Engine) -> list[Finding]:
    source = script.encode() if isinstance(script, str) else script
    return on_guest_stack(lambda: play(source, make_engine(), wider))


@pytest.mark.corpora
@pytest.mark.timeout(3600)
def test_the_scripts_of_webassembly(corpora: Path, wider: wasmtime.Engine) -> None:
    """Every line comes to what its script says, or to what is explained above."""
    paths = sorted(corpora.glob("unpacked/binaryen/*/test/spec/*.wast"))
    if not paths:
        pytest.skip("no scripts of WebAssembly were fetched: they are in Debian's source package `binaryen`")
    counts: Counter[str] = Counter({"scripts": len(paths)})
    features: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    unexplained: list[tuple[str, Finding]] = []
    for path in paths:
        findings = played(path.read_bytes(), wider)
        if path.name.endswith(".fail.wast"):
            assert [finding.verdict for finding in findings] == ["refused"], (path, findings)
            counts["as expected"] += 1
            continue
        for finding in findings:
            counts[finding.verdict] += 1
            if finding.verdict == "feature off":
                features[next(feature for text, feature in FEATURE_OF_TEXT.items() if text in finding.said)] += 1
            elif finding.verdict in ("other", "refused"):
                reason = explanation(path.name, finding)
                if reason is None:
                    unexplained.append((path.name, finding))
                else:
                    reasons[reason] += 1
    print("\nWebAssembly's scripts:", dict(counts), dict(features), dict(reasons))
    assert not unexplained
    assert counts["as expected"] > 20_000
    assert counts["other"] + counts["refused"] < 100


def explanation(name: str, finding: Finding) -> str | None:
    if finding.verdict == "refused":
        return OLD if name.startswith("old_") else REFUSED.get(name.removesuffix(".wast"), REFUSED.get(name))
    reason, lines = EXPLAINED.get(name, ("", frozenset()))
    return reason if finding.line in lines else None


RIGHT = """
(module $m
  (memory 1) (table funcref (elem $nothing)) (type $unary (func (param i32) (result i32)))
  (global (export "seven") i32 (i32.const 7))
  (func $nothing)
  (func (export "add") (param f32 f32) (result f32) (f32.add (local.get 0) (local.get 1)))
  (func (export "same") (param f32) (result f32) (local.get 0))
  (func (export "pair") (result i32 i64) (i32.const -1) (i64.const 2))
  (func (export "splat") (param i32) (result v128) (i32x4.splat (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "call") (result i32) (call_indirect (type $unary) (i32.const 1) (i32.const 0)))
  (func $endless (export "endless") (call $endless)))
(assert_return (get $m "seven") (i32.const 7))
(assert_return (invoke "add" (f32.const 0x1p-149) (f32.const 1e-45)) (f32.const 0x1p-148))
(assert_return (invoke "same" (f32.const nan:0x200000)) (f32.const nan:0x200000))
(assert_return (invoke "add" (f32.const nan) (f32.const 1)) (f32.const nan:canonical))
(assert_return (invoke "pair") (i32.const 0xffffffff) (i64.const 2))
(assert_return (invoke "splat" (i32.const 3)) (v128.const i32x4 3 3 3 3))
(assert_trap (invoke "load" (i32.const 65533)) "out of bounds memory access")
(assert_trap (invoke "divide" (i32.const 0)) "integer divide by zero")
(assert_trap (invoke "call") "indirect call type mismatch")
(assert_exhaustion (invoke "endless") "call stack exhausted")
(register "m" $m)
(module (import "m" "add" (func (param f32 f32) (result f32))) (import "spectest" "print" (func)))
(assert_unlinkable (module (import "m" "add" (func))) "incompatible import type")
(assert_invalid (module (func (result i32))) "type mismatch")
(assert_malformed (module quote "(func (result i32) (i32.const 0x1_0000_0000))") "constant out of range")
(assert_malformed (module binary "\\00asm\\02\\00\\00\\00") "unknown binary version")
(assert_trap (module (func $main (unreachable)) (start $main)) "unreachable")
"""
WRONG = {
    '(get $m "seven") (i32.const 7)': '(get $m "seven") (i32.const 8)',
    "(f32.const 0x1p-148)": "(f32.const 0x1p-149)",
    "(f32.const nan:0x200000))\n": "(f32.const nan:0x200001))\n",
    "(f32.const nan:canonical)": "(f32.const 1)",
    "(i64.const 2))\n(assert": "(i64.const 3))\n(assert",
    '(invoke "pair") (i32.const 0xffffffff)': '(invoke "pair")',
    "i32x4 3 3 3 3": "i32x4 3 3 4 3",
    '(i32.const 65533)) "out': '(i32.const 65532)) "out',
    '"integer divide by zero"': '"integer overflow"',
    '"indirect call type mismatch"': '"undefined element"',
    '"call stack exhausted"': '"unreachable"',
    '(module (import "m" "add" (func)))': '(module (import "m" "add" (func (param f32 f32) (result f32))))',
    "(module (func (result i32)))": "(module (func (result i32) (i32.const 1)))",
    "0x1_0000_0000": "0xffff_ffff",
    '"\\00asm\\02\\00\\00\\00"': '"\\00asm\\01\\00\\00\\00"',
    "$main (unreachable)": "$main (nop)",
}


def test_a_script_that_is_right(wider: wasmtime.Engine) -> None:
    findings = played(RIGHT, wider)
    assert [finding for finding in findings if finding.verdict != "as expected"] == []
    assert len(findings) == RIGHT.count("\n(")


@pytest.mark.parametrize("right", WRONG)
def test_a_line_that_says_something_wrong_is_found(right: str, wider: wasmtime.Engine) -> None:
    assert RIGHT.count(right) == 1
    findings = played(RIGHT.replace(right, WRONG[right]), wider)
    assert [finding.verdict for finding in findings if finding.verdict != "as expected"] == ["other"]


MODULES_OF_FEATURES = (
    ("64-bit memories", "(memory i64 1)"),
    ("garbage collection, with references to what is the host's", "(func (param externref))"),
    ("function references", "(type $f (func)) (func (param (ref $f)))"),
    ("exceptions", "(tag)"),
)


@pytest.mark.parametrize(("feature", "fields"), MODULES_OF_FEATURES)
def test_modules_of_features_that_are_off(feature: str, fields: str, wider: wasmtime.Engine) -> None:
    (module, call) = played(f'(module {fields}) (invoke "f")', wider)
    assert (module.verdict, call.verdict) == ("feature off", "without its module: feature off")
    assert next(name for text, name in FEATURE_OF_TEXT.items() if text in module.said) == feature


def test_modules_that_nobody_takes(wider: wasmtime.Engine) -> None:
    (module, call) = played('(module (func (get_local 0))) (assert_return (invoke "f"))', wider)
    assert (module.verdict, call.verdict) == ("refused", "without its module: refused")


def lines_of(table: dict[str, tuple[str, frozenset[int]]]) -> Iterator[tuple[str, int]]:
    for name, (_, lines) in table.items():
        for line in lines:
            yield name, line


def test_only_the_lines_named_are_explained() -> None:
    for name, line in lines_of(EXPLAINED):
        assert explanation(name, Finding(line, "assert_return", "other")) is not None
    assert explanation("elem.wast", Finding(143, "assert_unlinkable", "other")) is None
    assert explanation("f32.wast", Finding(1, "module", "refused")) is None
    assert re.fullmatch("text .*", explanation("old_call.wast", Finding(3, "module", "refused")) or "")
