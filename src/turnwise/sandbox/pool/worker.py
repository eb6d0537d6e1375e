"""A worker: a process around an executor, confined before it sees its first job.

It loads all compiled code first, gives up files, network, processes and most system calls, and then only computes:
batches of jobs come in, results go out. Guests run on a thread with a stack of its own size, so that the same recursion
ends the same way whatever limits the parent has.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
import traceback

from wasmtime import WasmtimeError

from turnwise.confine import Measure, ProcessNeeds, give_up_calls, give_up_files
from turnwise.sandbox.execute.engine import on_guest_stack
from turnwise.sandbox.execute.executor import Executor
from turnwise.sandbox.execute.headroom import LackOfMemory
from turnwise.sandbox.execute.switches import Switches
from turnwise.sandbox.pool import messages
from turnwise.sandbox.pool.messages import ResultItem
from turnwise.sharedmem import Endpoint, PeerGone, connect

RESULTS_MAX = 128
RESULTS_BYTES_MAX = 1024 * 1024
RESULTS_AGE_S_MAX = 0.01
"""Results are sent when they are this many, this large or this old, so that the orchestrator works at the same time."""


def main() -> None:
    """Run a worker's process."""
    with connect(sys.argv) as endpoint:
        executor = Executor(Switches.of_environment(os.environ))
        message = endpoint.receive()
        if message is None:
            return
        with message:
            try:
                for path, carrier, program in messages.decode_load(message.body):
                    executor.load(path, carrier, program)
            except (WasmtimeError, MemoryError) as error:
                endpoint.send(messages.LACKS, messages.encode(f"compiled code cannot be loaded: {error!r}"))
                return
        gc.collect()
        gc.freeze()
        measures = give_up_files()
        on_guest_stack(lambda: _serve(endpoint, executor, measures))


def _serve(endpoint: Endpoint, executor: Executor, measures: tuple[Measure, ...]) -> None:
    """Run guests on this thread. Whatever goes wrong here ends the process: the pool starts another."""
    status = 1
    try:
        measures += give_up_calls(ProcessNeeds())
        sys.unraisablehook = _end_at_lost_exception
        endpoint.send(messages.READY, messages.encode([(m.name, m.holds, m.detail) for m in measures]))
        _work(endpoint, executor)
        status = 0
    except (LackOfMemory, MemoryError) as error:
        with contextlib.suppress(PeerGone, MemoryError):
            endpoint.send(messages.LACKS, messages.encode(str(error) or "the host's own memory"))
    except PeerGone:
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _end_at_lost_exception(lost: sys.UnraisableHookArgs) -> None:
    """End the process: what was raised may be of a host function, whose guest would go on as if it had its answer."""
    with contextlib.suppress(Exception):
        traceback.print_exception(lost.exc_type, lost.exc_value, lost.exc_traceback)
        print(f"the exception was lost in {lost.object!r}: {lost.err_msg}", file=sys.stderr, flush=True)
    os._exit(1)


def _work(endpoint: Endpoint, executor: Executor) -> None:
    """Execute batches until the orchestrator closes the link."""
    while (message := endpoint.receive()) is not None:
        if message.kind == messages.RUN:
            with message:
                jobs = messages.read_jobs(message.kind, message.body)
            _run(endpoint, executor, jobs)
        else:
            with message:
                _run(endpoint, executor, messages.read_jobs(message.kind, message.body))


def _run(endpoint: Endpoint, executor: Executor, jobs: list[messages.JobItem]) -> None:
    results: list[ResultItem] = []
    size = 0
    clock = time.perf_counter
    before = sent = clock()
    for job in jobs:
        result = executor.execute(*job)
        now = clock()
        took_us = int((now - before) * 1_000_000)
        before = now
        results.append(
            (result.id, result.status, result.body, result.failure, result.fuel, result.stdout, took_us),
        )
        size += len(result.body) + len(result.stdout)
        if result.content:
            endpoint.send(messages.CONTENT, result.content)
            size = RESULTS_BYTES_MAX
        if len(results) >= RESULTS_MAX or size >= RESULTS_BYTES_MAX or now - sent >= RESULTS_AGE_S_MAX:
            endpoint.send(messages.RESULTS, messages.encode(results))
            results, size, sent = [], 0, now
    if results:
        endpoint.send(messages.RESULTS, messages.encode(results))


if __name__ == "__main__":
    main()
