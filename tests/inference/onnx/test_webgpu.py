"""A real provider for devices, on a Vulkan driver in software, on any machine.

It wants the plugin (`pip install onnxruntime-ep-webgpu`), SwiftShader (Debian's package chromium-common has it) and
root: the plugin looks for devices in /sys/class/drm, and finds one there in a mount namespace of its own. The driver
computes prompts of more than 32 tokens wrongly, so this is also what a broken driver looks like.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.history.test_tolerant import forged
from tests.history.test_verify import played, writers
from tests.inference.forms_toy import Form, write_form
from turnwise.inference.inspect.generate import generate_text

FOLDER = Path(os.environ.get("TURNWISE_TEST_WEBGPU", "/usr/lib/chromium"))
"""Where `vk_swiftshader_icd.json` and its libraries lie; the plugin's package may lie there too."""

ICD = FOLDER / "vk_swiftshader_icd.json"
WEBGPU = "WebGpuExecutionProvider"
SCRIPT = """
import json, sys
from pathlib import Path
from turnwise.inference.decoding import self_test
from turnwise.inference.inspect.generate import generate_text
from turnwise.inference.onnx.providers import provider_report
self_test.STEPS_OF_SLABS = (4, 2, 1)
infos = []
model, prompt, tokens, provider = sys.argv[1:]
text = "".join(generate_text(Path(model), prompt, tokens_max=int(tokens), provider=provider, on_loaded=infos.append))
states = {state.name: state.usable for state in provider_report().providers}
said = {name: getattr(infos[0], name) for name in ("provider", "fallback", "nodes")}
print(json.dumps({"text": text, "states": states, **said}))
"""
VERIFY = """
import dataclasses, json, sys
from pathlib import Path
import turnwise
journal, *models = sys.argv[1:]
models = {"model": Path(path) for path in models}
found = turnwise.verify(Path(journal), tolerant=True, models=models, rounds=(1, 1), agent="writer-1")
[model] = found.models
print(json.dumps({"refused": found.difference and found.difference.what, **dataclasses.asdict(model)}))
"""
RUN = """
import json, sys
from pathlib import Path
from tests.history.test_verify import played, writers
model, journal = map(Path, sys.argv[1:])
print(json.dumps({"journal": str(played(writers(model, provider="auto", count=1), journal))}))
"""

CONFINED = """
import asyncio, json, sys
from pathlib import Path
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateRequest
async def ask():
    replies, done = [], asyncio.Event()
    def take(some):
        replies.extend(some)
        done.set()
    spec = ModelSpec("model", Path(sys.argv[1]), "webgpu")
    async with InferenceHost([spec], on_replies=take, on_failure=lambda error: done.set()) as host:
        host.submit([GenerateRequest(0, "model", json.dumps({"prompt": "Once upon", "tokens_max": 12}), bytes(32))])
        await done.wait()
        measures = {measure.name: [measure.holds, measure.detail] for measure in host.measures}
        return {"replies": [json.loads(reply.body) for reply in replies], "measures": measures}
print(json.dumps(asyncio.run(ask())))
"""

ROWS = """
import json, sys
from pathlib import Path
from turnwise.inference.plans import kv_sizes
kv_sizes.BLOCK_TOKENS = 16
from turnwise.inference.decoding import graph_form, numeric_class, self_test
graph_form.WEBGPU_CHUNK_TOKENS = numeric_class.WEBGPU_CHUNK_TOKENS = 16
self_test.STEPS_OF_SLABS = (4, 2, 1)
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
path, bodies = Path(sys.argv[1]), json.loads(sys.argv[2])
model = load_model(ModelSpec("m", path, sys.argv[3]), EngineOptions(rows_max=4))
def answers(engine, numbers, late=0):
    found, waiting = {}, list(numbers)
    while waiting or engine.pending:
        if waiting:
            number = waiting.pop(0)
            engine.submit(GenerateRequest(number, "m", json.dumps(bodies[number]), bytes([number]) * 32))
        for _ in range(late if waiting else 1):
            found |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
    return [found[number] for number in numbers]
everybody = range(len(bodies))
engine = Engine(model)
said = {
    "together": answers(engine, everybody),
    "warm": answers(engine, everybody, late=2),
    "reused": engine.statistics().reused_tokens,
    "batched": engine.statistics().step_rows - engine.statistics().steps,
    "alone": [answers(Engine(model), [number])[0] for number in everybody],
}
info = model.info
numeric = [info.numeric.numeric_class, info.numeric.batching, info.numeric.checks]
print(json.dumps({**said, "provider": info.provider, "fallback": info.fallback, "form": info.form, "numeric": numeric}))
"""

BENCHMARK = """
import contextlib, io, json, sys
from turnwise.inference.decoding import self_test
self_test.STEPS_OF_SLABS = (4, 2, 1)
from benchmarks.bench_device import main
lines = io.StringIO()
with contextlib.redirect_stdout(lines):
    main([sys.argv[1], "--provider", "webgpu", "--quick", "--sides", "kernels", "--parts", "steps,agents"])
print(json.dumps([json.loads(line) for line in lines.getvalue().splitlines()]))
"""


def missing() -> str | None:
    if importlib.util.find_spec("onnxruntime_ep_webgpu") is None and not (FOLDER / "onnxruntime_ep_webgpu").is_dir():
        return "onnxruntime-ep-webgpu is not installed"
    if not ICD.is_file():
        return f"there is no {ICD}: chromium-common has it, or TURNWISE_TEST_WEBGPU names its folder"
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("unshare") is None:
        return "a mount namespace needs root and unshare"
    return None


pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands in for /sys/class: one device."""
    root = tmp_path_factory.mktemp("system")
    device = root / "class" / "drm" / "card0" / "device"
    device.mkdir(parents=True)
    for name, number in (("vendor", "0x1414"), ("device", "0x008e"), ("class", "0x030000")):
        (device / name).write_text(number + "\n")
    (root / "run").mkdir(mode=0o700)
    return root


def ask(system: Path, model: Path, prompt: str, tokens: int, provider: str = "webgpu") -> tuple[dict[str, Any], str]:
    """What a process says that sees the device, and what it writes to standard error."""
    return told(system, SCRIPT, model, prompt, tokens, provider)


def told(system: Path, script: str, *arguments: object) -> tuple[dict[str, Any], str]:
    """What a script prints in a process that sees the device, and what it writes to standard error."""
    parts = [str(FOLDER), *sys.path]
    environment = os.environ | {
        "VK_ICD_FILENAMES": str(ICD),
        "VK_DRIVER_FILES": str(ICD),
        "XDG_RUNTIME_DIR": str(system / "run"),
        "LD_LIBRARY_PATH": str(FOLDER),
        "PYTHONPATH": os.pathsep.join(part for part in parts if part),
        "TURNWISE_CACHE": str(system / "cache"),
    }
    inside = 'mount --bind "$0" /sys/class && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", inside, str(system / "class"), sys.executable, "-c", script]
    done = subprocess.run([*command, *map(str, arguments)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture
def short(stories_models: Path, tmp_path: Path) -> Path:
    """The story model with a context that the driver computes rightly."""
    folder = shutil.copytree(
        stories_models / "stories260k-genai-fp32", tmp_path / "model", copy_function=shutil.copyfile
    )
    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["context_length"] = 31
    (folder / "genai_config.json").unlink()
    (folder / "genai_config.json").write_text(json.dumps(config))
    return folder


def test_a_model_runs_on_the_device_with_the_text_of_the_cpu(system: Path, short: Path) -> None:
    said, errors = ask(system, short, "Once upon", 16)
    assert (said["provider"], said["fallback"]) == (WEBGPU, None)
    assert said["nodes"][WEBGPU] > said["nodes"].get("CPUExecutionProvider", 0)
    assert said["text"] == "".join(generate_text(short, "Once upon", tokens_max=16, provider="cpu"))
    assert said["states"][WEBGPU]
    assert errors == "", "ONNX Runtime's own lines are not for people"


def test_a_driver_that_computes_wrongly_is_not_used(system: Path, stories_models: Path) -> None:
    model = stories_models / "stories260k-genai-fp32"
    said, _ = ask(system, model, "Once upon a time", 12, "auto")
    assert said["provider"] == "CPUExecutionProvider"
    assert "webgpu answers otherwise than the cpu: after a prompt of 70 tokens" in said["fallback"]
    assert said["text"] == "".join(generate_text(model, "Once upon a time", tokens_max=12, provider="cpu"))


def test_attention_of_small_operators_is_right_there(system: Path, stories_models: Path) -> None:
    model = stories_models / "stories260k-hf-fp32"
    said, _ = ask(system, model, "Once upon a time", 12, "auto")
    assert (said["provider"], said["fallback"]) == (WEBGPU, None)
    assert said["text"] == "".join(generate_text(model, "Once upon a time", tokens_max=12, provider="cpu"))


@pytest.mark.parametrize("form", [Form("grouped"), Form("grouped", "int4", 32, 4)], ids=str)
def test_sequences_share_steps_with_their_cache_on_the_device(system: Path, tmp_path: Path, form: Form) -> None:
    """With pieces and blocks of 16 tokens, which the driver computes rightly."""
    model = write_form(tmp_path / "m", form)
    shared = "the seller shows the buyer what there is, and "
    bodies = [
        {"prompt": shared + "then", "tokens_max": 7},
        {"prompt": "a", "tokens_max": 12, "temperature": 0.8, "logprobs": 2},
        {"prompt": shared + "asks", "tokens_max": 5},
        {"regex": "[a-z]{2} is forced", "tokens_max": 20},
        {"prompt": shared[:40], "tokens_max": 9, "temperature": 1.0},
    ]
    bodies = [{"prompt": "once", **body} for body in bodies]
    said, errors = told(system, ROWS, model, json.dumps(bodies), "webgpu")
    assert (said["provider"], said["fallback"], said["form"]) == (WEBGPU, None, "in_place float32")
    assert said["numeric"][:2] == ["batch-invariant", "free"]
    assert said["numeric"][2].keys() == {"run = run", "alone = in a batch", "whole = in pieces", "cold = warm"}
    assert said["alone"] == said["together"] == said["warm"]
    assert said["reused"] >= 2 * 32
    assert said["batched"] > 10
    assert errors == ""
    if form.weights == "int4":  # the CPU rounds activations to 8 bits
        return
    greedy = [number for number, body in enumerate(bodies) if not body.get("temperature")]
    on_cpu, _ = told(system, ROWS, model, json.dumps(bodies), "cpu")
    assert [said["alone"][number] for number in greedy] == [on_cpu["alone"][number] for number in greedy]


def test_the_benchmark_runs_there_and_says_what_its_figures_are_worth(system: Path, short: Path) -> None:
    said, _ = told(system, BENCHMARK, short)
    first, *rest = said
    assert (first["provider"], first["form"], first["class"]) == (WEBGPU, "in_place float32", "batch-invariant")
    assert first["figures"] == "mean nothing"
    assert [line["rows"] for line in rest if "step_ms" in line] == [1, 4]
    assert [line["agents"] for line in rest if "cold" in line] == [1, 4]


def test_a_run_on_the_cpu_is_near_what_the_device_gives(system: Path, stories_models: Path, tmp_path: Path) -> None:
    model = stories_models / "stories260k-hf-fp32"
    journal = played(writers(model, provider="auto"), tmp_path / "a.journal")
    said, _ = told(system, VERIFY, journal)
    assert (said["refused"], said["compared"]) == (None, 3)
    assert f"provider was CPUExecutionProvider, and is {WEBGPU}" in said["reasons"][0]
    assert said["nearness"]["tokens"] > 20
    said, _ = told(system, VERIFY, forged(journal, tmp_path, 1, 0, lambda tokens: [*tokens[:4], 5, *tokens[5:]]))
    assert said["refused"].startswith("effect 0: reply of model, token 4")


def test_a_run_on_the_device_is_near_what_the_cpu_gives(system: Path, stories_models: Path, tmp_path: Path) -> None:
    model = stories_models / "stories260k-hf-fp32"
    told(system, RUN, model, tmp_path / "a.journal")
    found = turnwise.verify(tmp_path / "a.journal", tolerant=True)
    assert (found.difference, found.models[0].compared) == (None, 12)
    assert any(f"provider was {WEBGPU}" in reason for reason in found.models[0].reasons)
    other = {"model": stories_models / "stories260k-genai-int4"}
    assert turnwise.verify(tmp_path / "a.journal", tolerant=True, models=other).difference is not None


def test_the_device_works_in_a_process_that_has_given_up_the_rest(system: Path, stories_models: Path) -> None:
    model = stories_models / "stories260k-hf-fp32"
    said, _ = told(system, CONFINED, model)
    [reply] = said["replies"]
    assert reply["ok"]["text"] == "".join(generate_text(model, "Once upon", tokens_max=12, provider="cpu"))
    holds, detail = said["measures"]["seccomp"]
    assert holds
    assert "since a driver may want any other" in detail
    holds, detail = said["measures"]["landlock"]
    assert not holds or "no files but libraries and" in detail
