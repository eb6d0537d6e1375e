"""seccomp: an allow-list of system calls, as a program for the kernel's packet filter.

What is not on the list fails with EPERM: opening a file, making a socket, starting a process, and whatever kernels
learn in the future. A system call in the manner of another architecture kills the process. The list is what CPython and
the engine do once everything is loaded: compute, wait, and use the files that are open.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

from turnwise.confine.measure import ProcessNeeds
from turnwise.confine.system import machine, system_call

# Actions, and instructions of the filter: load a word, jump if equal or if a bit is set, return.
ALLOW, DENY, KILL = 0x7FFF_0000, 0x0005_0000 | errno.EPERM, 0x8000_0000
NO_SUCH_CALL = 0x0005_0000 | errno.ENOSYS
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER_OFFSET, ARCHITECTURE_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1
SECCOMP_CALL = {"x86_64": 317, "aarch64": 277}
ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
X32_BIT = 0x4000_0000

CLONE_THREAD = 0x0001_0000
PROT_EXEC = 4
AT_EMPTY_PATH = 0x1000

FCNTL_COMMANDS = {"F_GETFD": 1, "F_SETFD": 2, "F_GETFL": 3, "F_DUPFD_CLOEXEC": 1030, "F_GET_SEALS": 1034}
"""Commands of `fcntl` that are allowed: reading and copying of descriptors. Others send signals to other processes
(F_SETOWN, F_SETSIG, and O_ASYNC by F_SETFL), break leases, or watch folders."""

PAGEMAP_SCAN = 0xC060_6610
"""The `ioctl` that is allowed: which pages of memory a process has written to, asked of its own page map."""

MADVISE_ADVICE = {
    "MADV_NORMAL": 0,
    "MADV_RANDOM": 1,
    "MADV_SEQUENTIAL": 2,
    "MADV_WILLNEED": 3,
    "MADV_DONTNEED": 4,
    "MADV_FREE": 8,
    "MADV_HUGEPAGE": 14,
    "MADV_NOHUGEPAGE": 15,
    "MADV_DONTDUMP": 16,
    "MADV_POPULATE_READ": 22,
    "MADV_COLLAPSE": 25,
}
"""Advice that is allowed: about memory of this process only. MADV_HWPOISON takes pages from the whole machine."""

CALLS: dict[str, tuple[int | None, int | None]] = {
    # memory
    "brk": (12, 214),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    # files that are open
    "close": (3, 57),
    "fcntl": (72, 25),
    "fstat": (5, 80),
    "ioctl": (16, 29),
    "lseek": (8, 62),
    "newfstatat": (262, 79),
    "pread64": (17, 67),
    "read": (0, 63),
    "readv": (19, 65),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "shutdown": (48, 210),
    "write": (1, 64),
    "writev": (20, 66),
    # waiting, and time
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_wait": (232, None),
    "gettimeofday": (96, 169),
    "nanosleep": (35, 101),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pselect6": (270, 72),
    "select": (23, None),
    # threads and signals of this process
    "clone": (56, 220),
    "clone3": (435, 435),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "get_robust_list": (274, 100),
    "restart_syscall": (219, 128),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    "sigaltstack": (131, 132),
    "tgkill": (234, 131),
    # what a process may know of itself
    "getcpu": (309, 168),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "prlimit64": (302, 261),
    "times": (100, 153),
    "uname": (63, 160),
}
"""Every call on the list with its numbers on x86-64 and aarch64; some only under the conditions of `_conditions`."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Condition on an argument of a call, as a word of 32 bits: equal to one of `values`, or (`bits`) with or without
    the bits of the only one."""

    argument: int
    values: tuple[int, ...]
    bits: bool = False
    absent: bool = False
    high: bool = False


def allow_only(needs: ProcessNeeds) -> str:
    """Install the filter for all threads of this process, for good. Raises `Unavailable` or `OSError`."""
    count = install(filter_program(machine(), needs, os.getpid()))
    return f"{len(CALLS)} system calls allowed, {count} instructions, for all threads"


def install(program: bytes) -> int:
    """Install a filter for all threads of this process; return its number of instructions.

    Raises `Unavailable` or `OSError`.
    """
    count = len(program) // 8
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", count, ctypes.addressof(buffer))
    pointer = ctypes.cast(ctypes.create_string_buffer(header, len(header)), ctypes.c_void_p)
    system_call(SECCOMP_CALL[machine()], SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, pointer)
    return count


def filter_program(name: str, needs: ProcessNeeds, pid: int) -> bytes:
    """Return the filter for architecture `name`: `struct sock_filter[]`, 8 bytes an instruction."""
    column = ("x86_64", "aarch64").index(name)
    conditions = _conditions(needs, pid)
    program = beginning(name)
    for call, numbers in CALLS.items():
        number = numbers[column]
        if number is None:
            continue
        action = NO_SUCH_CALL if call == "clone3" else ALLOW
        body = [part for condition in conditions.get(call, ()) for part in denial_unless(condition)]
        body.append(instruction(RETURN, action))
        program.append(instruction(JUMP_EQUAL, number, 0, len(body)))
        program += body
    program.append(instruction(RETURN, DENY))
    return b"".join(program)


def beginning(name: str) -> list[bytes]:
    """Return instructions that kill at calls in another architecture's manner, and load the number of the call."""
    return [
        instruction(LOAD, ARCHITECTURE_OFFSET),
        instruction(JUMP_EQUAL, ARCHITECTURES[name], 1, 0),
        instruction(RETURN, KILL),
        instruction(LOAD, NUMBER_OFFSET),
        instruction(JUMP_SET, X32_BIT, 0, 1),
        instruction(RETURN, KILL),
    ]


def _conditions(needs: ProcessNeeds, pid: int) -> dict[str, tuple[Condition, ...]]:
    no_code = () if needs.new_code else (Condition(2, (PROT_EXEC,), bits=True, absent=True),)
    never = Condition(0, (0,), bits=True)
    return {
        # glibc asks for threads with clone3 first, whose flags lie in memory and cannot be seen; it then takes clone.
        "clone": (Condition(0, (CLONE_THREAD,), bits=True),) if needs.threads else (never,),
        "fcntl": (Condition(1, tuple(FCNTL_COMMANDS.values())),),
        "ioctl": (Condition(1, (PAGEMAP_SCAN,)),),
        "madvise": (Condition(2, tuple(MADVISE_ADVICE.values())),),
        "mmap": no_code,
        "mprotect": no_code,
        # fstat of newer libraries; a path can still be asked for, but what is found out is no content
        "newfstatat": (Condition(3, (AT_EMPTY_PATH,)),),
        # reading limits, not setting them
        "prlimit64": (Condition(0, (0,)), Condition(2, (0,)), Condition(2, (0,), high=True)),
        "tgkill": (Condition(0, (pid,)),),
    }


def denial_unless(condition: Condition) -> list[bytes]:
    """Return instructions that deny unless the condition holds."""
    offset = ARGUMENTS_OFFSET + 8 * condition.argument + (4 if condition.high else 0)
    if condition.bits:
        (bits,) = condition.values
        on_true, on_false = (0, 1) if condition.absent else (1, 0)
        tests = [instruction(JUMP_SET, bits, on_true, on_false)]
    else:  # each value that is met jumps over the others and the denial
        left = len(condition.values)
        tests = [instruction(JUMP_EQUAL, value, left - index, 0) for index, value in enumerate(condition.values)]
    return [instruction(LOAD, offset), *tests, instruction(RETURN, DENY)]


def instruction(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, on_true, on_false, value)
