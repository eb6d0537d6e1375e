"""What a commit costs, per turn and per round, and what the journal's choices cost beside their alternatives.

Prints one JSON object a line. Every journal is read again and compared with what was committed. Times are wall time in
microseconds, medians over rounds with the 10th and 90th percentile; the disk is the one that holds `--folder`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from turnwise.core import head as chains
from turnwise.core.plan import AgentPlan, Kind, Plan
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import AgentRecord, MessageRecord, RoundRecord, TurnRecord
from turnwise.core.state import first_agents
from turnwise.core.turn import Send, TurnOutput
from turnwise.journal import CodeSource, Journal, JournalWriter
from turnwise.journal.run import Run
from turnwise.journal.write.round_commit import RoundCommit

CODES = {"0" * 64: CodeSource("module", "noop.wat", (("noop.wat", b"(module)"),))}


def chain(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def idle_round(number: int, turns: int) -> RoundRecord:
    """Everybody moves, nothing changes, nothing is sent."""
    output = TurnOutput("")
    return RoundRecord(
        number,
        tuple([TurnRecord(place, number, (), output, None, (), "", 12_345, 1) for place in range(turns)]),
        (),
        (),
        (),
        (),
        chain(number),
        chain(number),
    )


def busy_round(number: int, turns: int, state_chars: int, body_chars: int) -> RoundRecord:
    """Everybody reads a message, changes its state, and sends a message."""
    records = []
    messages = []
    for place in range(turns):
        seq = (number - 1) * turns + place
        body = f"body {number} {place} ".ljust(body_chars, "b")
        output = TurnOutput(f"state {number} {place} ".ljust(state_chars, "s"), (Send(f"a-{place}", body),))
        inbox = (seq - turns,) if number > 1 else ()
        records.append(TurnRecord(place, number, inbox, output, None, (), "", 12_345, 1))
        messages.append(MessageRecord(seq, number, place, f"a-{place}", body, (place,)))
    return RoundRecord(number, tuple(records), (), tuple(messages), (), (), chain(number), chain(number))


def spread(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else values * 9
    return {"p10": round(cuts[0], 2), "median": round(statistics.median(values), 2), "p90": round(cuts[-1], 2)}


def population(turns: int) -> tuple[AgentRecord, ...]:
    return tuple([AgentRecord(place, f"a-{place}", "a", "{}", "", 0, None, ("a",)) for place in range(turns)])


def create(path: Path, turns: int) -> Journal:
    return Journal.create(path, plan="{}", info="{}", versions="{}", codes=CODES, agents=population(turns))


def commits(folder: Path, name: str, turns: int, rounds: int, make: Callable[[int], RoundRecord]) -> None:
    """Commit rounds one after the other, then read them."""
    path = folder / "commits.journal"
    records = [make(number) for number in range(1, rounds + 1)]
    encode_us, write_us, whole_us, cpu_us = [], [], [], []
    with create(path, turns) as journal:
        for record in records:
            cpu = time.process_time()
            start = time.perf_counter()
            batch = journal.writer.encode(RoundCommit(record))
            middle = time.perf_counter()
            journal.writer.write(batch)
            end = time.perf_counter()
            cpu_us.append((time.process_time() - cpu) / turns * 1e6)
            encode_us.append((middle - start) / turns * 1e6)
            write_us.append((end - middle) / turns * 1e6)
            whole_us.append((end - start) / turns * 1e6)
    with Journal.open(path) as journal:
        start = time.perf_counter()
        again = list(journal.rounds.between())
        read_us = (time.perf_counter() - start) / turns / rounds * 1e6
        assert again == records
    line = {
        "bench": "commit",
        "case": name,
        "turns_per_round": turns,
        "rounds": rounds,
        "us_per_turn": spread(whole_us),
        "cpu_us_per_turn": spread(cpu_us),
        "encode_us_per_turn": spread(encode_us),
        "write_us_per_turn": spread(write_us),
        "read_us_per_turn": round(read_us, 2),
        "bytes_per_turn": round(path.stat().st_size / turns / rounds, 1),
    }
    print(json.dumps(line), flush=True)
    path.unlink()


def contended(folder: Path, turns: int, rounds: int) -> None:
    """Commits through the writer's thread while the loop's thread computes without a pause."""
    path = folder / "contended.journal"
    records = [busy_round(number, turns, 100, 100) for number in range(1, rounds + 1)]

    async def compute() -> None:
        while True:
            until = time.perf_counter() + 0.01
            while time.perf_counter() < until:
                sum(range(100))
            await asyncio.sleep(0)

    async def play(journal: Journal) -> tuple[float, float]:
        computing = asyncio.ensure_future(compute())
        async with JournalWriter(journal.writer) as writer:
            start = time.perf_counter()
            for record in records:
                await writer.hand_over(RoundCommit(record))
            accepted = time.perf_counter() - start
            await writer.wait_durable()
            whole = time.perf_counter() - start
        computing.cancel()
        return accepted, whole

    with create(path, turns) as journal:
        accepted, whole = asyncio.run(play(journal))
        assert journal.rounds.head == records[-1].head
    line = {
        "bench": "contended",
        "turns_per_round": turns,
        "rounds": rounds,
        "us_per_turn": round(whole / turns / rounds * 1e6, 2),
        "accepted_us_per_turn": round(accepted / turns / rounds * 1e6, 2),
    }
    print(json.dumps(line), flush=True)
    path.unlink()


def rows_and_threads(folder: Path, rows: int = 10_000, per_statement: int = 1_000) -> None:
    """Rows inserted while another thread computes or not: one by one, and many in a statement."""
    marks = "(" + ",".join("?" * 10) + ")"
    for computing in (False, True):
        for together in (False, True):
            times = []
            for attempt in range(5):
                path = folder / f"rows-{computing}-{together}-{attempt}.db"
                database = sqlite3.connect(path, isolation_level=None)
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b, c, d, e, f, g, h, i, j)")
                done = threading.Event()
                thread = threading.Thread(target=compute_until, args=(done,))
                if computing:
                    thread.start()
                start = time.perf_counter()
                database.execute("BEGIN")
                if together:
                    for first in range(0, rows, per_statement):
                        numbers = range(first, first + per_statement)
                        flat = [value for number in numbers for value in (number, 1, 2, 3, 4, 5, 6, 7, 8, 9)]
                        database.execute(f"INSERT INTO t VALUES {','.join([marks] * per_statement)}", flat)
                else:
                    values = [(number, 1, 2, 3, 4, 5, 6, 7, 8, 9) for number in range(rows)]
                    database.executemany(f"INSERT INTO t VALUES {marks}", values)
                database.execute("COMMIT")
                times.append((time.perf_counter() - start) / rows * 1e6)
                done.set()
                if computing:
                    thread.join()
                assert database.execute("SELECT count(*) FROM t").fetchone() == (rows,)
                database.close()
            line = {
                "bench": "rows_beside_a_thread",
                "other_thread_computes": computing,
                "rows_per_statement": per_statement if together else 1,
                "us_per_row": spread(times),
            }
            print(json.dumps(line), flush=True)


def compute_until(done: threading.Event) -> None:
    total = 0
    while not done.is_set():
        for number in range(1_000):
            total += number * number


KEYS = {
    "hash is the key": "CREATE TABLE blobs (hash BLOB PRIMARY KEY, size, data) WITHOUT ROWID",
    "number, unique index on hash": "CREATE TABLE blobs (id INTEGER PRIMARY KEY, hash BLOB UNIQUE, size, data)",
    "number, hash beside it": "CREATE TABLE blobs (id INTEGER PRIMARY KEY, hash BLOB, size, data)",
    "in place, no hash": "CREATE TABLE blobs (id INTEGER PRIMARY KEY, data)",
}


def blob_rows(key: str, first: int, count: int, size: int) -> Iterator[tuple[object, ...]]:
    for number in range(first, first + count):
        content = b"%d " % number + b"x" * (size - len(str(number)) - 1)
        if key == "in place, no hash":
            yield number, content.decode()
        elif key == "hash is the key":
            yield hashlib.sha256(content).digest(), size, content
        else:
            yield number, hashlib.sha256(content).digest(), size, content


def blob_keys(folder: Path, per_round: int, rounds: int, size: int) -> None:
    """New blobs in each round: what the choice of their key costs at the beginning and later."""
    for key, table in KEYS.items():
        path = folder / "blobs.db"
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(table)
        marks = ",".join("?" * (table.count(",") + 1))
        times = []
        for number in range(rounds):
            start = time.perf_counter()
            database.execute("BEGIN")
            rows = blob_rows(key, number * per_round, per_round, size)
            database.executemany(f"INSERT INTO blobs VALUES ({marks})", rows)
            database.execute("COMMIT")
            times.append((time.perf_counter() - start) / per_round * 1e6)
        assert database.execute("SELECT count(*) FROM blobs").fetchone() == (per_round * rounds,)
        database.close()
        tenth = max(rounds // 10, 1)
        line = {
            "bench": "blob_key",
            "key": key,
            "blob_bytes": size,
            "blobs": per_round * rounds,
            "first_us_per_blob": spread(times[:tenth]),
            "last_us_per_blob": spread(times[-tenth:]),
            "bytes_per_blob": round(path.stat().st_size / per_round / rounds, 1),
        }
        print(json.dumps(line), flush=True)
        path.unlink()


CHECKS = 9
"""How often each check is made; of processor time the least is taken, which other load changes least."""


def checks(folder: Path, turns: int, rounds: int) -> None:
    """What it costs to follow the links of a journal's chains (as opening a run does), and to compare its content."""
    path = folder / "checks.journal"
    agents = tuple(AgentPlan(f"a-{place}", "a") for place in range(turns))
    plan = Plan("checks", 1, (Kind("a", next(iter(CODES))),), agents)
    head, execution = chains.genesis(plan), chains.execution_genesis("{}")
    text = plan_to_json(plan)
    with Journal.create(path, plan=text, info="{}", versions="{}", codes=CODES, agents=first_agents(plan)) as journal:
        for number in range(1, rounds + 1):
            record = idle_round(number, turns)
            facts = chains.facts(number, (), record.turns, (), (), ())
            head, outcome = chains.advance(head, facts), chains.outcome(facts)
            execution = chains.execution_advance(execution, number, record.turns)
            journal.writer.commit(replace(record, head=head, outcome=outcome, execution=execution))
    opened_cpu_ms = []
    for _ in range(CHECKS):
        cpu = time.process_time()
        with Run.open(path) as run:
            assert len(run.rounds) == rounds
        opened_cpu_ms.append((time.process_time() - cpu) * 1e3)
    with Journal.open(path) as journal:
        links_ms, links_cpu_ms = [], []
        for _ in range(CHECKS):
            start, cpu = time.perf_counter(), time.process_time()
            journal.chains.check_links()
            links_cpu_ms.append((time.process_time() - cpu) * 1e3)
            links_ms.append((time.perf_counter() - start) * 1e3)
        start = time.perf_counter()
        count = sum(1 for _ in journal.rounds.between())
        read_ms = (time.perf_counter() - start) * 1e3
        start = time.perf_counter()
        assert sum(1 for _ in journal.chains.rounds()) == count == rounds
        contents_ms = (time.perf_counter() - start) * 1e3
    line = {
        "bench": "checks",
        "turns_per_round": turns,
        "rounds": rounds,
        "open_cpu_ms_least": round(min(opened_cpu_ms), 2),
        "links_cpu_ms_least": round(min(links_cpu_ms), 2),
        "links_ms": spread(links_ms),
        "read_ms": round(read_ms, 1),
        "read_and_compare_ms": round(contents_ms, 1),
    }
    print(json.dumps(line), flush=True)
    path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=10_000, help="turns in a large round")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--blob-rounds", type=int, default=60, help="rounds of 10,000 new blobs each; 0 leaves it out")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; default: the temporary folder")
    parser.add_argument("--checks", action="store_true", help="only what checking 100,000 turns costs when opened")
    arguments = parser.parse_args()
    turns, rounds = arguments.turns, arguments.rounds
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary)
        for count in (1, 1_000):
            checks(folder, count, 100_000 // count)
        if arguments.checks:
            return
        for count in (1, 100, turns):
            commits(folder, "idle", count, rounds, partial(idle_round, turns=count))
        for state, body in ((50, 50), (100, 100), (300, 300), (1_000, 300)):
            name = f"state {state} and message {body} chars, new"
            commits(folder, name, turns, rounds, partial(busy_round, turns=turns, state_chars=state, body_chars=body))
        contended(folder, turns, rounds)
        rows_and_threads(folder)
        if arguments.blob_rounds:
            blob_keys(folder, 10_000, arguments.blob_rounds, 300)


if __name__ == "__main__":
    main()
