"""What the inference process gave up, tried from inside one that has; and that its models work as before."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import turnwise
from tests.inference import graphs, toy
from turnwise.confine import Measure
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.host.measures import measures_here
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.requests.infer_request import InferRequest
from turnwise.inference.server import confinement

linux = pytest.mark.skipif(sys.platform != "linux", reason="measures of Linux")
SOURCES = str(Path(turnwise.__path__[0]).parent)

PROBE = """
import ctypes, json, os, pathlib, signal, socket, subprocess, sys, threading
import numpy as np
from turnwise.inference.server.confinement import give_up
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec
model = load_model(ModelSpec("m", pathlib.Path(sys.argv[1]), "cpu"))
model.decoder.begin(64)
before = model.decoder.prefill(0, [5, 6, 7]).tobytes()
waiting, late = threading.Event(), []
def from_a_thread():
    waiting.wait()
    late.append(open("/etc/passwd"))
old = threading.Thread(target=from_a_thread)
old.start()
give_up([sys.argv[2]])
def from_the_old_thread():
    waiting.set()
    old.join()
    if not late:
        raise PermissionError
def a_new_thread():
    done = []
    thread = threading.Thread(target=lambda: done.append(1))
    thread.start()
    thread.join()
    assert done
def the_model():
    model.decoder.begin(64)
    assert model.decoder.prefill(0, [5, 6, 7]).tobytes() == before
TRIES = {
    "read a file": lambda: open("/etc/passwd"),
    "read the model": lambda: open(os.path.join(sys.argv[1], "tokenizer.json")),
    "write a file": lambda: open(os.path.join(sys.argv[1], "escaped"), "w"),
    "make a folder": lambda: os.mkdir(os.path.join(sys.argv[1], "escaped")),
    "remove a file": lambda: os.unlink(os.path.join(sys.argv[1], "tokenizer.json")),
    "list a folder": lambda: os.listdir("/"),
    "connect by TCP": lambda: socket.socket(socket.AF_INET).connect(("127.0.0.1", 9)),
    "send by UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "connect by a path": lambda: socket.socket(socket.AF_UNIX).connect("/run/x"),
    "start a program": lambda: subprocess.run(["/bin/true"], check=True),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "fork": os.fork,
    "signal another": lambda: os.kill(os.getppid(), 0),
    "load a library": lambda: ctypes.CDLL("libnss_compat.so.2"),
    "import a module": lambda: __import__("xmlrpc.client"),
    "change the rights of a file": lambda: os.chmod(sys.argv[1], 0o777),
    "look at another process": lambda: open(f"/proc/{os.getppid()}/environ"),
    "open from a thread that ran already": from_the_old_thread,
    "start a thread": a_new_thread,
    "take memory": lambda: np.ones(50_000_000).sum(),
    "use the model": the_model,
}
found = {}
for name, action in TRIES.items():
    try:
        action()
        found[name] = "done"
    except (OSError, ImportError) as error:
        found[name] = type(error).__name__
print(json.dumps(found), flush=True)
os._exit(0)
"""


def holds(*names: str) -> bool:
    found = {measure.name: measure for measure in asyncio.run(measures_here())}
    return all(found[name].holds for name in names)


def landlock_detail() -> str:
    return next(measure.detail for measure in asyncio.run(measures_here()) if measure.name == "landlock")


@linux
@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "CUDAExecutionProvider"])
def test_it_can_do_nothing_but_compute(tmp_path: Path, provider: str) -> None:
    """Where a device's driver lives in the process, libraries can be loaded besides."""
    if not holds("seccomp", "landlock"):
        pytest.skip("this kernel has no seccomp, or no Landlock")
    path = toy.write_attention_folder(tmp_path / "m")
    environment = os.environ | {"PYTHONPATH": SOURCES}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(path), provider],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )
    found = json.loads(done.stdout)
    allowed = {"start a thread", "take memory", "use the model"}
    if provider != "CPUExecutionProvider":
        allowed |= {"load a library", "import a module"}
        if "not the" in landlock_detail():
            allowed.add("open from a thread that ran already")
    assert {name for name, result in found.items() if result == "done"} == allowed, done.stderr
    assert sorted(item.name for item in path.iterdir()) == [
        "genai_config.json", "model.onnx", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


@pytest.mark.parametrize("providers", [(), ("CUDAExecutionProvider",)], ids=["CPU", "device"])
def test_every_measure_is_reported(providers: tuple[str, ...]) -> None:
    found = asyncio.run(measures_here(providers))
    assert [measure.name for measure in found] == ["no_new_privileges", "landlock", "limits", "seccomp"]
    assert all(measure.detail for measure in found)
    assert any("a driver may want" in measure.detail for measure in found if measure.holds) == bool(providers)


@linux
def test_on_a_device_the_report_says_what_stays_open() -> None:
    program = """
import json, os
from turnwise.inference.server.confinement import give_up
found = give_up(["CUDAExecutionProvider", "CPUExecutionProvider"])
os.write(1, json.dumps({measure.name: measure.detail for measure in found if measure.holds}).encode())
os._exit(0)
"""
    environment = os.environ | {"PYTHONPATH": SOURCES}
    told = json.loads(subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment).stdout)
    if holds("landlock"):
        assert "no files but libraries and" in told["landlock"]
    if holds("seccomp"):
        assert "system calls denied, since a driver may want any other" in told["seccomp"]
    assert "nofile" not in told["limits"]


def test_folders_of_libraries_on_the_path_are_kept_for_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages that were installed elsewhere (`pip install --target`) load libraries when they first want them."""
    (tmp_path / "with" / "nvidia").mkdir(parents=True)
    (tmp_path / "without").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, "", str(tmp_path / "with"), str(tmp_path / "without")])
    kept = confinement._kept_for_drivers().read
    assert tmp_path / "with" in kept
    assert not {tmp_path / "without", Path(), Path("/")} & set(kept)


CHAT = "{% for m in messages %}{{ m.content.nothing.at_all if m.content == 'boom' }}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize("transport", ["auto", "portable"])
def test_whatever_is_asked_for_the_first_time_afterwards_works(tmp_path: Path, transport: str) -> None:
    """Grammars read the vocabulary, templates fail, shapes are tried, large tensors come and go."""
    language = toy.write_folder(
        tmp_path / "language",
        toy.attention_graph(),
        configuration=toy.config(16, 2, context_length=512),
        tokenizer_config={"chat_template": CHAT},
    )
    graph = graphs.write_graph(tmp_path / "graph.onnx", graphs.dense_graph())
    encoder = graphs.write_encoder(tmp_path / "encoder")
    specs = [ModelSpec(path.stem, path, "cpu") for path in (language, graph, encoder)]
    rows = graphs.np.ones((50_000, 8), graphs.np.float32)

    def generate(number: int, **body: object) -> GenerateRequest:
        return GenerateRequest(number, "language", json.dumps({"tokens_max": 5, **body}), bytes(32))

    def talk(content: str) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": content}]}

    asked = [
        generate(0, prompt="a", json_schema={"type": "object", "properties": {"a": {"type": "integer"}}}),
        generate(1, prompt="a", regex="[a-zé]{3}"),
        generate(2, prompt="a", lark='start: "x" | "y"'),
        generate(3, prompt="é\N{GRINNING FACE}", temperature=1.0, logprobs=3, top_p=0.5, logit_bias={"a": 1.0}),
        generate(4, **talk("boom")),
        generate(5, **talk("</s>hello")),
        generate(6, prompt="a", json_schema={"type": 3}),
        generate(7, prompt="x" * 400, tokens_max=90),
        *(
            InferRequest(
                8 + number,
                "graph",
                graphs.infer_body("graph", {"x": rows[:size]}),
            )
            for number, size in enumerate((1, 50_000))
        ),
        EmbedRequest(10, "encoder", graphs.embed_body("encoder", [f"text {number}" for number in range(200)])),
    ]

    async def main() -> tuple[dict[int, str], int, tuple[Measure, ...]]:
        replies: dict[int, str] = {}
        done = asyncio.Event()

        def take(some: list[GenerateReply]) -> None:
            replies.update({reply.id: reply.body for reply in some})
            if len(replies) == len(asked):
                done.set()

        failures: list[Exception] = []

        def fail(error: Exception) -> None:
            failures.append(error)
            done.set()

        async with InferenceHost(specs, on_replies=take, on_failure=fail, transport=transport) as host:  # type: ignore[arg-type]
            host.submit(asked)
            await done.wait()
            assert not failures
            return replies, host.statistics().restarts, host.measures

    replies, restarts, measures = asyncio.run(main())
    assert restarts == 0
    assert {number for number, body in replies.items() if '"error"' in body} == {4, 6}
    assert len(measures) == 4
