"""The engines, loaded when they are first wanted. What one needs and is not there is told once, and it is left out."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inference import models
from inference.compare import Report
from inference.ours import Ours, load_ours
from inference.work import Run, Work, turns

ENGINES = (
    "genai",
    "genai_rewind",
    "llama_copies",
    "llama_copies_unified",
    "llama_slots",
    "llama_sequential",
    "llama_server",
    "llama_server_unified",
    "llama_server_primed",
)


class Given:
    """A folder that is there, whose tokens are words. It has one form, and no GGUF file."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
        self.name = folder.name
        self.vocabulary = int(config["model"]["vocab_size"])
        self.folder = folder
        self.gguf: Path | None = None
        self.forms: dict[str, Callable[[], Path]] = {"given": lambda: folder}


class Made:
    """The model that the benchmark makes, and its forms, which are made when they are wanted."""

    def __init__(self, folder: Path, quick: bool, block: int) -> None:
        shape = models.QUICK if quick else models.FULL
        paths = models.make(shape, folder, block)
        self.name = shape.name
        self.vocabulary = shape.vocabulary
        self.folder = paths.genai
        self.gguf: Path | None = paths.gguf
        self.forms: dict[str, Callable[[], Path]] = {
            form: (lambda form=form: models.make_form(shape, folder, form)) for form in models.FORMS
        }
        self.forms[models.compared(block)] = lambda: paths.genai


class Peers:
    """All engines for one model, each with as many threads."""

    def __init__(
        self, model: Given | Made, report: Report, threads: int, spin_us: int | None, server: Path | None
    ) -> None:
        self._model = model
        self._report = report
        self._threads = threads
        self._spin_us = spin_us
        self._server_binary = server
        self._kept: dict[str, Any] = {}
        self._missing: set[str] = set()

    def ours(self) -> Ours:
        ours: Ours = self._once("ours", lambda: Ours(load_ours(self._model.folder, self._threads, self._spin_us)))
        return ours

    def run(self, name: str) -> Run | None:
        """A way to do work; None if what it needs is not there."""
        family = "llama_server" if name.startswith("llama_server") else name.partition("_")[0]
        if family in self._missing:
            return None
        try:
            return _RUNS[name](self)
        except (ImportError, FileNotFoundError) as error:
            self._missing.add(family)
            self._report(skipped=family, why=str(error))
            return None

    def release(self) -> None:
        """Let go of all engines and their memory."""
        for kept in self._kept.values():
            if hasattr(kept, "close"):
                kept.close()
        self._kept.clear()
        gc.collect()

    def genai(self) -> Any:
        from inference.genai import Genai

        return self._once("genai", lambda: Genai(self._model.folder, self._threads))

    def llama(self, unified: bool) -> Any:
        from inference.llama import Llama, Weights

        weights = self._once("weights", lambda: Weights(self._gguf()))
        return self._once(f"llama {unified}", lambda: Llama(weights, self._threads, unified))

    def server(self, unified: bool) -> Any:
        from inference.llama_server import LlamaServer

        binary = self._server_binary
        if binary is None or not binary.is_file():
            raise FileNotFoundError(f"there is no binary {binary}" if binary else "no --llama-server is given")
        make = lambda: LlamaServer(binary, self._gguf(), self._threads, unified)  # noqa: E731
        return self._once(f"server {unified}", make)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def _gguf(self) -> Path:
        if self._model.gguf is None:
            raise FileNotFoundError("a given folder has no GGUF file")
        return self._model.gguf


_RUNS: dict[str, Callable[[Peers], Run]] = {
    "genai": lambda peers: peers.genai().run,
    "genai_rewind": lambda peers: peers.genai().run_rewind,
    "llama_copies": lambda peers: peers.llama(False).run_copies,
    "llama_copies_unified": lambda peers: peers.llama(True).run_copies,
    "llama_slots": lambda peers: peers.llama(False).run_slots,
    "llama_sequential": lambda peers: peers.llama(False).run_sequential,
    "llama_server": lambda peers: turns(peers.server(False)),
    "llama_server_unified": lambda peers: turns(peers.server(True)),
    "llama_server_primed": lambda peers: peers.server(False).run_primed,
}


def applies(engine: str, work: Work) -> bool:
    """One way of each to run a single prompt, no copies where nothing is in common, and turns where they are kept."""
    if work.later:
        return engine in ("llama_server", "llama_server_unified")
    if engine in ("genai", "llama_slots", "llama_server"):
        return True
    if engine in ("llama_sequential", "llama_server_unified"):
        return len(work.prompts) > 1
    return bool(work.prefix)
