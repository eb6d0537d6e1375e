"""llama.cpp's own server, `llama-server`: a process with a slot for each prompt, asked over HTTP by all at once.

It runs with continuous batching, and each slot keeps what it has computed, for the next prompt with the same beginning.
Prompts are token ids, answers come as a stream, so that the time of each token is known. The second cache, for prompts
that have lost their slot, is off: no prompt here loses it, and repeated measurements would be answered from there.
"""

from __future__ import annotations

import atexit
import http.client
import json
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from inference.work import Answer, Ids, Work

SLOTS = 16
SLOT_TOKENS = 1280
START_S_MAX = 120
ANSWER_S_MAX = 600


class LlamaServer:
    """A running server. `unified`: one KV cache for all slots, otherwise one for each."""

    def __init__(self, binary: Path, gguf: Path, threads: int, unified: bool) -> None:
        self._port = _free_port()
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"
        self._reused: list[int] = []
        command = [str(binary), "--model", str(gguf), "--host", "127.0.0.1", "--port", str(self._port), "--no-webui"]
        command += ["--threads", str(threads), "--threads-batch", str(threads)]
        command += ["--parallel", str(SLOTS), "--ctx-size", str(SLOTS * SLOT_TOKENS)]
        command += ["--batch-size", "2048", "--ubatch-size", "512", "--cont-batching"]
        command += ["--kv-unified" if unified else "--no-kv-unified"]
        command += ["--cache-prompt", "--cache-reuse", "256", "--cache-ram", "0"]
        command += ["--slot-save-path", f"{self._folder.name}/"]  # what allows slots to be erased
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        atexit.register(self.close)
        self._wait()

    def close(self) -> None:
        atexit.unregister(self.close)
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def forget(self) -> None:
        self._reused = []
        for slot in range(SLOTS):
            self._post(f"/slots/{slot}?action=erase", {})

    def ask(self, prompts: Sequence[Ids], new: int) -> Answer:
        """All prompts at the same time, each over a connection of its own."""
        answer = Answer([[] for _ in prompts], [[] for _ in prompts])
        failures: list[str] = []
        start = time.perf_counter()

        def one(number: int) -> None:
            try:
                self._one(prompts[number], new, start, answer.tokens[number], answer.times[number])
            except (OSError, ValueError, http.client.HTTPException) as error:
                failures.append(f"prompt {number}: {error}")

        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(prompts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise SystemExit(f"llama-server: {failures[0]}\n{self._last_words()}")
        return answer

    def run_primed(self, work: Work) -> list[Answer]:
        """The common prefix is computed once, by one slot, and given to the others by way of a file.

        That is what a caller can do by hand who knows the prefix and the number of slots. (Several completions of one
        prompt, `n_cmpl`, share its computation too, but their slots forget it when they are done.)
        """
        self.forget()
        start = time.perf_counter()
        prefix = work.prompts[0][: work.prefix]
        self._post("/completion", {"prompt": prefix, "n_predict": 1, "temperature": 0, "id_slot": 0})
        self._post("/slots/0?action=save", {"filename": "prefix"})
        for slot in range(1, len(work.prompts)):
            self._post(f"/slots/{slot}?action=restore", {"filename": "prefix"})
        before = time.perf_counter() - start
        answer = self.ask(work.prompts, work.new)
        if min(self._reused) < len(prefix):
            raise SystemExit(f"llama-server reused {self._reused} tokens, not {len(prefix)} of each prompt")
        return [Answer(answer.tokens, [[before + at for at in times] for times in answer.times])]

    def _one(self, prompt: Ids, new: int, start: float, tokens: Ids, times: list[float]) -> None:
        asked = {
            "prompt": prompt,
            "n_predict": new,
            "temperature": 0,
            "samplers": ["top_k"],
            "top_k": 1,
            "ignore_eos": True,
            "cache_prompt": True,
            "stream": True,
            "return_tokens": True,
        }
        connection, response = self._send("POST", "/completion", asked)
        for event in _events(response):
            now = time.perf_counter() - start
            for token in event.get("tokens", []):
                tokens.append(token)
                times.append(now)
            if event.get("stop"):
                counts = (event["tokens_evaluated"], event["tokens_predicted"], event["truncated"])
                if counts != (len(prompt), new, False):
                    raise ValueError(f"{counts} of prompt, answer, truncated: not {len(prompt)} and {new}")
                self._reused.append(event["timings"]["cache_n"])
        connection.close()

    def _post(self, path: str, body: dict[str, Any]) -> None:
        connection, response = self._send("POST", path, body)
        response.read()
        connection.close()

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_S_MAX)
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise ValueError(f"{path}: {response.status} {response.read()[:300]!r}")
        return connection, response

    def _wait(self) -> None:
        """Until it has loaded the model."""
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                connection, response = self._send("GET", "/health")
                response.read()
                connection.close()
                return
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.05)
        said = self._last_words()
        self.close()
        raise SystemExit(f"llama-server does not start\n{said}")

    def _last_words(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]


def _events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Server-sent events: lines that begin with `data:`, up to the one that says stop."""
    for line in response:
        if line.startswith(b"data:"):
            event = json.loads(line[5:])
            if "error" in event:
                raise ValueError(str(event["error"]))
            yield event


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
