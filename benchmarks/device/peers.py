"""transformers with CUDA graphs, and onnxruntime-genai: the same shape of model on the same device.

transformers has random weights of the same shape and type, a static cache, and a step that is captured as a CUDA graph;
the next token is chosen on the device. It has no prefix cache: all prompts run as one batch. onnxruntime-genai runs the
same folder with its own batching. Both need all prompts to be equally long.

Each lives in a process of its own, since two copies of ONNX Runtime cannot share the library of one provider, and is
told by lines of JSON what to do: `{"step": [rows, past]}` prepares, `{"run": count}` runs steps, and `{"agents":
[prompts, new]}` answers prompts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

WARM_UP = 3


class Peer(Protocol):
    """An engine beside ours."""

    def step(self, rows: int, past: int) -> Callable[[], None]:
        """Prepare rows with so much past; the result runs one step of all of them, and waits for it."""
        ...

    def agents(self, prompts: Sequence[Sequence[int]], new: int) -> tuple[float, float]:
        """Seconds in which all prompts have so many new tokens each, and of these until the first ones."""
        ...


class Transformers:
    """Qwen2 in fp16 with the shape that `genai_config.json` names."""

    def __init__(self, folder: Path, intermediate: int) -> None:
        import torch
        import transformers

        config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
        decoder = config["decoder"]
        self._torch = torch
        self._config = transformers.Qwen2Config(
            vocab_size=config["vocab_size"],
            hidden_size=decoder["hidden_size"],
            intermediate_size=intermediate,
            num_hidden_layers=decoder["num_hidden_layers"],
            num_attention_heads=decoder["num_attention_heads"],
            num_key_value_heads=decoder["num_key_value_heads"],
            max_position_embeddings=config["context_length"],
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        )
        self._config._attn_implementation = "sdpa"
        self._cache_type = transformers.StaticCache
        torch.manual_seed(5)
        with torch.device("cuda"):
            model = transformers.Qwen2ForCausalLM(self._config)
        self._model = model.to("cuda", torch.float16).eval()
        self.name = f"transformers {transformers.__version__}, torch {torch.__version__}"

    def step(self, rows: int, past: int) -> Callable[[], None]:
        torch = self._torch
        with torch.inference_mode():
            ids = torch.randint(0, self._config.vocab_size, (rows, past), device="cuda")
            return self._captured(ids, past + 128)[0]

    def agents(self, prompts: Sequence[Sequence[int]], new: int) -> tuple[float, float]:
        torch = self._torch
        ids = torch.tensor(prompts, device="cuda")
        with torch.inference_mode():
            run, began, first = self._captured(ids, ids.shape[1] + new + WARM_UP, True)
            for _ in range(new - 1):
                run()
        return time.perf_counter() - began - self._capture_s, first - began

    def _captured(self, ids: Any, length: int, timed: bool = False) -> tuple[Callable[[], None], float, float]:
        """Prefill, and capture a step that chooses the likeliest token and goes on by one position."""
        torch = self._torch
        rows, past = ids.shape
        cache = self._cache_type(config=self._config, max_cache_len=-(-length // 64) * 64)
        width = -(-length // 64) * 64
        torch.cuda.synchronize()
        began = time.perf_counter()
        logits = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        token = logits[:, -1].argmax(-1, keepdim=True)
        torch.cuda.synchronize()
        first = time.perf_counter()
        mask = torch.zeros(rows, 1, 1, width, dtype=torch.bool, device="cuda")
        mask[..., : past + 1] = True
        place = torch.full((rows, 1), past, device="cuda")

        def forward() -> None:
            out = self._model(
                input_ids=token, attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=True
            ).logits
            token.copy_(out[:, -1].argmax(-1, keepdim=True))
            place.add_(1)
            mask.scatter_(3, place[:, None, None, :], True)

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            forward()
            forward()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            forward()
        torch.cuda.synchronize()
        self._capture_s = time.perf_counter() - first if timed else 0.0

        def run() -> None:
            graph.replay()
            torch.cuda.synchronize()

        return run, began, first


class Genai:
    """onnxruntime-genai on the same folder, with CUDA graphs."""

    def __init__(self, folder: Path, graphs: bool) -> None:
        import onnxruntime_genai as og

        self._og = og
        config = og.Config(str(folder))
        config.clear_providers()
        config.append_provider("cuda")
        config.set_provider_option("cuda", "enable_cuda_graph", "1" if graphs else "0")
        self._model = og.Model(config)
        self._vocabulary = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]["vocab_size"]
        self.name = f"onnxruntime-genai-cuda {og.__version__}" + (", CUDA graphs" if graphs else "")

    def _generator(self, prompts: Sequence[Sequence[int]], new: int) -> Any:
        import numpy as np

        params = self._og.GeneratorParams(self._model)
        length = len(prompts[0]) + new
        params.set_search_options(batch_size=len(prompts), max_length=length, min_length=length, do_sample=False)
        generator = self._og.Generator(self._model, params)
        generator.append_tokens(np.array(prompts, np.int32))
        return generator

    def step(self, rows: int, past: int) -> Callable[[], None]:
        prompts = [[(7 * row + place) % self._vocabulary for place in range(past)] for row in range(rows)]
        generator = self._generator(prompts, 128)

        def run() -> None:
            generator.generate_next_token()
            generator.get_next_tokens()

        return run

    def agents(self, prompts: Sequence[Sequence[int]], new: int) -> tuple[float, float]:
        began = time.perf_counter()
        generator = self._generator(prompts, new)
        first = 0.0
        for number in range(new):
            generator.generate_next_token()
            generator.get_next_tokens()
            if not number:
                first = time.perf_counter() - began
        return time.perf_counter() - began, first


def engine(name: str, folder: Path, intermediate: int) -> Peer:
    """Make the engine of a name. Raises ImportError where its package is missing."""
    if name == "transformers":
        return Transformers(folder, intermediate)
    return Genai(folder, graphs=name == "genai")


def times_ms(run: Callable[[], None], count: int) -> list[float]:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1000)
    return times


class Remote:
    """An engine in a process of its own."""

    def __init__(self, name: str, folder: Path, intermediate: int) -> None:
        """Raises OSError, as all of this does: with the last line of what was said, where the engine ends."""
        self._command = [sys.executable, __file__, name, str(folder), str(intermediate)]
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.name = str(self._read()["name"])

    def prepare(self, rows: int, past: int) -> None:
        self._ask(step=[rows, past])

    def steps(self, count: int) -> list[float]:
        """Milliseconds of each of so many steps."""
        times: list[float] = self._ask(run=count)["ms"]
        return times

    def agents(self, prompts: Sequence[Sequence[int]], new: int) -> float:
        """Seconds in which all prompts are answered."""
        return float(self._ask(agents=[prompts, new])["seconds"])

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, **what: Any) -> dict[str, Any]:
        if self._process.poll() is not None:
            self._start()
        if self._process.stdin is None:
            raise OSError("the engine cannot be asked")
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        if self._process.stdout is None or self._process.stderr is None:
            raise OSError("the engine cannot be heard")
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise OSError((self._process.stderr.read().strip().splitlines() or ["it ended"])[-1])


def main() -> None:
    name, folder, intermediate = sys.argv[1:4]
    made = engine(name, Path(folder), int(intermediate))
    print(json.dumps({"name": made.name}), flush=True)
    run: Callable[[], None] | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        if "step" in asked:
            run = None  # its memory is given back first
            run = made.step(*asked["step"])
        elif "run" in asked and run is not None:
            answer["ms"] = times_ms(run, asked["run"])
        elif "agents" in asked:
            run = None
            answer["seconds"] = made.agents(*asked["agents"])[0]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
