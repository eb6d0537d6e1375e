"""seccomp where a device's driver lives in the process: calls that reach beyond the process are denied, others allowed.

A driver's calls differ from one version to the next, so that there is no list of those that are enough. What a process
must not do is known: become another program or make processes, open connections, reach other processes, or change the
machine. Which files it can open is Landlock's part; what Landlock leaves, rights and attributes of files, is here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from turnwise.confine.seccomp import (
    ALLOW,
    ARGUMENTS_OFFSET,
    CLONE_THREAD,
    DENY,
    JUMP_EQUAL,
    LOAD,
    NO_SUCH_CALL,
    RETURN,
    Condition,
    beginning,
    denial_unless,
    install,
    instruction,
)
from turnwise.confine.system import machine

DENIED: Final[dict[str, tuple[int | None, int]]] = {
    # programs and processes
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    # connections
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # what processes share by name
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # rights, owners, times and attributes of files
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # the kernel and the machine
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "setns": (308, 268),
    "unshare": (272, 97),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "quotactl": (179, 60),
    "acct": (163, 89),
}
"""Every call that is denied, with its numbers on x86-64 and aarch64."""

DENIED_X86_64: Final = {
    "fork": 57,
    "vfork": 58,
    "chmod": 90,
    "chown": 92,
    "lchown": 94,
    "utime": 132,
    "utimes": 235,
    "futimesat": 261,
}
"""Older calls, which aarch64 does not have."""

CLONE: Final = (56, 220)
CLONE3: Final = 435
TGKILL: Final = (234, 131)
OF_A_PROCESS: Final = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
"""Calls that name a process first: allowed for this one."""
FCNTL: Final = (72, 25)
FCNTL_DENIED: Final = {
    "F_SETOWN": 8,
    "F_SETSIG": 10,
    "F_SETOWN_EX": 15,
    "F_SETLEASE": 1024,
    "F_NOTIFY": 1026,
}
"""Commands of `fcntl` that have signals sent, which may be to other processes."""
MADVISE: Final = (28, 233)
MADVISE_DENIED: Final = {"MADV_HWPOISON": 100, "MADV_SOFT_OFFLINE": 101}
IOCTL: Final = (16, 29)
IOCTL_DENIED: Final = {
    "FIOSETOWN": 0x8901,
    "SIOCSPGRP": 0x8902,
    "FIOASYNC": 0x5452,
    "TIOCSTI": 0x5412,
    "TIOCLINUX": 0x541C,
}
"""Requests of `ioctl` that have signals sent, or type into a terminal. Others are how a driver is spoken to."""


def deny() -> str:
    """Install the filter for all threads of this process, for good. Raises `Unavailable` or `OSError`."""
    count = install(denial_program(machine(), os.getpid()))
    denied = len(DENIED) + len(DENIED_X86_64) * (machine() == "x86_64")
    return f"{denied} system calls denied, since a driver may want any other, {count} instructions, for all threads"


def denial_program(name: str, pid: int) -> bytes:
    """Return the filter for architecture `name`: `struct sock_filter[]`, 8 bytes an instruction."""
    column = ("x86_64", "aarch64").index(name)
    numbers = [found for pair in DENIED.values() if (found := pair[column]) is not None]
    if name == "x86_64":
        numbers += DENIED_X86_64.values()
    program = beginning(name)
    for number in numbers:
        program += [instruction(JUMP_EQUAL, number, 0, 1), instruction(RETURN, DENY)]
    # glibc asks for threads with clone3 first, whose flags lie in memory and cannot be seen; it then takes clone.
    program += [instruction(JUMP_EQUAL, CLONE3, 0, 1), instruction(RETURN, NO_SUCH_CALL)]
    program += _under(CLONE[column], denial_unless(Condition(0, (CLONE_THREAD,), bits=True)))
    program += _under(TGKILL[column], denial_unless(Condition(0, (pid,))))
    for pair in OF_A_PROCESS.values():
        program += _under(pair[column], denial_unless(Condition(0, (0, pid))))
    program += _under(FCNTL[column], _denial_if(1, FCNTL_DENIED.values()))
    program += _under(IOCTL[column], _denial_if(1, IOCTL_DENIED.values()))
    program += _under(MADVISE[column], _denial_if(2, MADVISE_DENIED.values()))
    program.append(instruction(RETURN, ALLOW))
    return b"".join(program)


def _under(number: int, body: list[bytes]) -> list[bytes]:
    """Return instructions that decide about one call: denied by `body`, or allowed."""
    return [instruction(JUMP_EQUAL, number, 0, len(body) + 1), *body, instruction(RETURN, ALLOW)]


def _denial_if(argument: int, values: Iterable[int]) -> list[bytes]:
    """Return instructions that deny if an argument is one of `values`."""
    tests = [part for value in values for part in (instruction(JUMP_EQUAL, value, 0, 1), instruction(RETURN, DENY))]
    return [instruction(LOAD, ARGUMENTS_OFFSET + 8 * argument), *tests]
