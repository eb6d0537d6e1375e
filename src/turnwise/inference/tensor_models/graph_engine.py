"""Serves requests to one graph: rows that are waiting, lowest request first, together where they may run together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.inference.requests.parcels import Parcel
from turnwise.inference.requests.refusal import Refusal, error_body
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.row_batching import Arrays

GraphAnswer = GenerateReply | Parcel
"""An error as text, or tensors."""


@dataclass(frozen=True, slots=True)
class GraphStatistics:
    """Telemetry: differs between equal runs.

    - `runs`: runs of the graph so far
    - `rows`: rows that took part in them
    - `waiting`: requests that are not answered
    """

    runs: int = 0
    rows: int = 0
    waiting: int = 0


class Job(Protocol):
    """A request to run the graph: once for each entry of `inputs`."""

    number: int
    inputs: Sequence[Arrays]

    def take(self, index: int, outputs: dict[str, NDArray[Any]]) -> None:
        """Take the outputs of one run. Raises Refusal."""

    def answer(self) -> Parcel:
        """Make the answer, after all runs."""

    def close(self) -> None:
        """Let go of the inputs: the job is over, whatever came of it."""


class GraphEngine:
    """Takes jobs, answers each once. Not thread-safe; `step` never waits for anything but the model."""

    def __init__(self, model: GraphModel) -> None:
        self._model = model
        self._jobs: dict[int, Job] = {}
        self._waiting: dict[int, list[int]] = {}
        self._open: dict[int, int] = {}
        self._runs = self._rows = 0

    @property
    def pending(self) -> bool:
        """True if `step` has something to do."""
        return bool(self._jobs)

    def submit(self, job: Job) -> None:
        if job.number in self._jobs:
            raise InvariantError(f"request {job.number} is open already")
        self._jobs[job.number] = job
        self._waiting[job.number] = list(range(len(job.inputs)))
        self._open[job.number] = len(job.inputs)

    def cancel(self, number: int) -> None:
        """Drop a request, which is then not answered; one that is not open is ignored."""
        if number in self._jobs:
            self._remove(number)

    def step(self) -> list[GraphAnswer]:
        """Run the graph once; returns answers to the requests that are complete."""
        if not self._jobs:
            return []
        rows = self._choose()
        answers: list[GraphAnswer] = []
        for (number, index), outputs in zip(rows, self._run(rows), strict=True):
            if number not in self._jobs:
                continue  # an earlier row of the same request was refused
            job = self._jobs[number]
            try:
                if isinstance(outputs, Refusal):
                    raise outputs
                job.take(index, outputs)
                self._open[number] -= 1
                if self._open[number]:
                    continue
                answers.append(job.answer())
            except Refusal as refusal:
                answers.append(GenerateReply(number, error_body(refusal.kind, refusal.message)))
            self._remove(number)
        return answers

    def statistics(self) -> GraphStatistics:
        return GraphStatistics(runs=self._runs, rows=self._rows, waiting=len(self._jobs))

    def _choose(self) -> list[tuple[int, int]]:
        """Choose the rows of the next run, as (request, index): the first that waits, and others of its shapes."""
        waiting = ((number, index) for number in sorted(self._jobs) for index in self._waiting[number])
        first = next(waiting)
        shapes = self._shapes(first)
        alike = [first, *[row for row in waiting if self._shapes(row) == shapes]]
        rows = alike[: self._model.batching.batch_size(shapes, len(alike))]
        for number, index in rows:
            self._waiting[number].remove(index)
        return rows

    def _shapes(self, row: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
        return self._model.shapes_of(self._jobs[row[0]].inputs[row[1]])

    def _run(self, rows: Sequence[tuple[int, int]]) -> Sequence[dict[str, NDArray[Any]] | Refusal]:
        arrays = [self._jobs[number].inputs[index] for number, index in rows]
        self._runs += 1
        self._rows += len(rows)
        try:
            return self._model.run_rows(arrays)
        except Refusal as refusal:
            if len(rows) == 1:
                return [_bare(refusal)]
        return [self._alone(row) for row in arrays]  # one row that is refused must not show in the others

    def _alone(self, row: Arrays) -> dict[str, NDArray[Any]] | Refusal:
        try:
            return self._model.run(row)
        except Refusal as refusal:
            return _bare(refusal)

    def _remove(self, number: int) -> None:
        job = self._jobs.pop(number)
        del self._waiting[number], self._open[number]
        job.close()


def _bare(refusal: Refusal) -> Refusal:
    """Copy a refusal without its traceback, whose frames refer to the inputs' memory."""
    return Refusal(refusal.kind, refusal.message)
