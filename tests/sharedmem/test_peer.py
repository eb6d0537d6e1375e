"""Real child processes over both transports."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from turnwise.errors import EnvironmentFailure, UsageError
from turnwise.sharedmem import LinkMessage, Peer, PeerGone, Transport, launch
from turnwise.sharedmem.transport import GEOMETRY_DEFAULT, MIB

LINUX = sys.platform == "linux"
linux_only = pytest.mark.skipif(not LINUX, reason="looks into /proc")


async def text(peer: Peer) -> str:
    """The next message, as text."""
    message = await peer.receive()
    assert message is not None, peer.stderr_tail()
    with message:
        return bytes(message.body).decode()


async def exchange(peer: Peer, kind: int, data: bytes) -> LinkMessage:
    sending = asyncio.create_task(peer.send(kind, data))
    message = await peer.receive()
    assert message is not None, peer.stderr_tail()
    await sending
    return message


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if LINUX:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state not in ("Z", "X")
    return True


def wait_until_ended(*pids: int) -> None:
    """Wait for processes that are not our children."""
    if LINUX:
        for pid in pids:
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            import select

            assert select.select([fd], [], [], 30)[0], f"process {pid} lives on"
            os.close(fd)
    assert not any(is_running(pid) for pid in pids)


def descriptors_open() -> set[tuple[str, str]]:
    """The open file descriptors, each with the file that it stands for."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add((link.name, str(link.readlink())))
        except FileNotFoundError:  # the listing's own
            continue
    return found


@pytest.mark.parametrize("role", ["echo", "parts"])
def test_round_trips_of_many_sizes(start: Any, run: Any, role: str) -> None:
    slot = GEOMETRY_DEFAULT.slot_bytes
    sizes = [0, 1, 2, 3, 4095, 4096, 4097, 1_000_003, slot - 1, slot, slot + 1, 2 * slot + 12_345]

    async def main() -> None:
        async with await start(role) as peer:
            for number, size in enumerate(sizes):
                data = os.urandom(min(size, 4096)) * (size // 4096 + 1)
                data = data[:size]
                with await exchange(peer, number * 5000, data) as message:
                    assert (message.kind, len(message.body)) == (number * 5000, size)
                    assert bytes(message.body) == data
        assert peer.returncode == 0
        assert peer.stderr_tail() == ""

    run(main())


def test_many_messages_at_once_come_back_in_order(start: Any, run: Any) -> None:
    async def main() -> None:
        async with await start("echo") as peer:

            async def send_all() -> None:
                for number in range(500):
                    await peer.send(number, str(number).encode() * (number % 50))

            sending = asyncio.create_task(send_all())
            for number in range(500):
                message = await peer.receive()
                assert message is not None
                with message:
                    assert message.kind == number
                    assert bytes(message.body) == str(number).encode() * (number % 50)
            await sending

    run(main())


def test_a_child_holds_as_many_messages_as_may_be_under_way_but_one(start: Any, run: Any) -> None:
    slots = GEOMETRY_DEFAULT.slots

    async def main() -> None:
        async with await start("hold") as peer:
            for number in range(slots - 1):
                assert peer.send_nowait(100 + number, b"keep")
            for _ in range(slots - 1):
                assert await text(peer) == "held"
            assert peer.send_nowait(1, b"done")
            for number in range(slots - 1):
                message = await peer.receive()
                assert message is not None
                assert message.kind == 100 + number
                message.release()

    run(main())


def test_a_sender_gives_up_when_the_child_stops_reading_and_dies(start: Any, run: Any) -> None:
    async def main() -> None:
        async with await start("stop") as peer:
            await peer.send(1, b"first")
            assert await text(peer) == "stopped"
            while peer.send_nowait(1, bytes(MIB)):
                pass
            sending = asyncio.create_task(peer.send(1, b"never"))
            await asyncio.sleep(0)
            peer.kill()
            with pytest.raises(PeerGone):
                await sending
            assert await peer.receive() is None
            assert await peer.wait() == -signal.SIGKILL

    run(main())


def test_a_child_that_floods_waits_for_its_reader(start: Any, run: Any) -> None:
    async def main() -> None:
        async with await start("flood") as peer:
            await peer.send(1, b"300")
            for number in range(300):
                assert await text(peer) == str(number)
            with await exchange(peer, 9, b"and goes on") as message:
                assert bytes(message.body) == b"and goes on"

    run(main())


def test_a_child_that_dies_in_the_middle_is_an_end_of_file_with_its_words(start: Any, run: Any) -> None:
    async def main() -> None:
        async with await start("crash") as peer:
            assert await text(peer) == "last words"
            await peer.send(1, b"go")
            assert await peer.receive() is None
            assert await peer.wait() == -signal.SIGKILL
            assert peer.returncode == -signal.SIGKILL
            assert peer.stderr_tail() == "it hurts\n"
            with pytest.raises(PeerGone):
                await peer.send(1, b"too late")

    run(main())


def test_the_link_of_a_child_that_fails_is_open_until_its_error_is_written(start: Any, run: Any) -> None:
    """Who kills it at the end of file would read the beginning of a traceback, and not what it says."""

    async def main() -> None:
        async with await start("fail") as peer:
            assert await text(peer) == "writing"
            assert await peer.receive() is None
            peer.kill()
            await peer.wait()
            assert peer.stderr_tail().splitlines()[-1] == "ValueError: the reason"

    run(main())


def test_a_module_that_does_not_exist_is_an_end_of_file_with_the_reason(run: Any, transport: Transport) -> None:
    async def main() -> None:
        async with await launch("turnwise.no_such_module", name="nobody", transport=transport) as peer:
            assert await peer.receive() is None
            assert await peer.wait() == 1
            assert "no_such_module" in peer.stderr_tail()

    run(main())


def test_closing_ends_the_child_and_can_be_repeated(start: Any, run: Any) -> None:
    async def main() -> None:
        peer = await start("echo")
        with await exchange(peer, 1, b"x"):
            pass
        await asyncio.gather(peer.close(), peer.close())
        await peer.close()
        assert peer.returncode == 0
        assert await peer.receive() is None
        peer.kill()
        with pytest.raises(PeerGone):
            await peer.send(1, b"x")

    run(main())


def test_closing_kills_a_child_that_does_not_end(start: Any, run: Any) -> None:
    async def main() -> None:
        peer = await start("stubborn")
        assert await text(peer) == "ready"
        await peer.close(grace_ms=1)
        assert peer.returncode == -signal.SIGKILL
        assert not is_running(peer.pid)

    run(main())


def test_a_close_that_is_cancelled_kills_all_the_same(start: Any, run: Any) -> None:
    async def main() -> None:
        peer = await start("stubborn")
        assert await text(peer) == "ready"
        closing = asyncio.create_task(peer.close(grace_ms=60_000))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert await peer.wait() == -signal.SIGKILL
        await peer.close()

    run(main())


def test_a_message_outlives_its_peer_until_released(start: Any, run: Any) -> None:
    async def main() -> None:
        async with await start("echo") as peer:
            message = await exchange(peer, 1, b"still here")
            long = await exchange(peer, 1, bytes(GEOMETRY_DEFAULT.slot_bytes + 1))
        assert bytes(message.body) == b"still here"
        assert len(long.body) == GEOMETRY_DEFAULT.slot_bytes + 1
        message.release()
        long.release()
        with pytest.raises(ValueError, match="released"):
            bytes(message.body)

    run(main())


def test_python_refuses_a_write_to_a_message(start: Any, run: Any) -> None:
    async def main() -> None:
        async with await start("write") as peer:
            await peer.send(1, b"read only")
            assert "read-only" in await text(peer)

    run(main())


@linux_only
def test_the_kernel_refuses_a_write_to_a_message(run: Any, child_path: str) -> None:
    async def main() -> None:
        peer = await launch(
            "sharedmem_child",
            name="x",
            transport="memfd",
            arguments=["overwrite"],
            environment={"PYTHONPATH": child_path},
        )
        async with peer:
            await peer.send(1, b"hello")
            assert await text(peer) == "hello"
            assert await peer.receive() is None
            assert await peer.wait() == -signal.SIGSEGV

    run(main())


@linux_only
def test_the_kernel_refuses_a_writable_mapping_of_what_the_child_reads(run: Any, child_path: str) -> None:
    async def main() -> None:
        peer = await launch(
            "sharedmem_child", name="x", transport="memfd", arguments=["remap"], environment={"PYTHONPATH": child_path}
        )
        async with peer:
            await peer.send(1, b"hello")
            # Of the two arenas it may write one, its own.
            assert await text(peer) == "refused 1, granted 1"

    run(main())


def test_a_message_has_no_bound_but_memory(start: Any, run: Any) -> None:
    async def main() -> None:
        async with await start("echo") as peer:
            data = bytes(300 * MIB)
            with await exchange(peer, 1, data) as message:
                assert message.body == data
            with await exchange(peer, 1, b"and goes on") as message:
                assert bytes(message.body) == b"and goes on"

    run(main())


def test_a_child_learns_that_the_orchestrator_has_closed(start: Any, run: Any) -> None:
    async def main() -> None:
        peer = await start("outlive")
        assert await text(peer) == "ready"
        await peer.close(grace_ms=30_000)
        assert peer.returncode == 42, peer.stderr_tail()

    run(main())


@linux_only
def test_killing_takes_along_what_the_child_has_started(start: Any, run: Any) -> None:
    async def main() -> None:
        async with await start("family") as peer:
            child, grandchild = map(int, (await text(peer)).split())
            assert child == peer.pid
            assert is_running(grandchild)
            peer.kill()
            wait_until_ended(grandchild)

    run(main())


@linux_only
def test_nothing_accumulates_over_many_launches(start: Any, run: Any) -> None:
    async def main() -> None:
        async def once() -> None:
            async with await start("echo") as peer:
                with await exchange(peer, 1, bytes(100_000)):
                    pass

        async def several() -> None:
            await asyncio.gather(*(once() for _ in range(4)))

        def arenas_mapped() -> int:
            gc.collect()
            return Path("/proc/self/maps").read_text().count("memfd:turnwise")

        def resident_kib() -> int:
            status = Path("/proc/self/status").read_text()
            return int(status.partition("VmRSS:")[2].split()[0])

        for _ in range(2):
            await several()
        arenas = arenas_mapped()
        descriptors, threads, resident = descriptors_open(), threading.active_count(), resident_kib()
        for _ in range(4):
            await several()
        assert arenas_mapped() <= arenas
        assert descriptors_open() <= descriptors
        assert threading.active_count() <= threads
        assert resident_kib() - resident < 8 * 1024
        children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        assert not [pid for pid in children if "sharedmem_child" in Path(f"/proc/{pid}/cmdline").read_text()]

    run(main())


@linux_only
def test_memory_is_flat_after_long_messages(run: Any, child_path: str) -> None:
    """Of 96 MiB each way no more than the stated residue stays."""

    def arena_kib(pid: int | str) -> int:
        """Resident memory of the arenas in a process."""
        total, inside = 0, False
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            if "-" in line.split(" ", 1)[0]:
                inside = "memfd:turnwise" in line
            elif inside and line.startswith("Rss:"):
                total += int(line.split()[1])
        return total

    async def main() -> None:
        peer = await launch(
            "sharedmem_child", name="x", transport="memfd", arguments=["echo"], environment={"PYTHONPATH": child_path}
        )
        before_kib = arena_kib("self")
        async with peer:
            for _ in range(2):
                with await exchange(peer, 1, bytes(96 * 1024 * 1024)) as message:
                    assert len(message.body) == 96 * 1024 * 1024
            with await exchange(peer, 1, b"small"):
                pass
            assert arena_kib(peer.pid) <= 2 * GEOMETRY_DEFAULT.arena_bytes // 1024
            assert arena_kib("self") - before_kib <= 2 * GEOMETRY_DEFAULT.arena_bytes // 1024

    run(main())


PARENT = """
import asyncio, os, sys
from turnwise.sharedmem import launch

async def main():
    peers = []
    for role in sys.argv[2:]:
        peer = await launch("sharedmem_child", name=role, transport=sys.argv[1], arguments=[role])
        if role != "unborn":
            await peer.send(1, b"x")
            message = await peer.receive()
            message.release()
        peers.append(peer)
    print(*(peer.pid for peer in peers), flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@linux_only
@pytest.mark.parametrize("roles", [["echo", "compute", "stubborn"], ["unborn"]], ids=" ".join)
def test_a_killed_orchestrator_leaves_no_process_and_no_memory(
    transport: Transport, child_path: str, roles: list[str]
) -> None:
    """`compute` never looks at its link, `stubborn` ignores end of file: the kernel ends them; `echo` ends itself.

    `unborn` connects only when the orchestrator is dead.
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, transport, *roles],
        env={**os.environ, "PYTHONPATH": child_path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent, parent.stdout, parent.stdin:
        pids = {int(word) for word in parent.stdout.readline().split()}
        assert len(pids) == len(roles)
        children = {int(word) for word in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()}
        assert children >= pids
        assert all(is_running(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
    wait_until_ended(*children)


@linux_only
def test_a_child_whose_orchestrator_died_before_it_started_ends_at_once(child_path: str) -> None:
    """The process that its endpoint names is not its parent."""
    import socket

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "sharedmem_child", f"memfd:{theirs.fileno()}:1", "compute"],
            env={**os.environ, "PYTHONPATH": child_path},
            pass_fds=[theirs.fileno()],
            capture_output=True,
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="has no terminals of this kind")
def test_ctrl_c_on_the_terminal_does_not_reach_the_child(transport: Transport, child_path: str) -> None:
    """The orchestrator runs in a terminal of its own and takes the signal; Ctrl-C is typed; the child still answers."""
    import pty

    program = """
import asyncio, signal, sys
from turnwise.sharedmem import launch

async def main():
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    async with await launch("sharedmem_child", name="echo", transport=sys.argv[1], arguments=["echo"]) as peer:
        for word in (b"before", b"after"):
            await peer.send(1, word)
            message = await peer.receive()
            with message:
                print(bytes(message.body).decode(), flush=True)
            if word == b"before":
                await interrupted.wait()
        assert peer.returncode is None

asyncio.run(main())
"""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(
            sys.executable,
            [sys.executable, "-c", program, transport],
            {**os.environ, "PYTHONPATH": child_path},
        )
    seen = b""
    typed = False
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other side of the terminal has closed
            break
        if not data:
            break
        seen += data
        if b"before" in seen and not typed:
            os.write(terminal, b"\x03")
            typed = True
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, seen.decode()
    assert b"after" in seen


@linux_only
def test_a_peer_that_cannot_be_started_is_an_environment_failure_and_leaves_nothing(
    run: Any, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with await launch("turnwise.no_such_module", name="first", transport=transport):
            pass
        before = descriptors_open()
        monkeypatch.setattr(sys, "executable", "/no/such/python")
        with pytest.raises(EnvironmentFailure, match="could not be started") as caught:
            await launch("anything", name="worker-1", transport=transport)
        assert caught.value.where == "worker-1"
        assert "/no/such/python" in caught.value.message
        assert "Python was moved" in str(caught.value.hint)
        assert descriptors_open() <= before

    run(main())


@pytest.mark.skipif(LINUX, reason="memfd exists here")
def test_memfd_elsewhere_is_the_user_s_mistake(run: Any) -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="Linux only"):
            await launch("anything", name="x", transport="memfd")

    run(main())
