"""onnxruntime-genai, on the same folder."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import onnxruntime_genai as og

from inference.work import Answer, Work


class Genai:
    """A batch where all prompts are equally long, otherwise one prompt after the other; and one with `rewind_to`."""

    def __init__(self, folder: Path, threads: int) -> None:
        config = og.Config(str(folder))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        self._model = og.Model(config)

    def _generator(self, batch: int, length: int) -> og.Generator:
        params = og.GeneratorParams(self._model)
        params.set_search_options(batch_size=batch, max_length=length, do_sample=False)
        return og.Generator(self._model, params)

    def run(self, work: Work) -> list[Answer]:
        """What its interface offers: a batch of equally long prompts, or singly."""
        lengths = {len(prompt) for prompt in work.prompts}
        start = time.perf_counter()
        if len(lengths) == 1:
            generator = self._generator(len(work.prompts), lengths.pop() + work.new)
            generator.append_tokens(np.array(work.prompts, np.int32))
            return [self._generate(generator, work, start)]
        answers = []
        for prompt in work.prompts:
            generator = self._generator(1, len(prompt) + work.new)
            generator.append_tokens(np.array([prompt], np.int32))
            answers.append(self._generate(generator, work, start))
        return [_join(answers)]

    def run_rewind(self, work: Work) -> list[Answer]:
        """The prefix once; then each prompt's rest, its answer, and back to the prefix, by the caller's hand."""
        start = time.perf_counter()
        generator = self._generator(1, max(map(len, work.prompts)) + work.new)
        generator.append_tokens(np.array([work.prompts[0][: work.prefix]], np.int32))
        answers = []
        for prompt in work.prompts:
            generator.append_tokens(np.array([prompt[work.prefix :]], np.int32))
            answers.append(self._generate(generator, work, start))
            generator.rewind_to(work.prefix)
        return [_join(answers)]

    def _generate(self, generator: og.Generator, work: Work, start: float) -> Answer:
        steps: list[list[int]] = []
        times: list[float] = []
        while len(steps) < work.new:
            generator.generate_next_token()
            steps.append(generator.get_next_tokens().tolist())
            times.append(time.perf_counter() - start)
        rows = [list(row) for row in zip(*steps, strict=True)]
        return Answer(rows, [times] * len(rows))


def _join(answers: list[Answer]) -> Answer:
    return Answer([answer.tokens[0] for answer in answers], [answer.times[0] for answer in answers])
