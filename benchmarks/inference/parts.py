"""The parts of the benchmark: what is run, and what is said of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bench_engine

from inference.compare import Report, alternate, median_spread, numbers, ratios
from inference.ours import Ours
from inference.peers import Given, Made, Peers, applies
from inference.unconstrained import Unconstrained, load_both
from inference.work import Answer, Run, Work, odd_works, turns, works
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.plans.engine_options import EngineOptions

QUICK_SCALE = 8
"""With `--quick`, lengths are divided by this."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all parts share. `repeats` of each."""

    model: Given | Made
    peers: Peers
    report: Report
    repeats: dict[str, int]
    threads: int
    spin_us: int | None
    quick: bool

    @property
    def scale(self) -> int:
        return QUICK_SCALE if self.quick else 1

    def compare(self, part: str, engines: Sequence[str]) -> None:
        """Ours and those of the engines that can do this work, alternately."""
        work = next(work for work in works(self.model.vocabulary, self.scale) if work.name == part)
        runs = {"ours": turns(self.peers.ours())}
        for name in engines:
            if applies(name, work) and (run := self.peers.run(name)) is not None:
                runs[name] = run
        found, load = alternate(work, runs, self.repeats[part], part)
        first = found["ours"][0]
        values = {name: numbers(work, those) for name, those in found.items()}
        for name, those in found.items():
            fields = {key: median_spread(these) for key, these in values[name].items()}
            equal = f"{_same_first(first, those[0])}/{len(work.prompts)}"
            self.report(bench=part, engine=name, **fields, first_tokens_equal=equal, load=load)
        for name in runs:
            if name != "ours":
                self.report(bench=part, beside=name, **ratios(values["ours"], values[name]))

    def reproducible(self, forms: Sequence[str] | None) -> None:
        """The same engine with and without what makes it reproducible."""
        for form in forms or self.model.forms:
            on, off = load_both(self.model.forms[form](), self.threads, self.spin_us)
            for work in odd_works(self.model.vocabulary, self.scale):
                self._with_and_without(form, work, on, off)
            del on, off
            gc.collect()

    def _with_and_without(self, form: str, work: Work, on: LanguageModel, off: LanguageModel) -> None:
        keeps = bool(work.later)
        peers = {"on": Ours(on), "off": Ours(off, lambda model: Unconstrained(model, keeps))}
        spent: dict[str, list[float]] = {name: [] for name in peers}
        runs = {name: _metered(turns(peer), spent[name]) for name, peer in peers.items()}
        repeats = self.repeats["reproducible"] * (2 if work.name == "one_stream" else 1)
        found, load = alternate(work, runs, repeats, f"{form}: {work.name}")
        # The first run was to warm up. Other work on the machine shows less in this than in the time.
        values = {name: numbers(work, those) | {"cpu_s": spent[name][1:]} for name, those in found.items()}
        pairs = zip(found["on"][0][-1].tokens, found["off"][0][-1].tokens, strict=True)
        assert on.info.numeric is not None
        self.report(
            bench="reproducible",
            form=form,
            batching=on.info.numeric.batching,
            work=work.name,
            on={key: median_spread(these) for key, these in values["on"].items()},
            off={key: median_spread(these) for key, these in values["off"].items()},
            costs=ratios(values["off"], values["on"]),
            prompt_tokens_run={name: peer.prefilled for name, peer in peers.items()},
            answers_equal=f"{sum(a == b for a, b in pairs)}/{len(work.prompts)}",
            load=load,
        )

    def overhead(self, small: Path | None) -> None:
        """Steps of the engine beside steps of the graph alone."""
        new = 8 if self.quick else 48
        options = EngineOptions(threads_max=self.threads, spin_us=self.spin_us)
        for name, folder, count in ((self.model.name, self.model.folder, new), ("small", small, 4 * new)):
            if folder is None:
                self.report(skipped="overhead of a small model", why="none is given, and none comes with the package")
                continue
            wanted = bench_engine.Wanted(64 // self.scale, count, self.repeats["overhead"])
            for line in bench_engine.lines(folder, (1, 16), wanted, options):
                self.report(bench="overhead", **line | {"model": name})


def _metered(run: Run, spent: list[float]) -> Run:
    """The same, and notes the seconds of CPU that all threads of this process took."""

    def metered(work: Work) -> list[Answer]:
        before = time.process_time()
        answers = run(work)
        spent.append(time.process_time() - before)
        return answers

    return metered


def _same_first(ours: list[Answer], other: list[Answer]) -> int:
    return sum(a[0] == b[0] for a, b in zip(ours[0].tokens, other[0].tokens, strict=True))
