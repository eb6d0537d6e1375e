from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from tests.inference import toy

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "benchmarks" / "bench_inference.py"


def run(*arguments: str | Path) -> tuple[list[dict[str, Any]], str]:
    """The lines that the script prints, and what it says besides."""
    places = [str(ROOT / "src"), str(ROOT / "guests" / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, BENCH, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy whose tokens are words `t0`, `t1`, …"""
    configuration = toy.config(16, 2, context_length=1024)
    settings = {"add_bos_token": False, "bos_token": None}
    path = tmp_path_factory.mktemp("models") / "toy"
    toy.write_folder(path, toy.attention_graph(), configuration=configuration, tokenizer_config=settings)
    words = {f"t{number}": number for number in range(toy.VOCABULARY)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "t2"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> tuple[list[dict[str, Any]], str]:
    return run("--model", folder, "--small", folder, "--quick", "--repeats", "2")


def test_measures_every_work(results: tuple[list[dict[str, Any]], str]) -> None:
    lines, _ = results
    works = {line["bench"]: line for line in lines if line.get("engine") == "ours"}
    assert list(works) == ["one_stream", "agents", "decode_16", "mixed", "conversation"]
    for line in works.values():
        assert line["total_s"]["median"] > 0
        assert line["total_s"]["spread"][0] <= line["total_s"]["median"] <= line["total_s"]["spread"][1]


def test_the_engine_without_constraints_runs_fewer_tokens(results: tuple[list[dict[str, Any]], str]) -> None:
    lines, _ = results
    run_tokens = {line["work"]: line["prompt_tokens_run"] for line in lines if line.get("bench") == "reproducible"}
    assert run_tokens["one_stream"] == {"on": 65, "off": 65}
    # 65 tokens; then 32 more and 65 again, twice, of which whole blocks of 32 are there: of the prompts, or of both.
    conversation = run_tokens["conversation"]
    assert 8 * (65 + 98 + 99) - 8 <= conversation["on"] <= 8 * (65 + 98 + 99)
    assert 8 * (65 + 66 + 67) - 8 <= conversation["off"] <= 8 * (65 + 66 + 67)


def test_measures_the_overhead_of_both_models(results: tuple[list[dict[str, Any]], str]) -> None:
    lines, _ = results
    found = [(line["rows"], line["bare_ms"] > 0) for line in lines if line.get("bench") == "overhead"]
    assert found == [(1, True), (16, True)] * 2


def test_makes_tables_of_the_results_of_several_runs(results: tuple[list[dict[str, Any]], str], tmp_path: Path) -> None:
    lines, said = results
    parts = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path, part in zip(parts, (lines[:4], lines[4:]), strict=True):
        path.write_text("".join(f"{json.dumps(line)}\n" for line in part))
    done = subprocess.run([sys.executable, BENCH, "--table", *parts], capture_output=True, text=True, check=True)
    assert "| one stream: 512 prompt tokens, 64 new | ours |" in done.stdout
    assert done.stdout in said
    widths = {line.count(" | ") for line in done.stdout.split("\n\n")[0].splitlines()}
    assert len(widths) == 1


def test_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime_genai")
    pytest.importorskip("transformers")
    server = tmp_path / "llama-server"
    lines, _ = run("--folder", tmp_path, "--quick", "--only", "one_stream", "--llama-server", server)
    skipped = {line["skipped"]: line["why"] for line in lines if "skipped" in line}
    assert skipped["llama_server"] == f"there is no binary {server}"
