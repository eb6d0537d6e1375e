"""What hostile native code tries from inside a confined process to reach another process of the same user.

`attack(victim)` tries everything, and returns the outcome of each: "done", or the name of the error. Raw system calls,
so that no library stands between; numbers for x86-64 and aarch64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Callable

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
COLUMN = ("x86_64", "aarch64").index(platform.machine()) if platform.machine() in ("x86_64", "aarch64") else 0

F_SETFL, F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ = 4, 8, 10, 15, 1024, 1026, 1031
O_ASYNC = 0x2000
FIOSETOWN, FIOASYNC, SIOCSPGRP, TIOCSTI = 0x8901, 0x5452, 0x8902, 0x5412
MADV_HWPOISON = 100
CLONE_PIDFD_PROCESS = 17

NUMBERS = {
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "ptrace": (101, 117),
    "kcmp": (312, 272),
    "timer_create": (222, 107),
    "setitimer": (38, 103),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "setns": (308, 268),
    "mq_open": (240, 180),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "inotify_init1": (294, 26),
    "signalfd4": (289, 74),
    "eventfd2": (290, 19),
    "dup3": (292, 24),
    "accept4": (288, 242),
    "madvise": (28, 233),
    "clone": (56, 220),
    "landlock_create_ruleset": (444, 444),
    "seccomp": (317, 277),
}


def call(name: str, *arguments: object) -> Callable[[], None]:
    def make() -> None:
        wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
        if libc.syscall(ctypes.c_long(NUMBERS[name][COLUMN]), *wide) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    return make


def attacks(victim: int, descriptor: int) -> dict[str, Callable[[], None]]:
    """By name, in an order that matters: the first four together kill `victim` where nothing stops them."""
    buffer = ctypes.create_string_buffer(256)
    page = ctypes.create_string_buffer(8192)
    aligned = (ctypes.addressof(page) + 4095) & ~4095
    owner = (ctypes.c_int * 2)(1, victim)
    number = (ctypes.c_int * 1)(victim)
    return {
        "own the signals of a descriptor": call("fcntl", descriptor, F_SETOWN, victim),
        "choose the signal": call("fcntl", descriptor, F_SETSIG, int(signal.SIGKILL)),
        "ask for signals": call("fcntl", descriptor, F_SETFL, O_ASYNC | os.O_RDWR),
        "own, extended": call("fcntl", descriptor, F_SETOWN_EX, owner),
        "own, around the corner": call("fcntl", descriptor, F_SETOWN | 1 << 32, victim),
        "lease": call("fcntl", descriptor, F_SETLEASE, 0),
        "notify": call("fcntl", descriptor, F_NOTIFY, 1),
        "own by ioctl": call("ioctl", descriptor, FIOSETOWN, number),
        "own by ioctl of sockets": call("ioctl", descriptor, SIOCSPGRP, number),
        "ask for signals by ioctl": call("ioctl", descriptor, FIOASYNC, number),
        "type for a terminal": call("ioctl", 0, TIOCSTI, buffer),
        "kill": call("kill", victim, 0),
        "kill everybody": call("kill", -1, 0),
        "kill a thread": call("tkill", victim, 0),
        "kill a thread of a process": call("tgkill", victim, victim, 0),
        "queue a signal": call("rt_sigqueueinfo", victim, 0, buffer),
        "queue a signal for a thread": call("rt_tgsigqueueinfo", victim, victim, 0, buffer),
        "hold a process": call("pidfd_open", victim, 0),
        "signal what is held": call("pidfd_send_signal", descriptor, 0, None, 0),
        "take a descriptor": call("pidfd_getfd", descriptor, 0, 0),
        "read memory": call("process_vm_readv", victim, buffer, 0, buffer, 0, 0),
        "write memory": call("process_vm_writev", victim, buffer, 0, buffer, 0, 0),
        "advise memory": call("process_madvise", descriptor, buffer, 0, 0, 0),
        "trace": call("ptrace", 16, victim, None, None),
        "compare": call("kcmp", victim, victim, 0, 0, 0),
        "make a timer": call("timer_create", 0, None, buffer),
        "set a timer": call("setitimer", 0, buffer, None),
        "control itself": call("prctl", 1, 0, 0, 0, 0),
        "limit another": call("prlimit64", victim, 7, buffer, None),
        "read the limits of another": call("prlimit64", victim, 7, None, buffer),
        "bind another": call("sched_setaffinity", victim, 128, buffer),
        "schedule another": call("sched_setscheduler", victim, 0, buffer),
        "schedule another, extended": call("sched_setattr", victim, buffer, 0),
        "be nice for another": call("setpriority", 0, victim, 19),
        "slow the disk of another": call("ioprio_set", 1, victim, 0),
        "migrate pages": call("migrate_pages", victim, 0, None, None),
        "move pages": call("move_pages", victim, 0, None, None, None, 0),
        "count events": call("perf_event_open", buffer, victim, -1, -1, 0),
        "handle faults": call("userfaultfd", 1),
        "use keys": call("keyctl", 0, -3, 0),
        "enter a namespace": call("setns", descriptor, 0),
        "open a queue": call("mq_open", b"x", 0o102, 0o600, None),
        "share memory by key": call("shmget", 4711, 4096, 0o1600),
        "share semaphores": call("semget", 4711, 1, 0o1600),
        "share messages": call("msgget", 4711, 0o1600),
        "watch files": call("inotify_init1", 0),
        "read signals": call("signalfd4", -1, buffer, 8, 0),
        "make an event": call("eventfd2", 0, 0),
        "put a descriptor over another": call("dup3", descriptor, 2, 0),
        "accept": call("accept4", descriptor, None, None, 0),
        "poison a page of the machine": call("madvise", aligned, 4096, MADV_HWPOISON),
        "start a process": call("clone", CLONE_PIDFD_PROCESS, 0, 0, 0, 0),
        "lift a ruleset": call("landlock_create_ruleset", None, 0, 1),
        "change the filter": call("seccomp", 1, 0, None),
    }


def attack(victim: int, descriptor: int, *, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """Try everything on `victim`; `descriptor` is a socket that is open."""
    report = {}
    for name, action in attacks(victim, descriptor).items():
        if name in leave_out:
            continue
        try:
            action()
            report[name] = "done"
        except OSError as error:
            report[name] = errno.errorcode.get(error.errno or 0, str(error.errno))
    return report
