"""Starting a child process, and what is known of it when it has died."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from turnwise.errors import EnvironmentFailure, InvariantError

STDERR_TAIL_BYTES_MAX: Final = 16 * 1024
JOIN_S_MAX: Final = 1.0

LIMITS: Final = {
    errno.EMFILE: "Raise the limit of open files of this process: ulimit -n",
    errno.ENFILE: "Close files: the whole machine has no more descriptors.",
    errno.EFBIG: "Raise the limit of file sizes of this process, which holds for shared memory as well: ulimit -f",
    errno.EAGAIN: "Raise the limit of processes of this user: ulimit -u",
    errno.ENOMEM: "Free memory, or raise the limit of this process: ulimit -v",
}
"""Hints for a process that cannot be started, by the system's error."""
FILE_PROBLEMS: Final = (errno.ENOENT, errno.EACCES, errno.ENOTDIR)
"""Errors that are about a file: the program to start, or the null device for its standard streams."""
ENVIRONMENT_KEPT: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "LOCALAPPDATA",
    "PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONFAULTHANDLER",
    "PYTHONHASHSEED",
    "PYTHONHOME",
    "PYTHONNOUSERSITE",
    "PYTHONPATH",
    "PYTHONPYCACHEPREFIX",
    "PYTHONUTF8",
    "PYTHONWARNINGS",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "USERPROFILE",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
)
"""Variables that a child inherits: those that Python and shared libraries need to be found, and no secret."""

PACKAGE_FOLDER: Final = Path(__file__).resolve().parents[2]
PACKAGE_INSTALLED: Final = PACKAGE_FOLDER in {
    Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")
}


def child_environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """Return the child's environment: `ENVIRONMENT_KEPT` of ours, then `extra`.

    Where this package is not installed but found by other means, its folder is added to `PYTHONPATH`, so that both
    processes run the same code.
    """
    environment = {name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ}
    environment.update(extra or {})
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    if not PACKAGE_INSTALLED and str(PACKAGE_FOLDER) not in folders:
        environment["PYTHONPATH"] = os.pathsep.join([*filter(None, folders), str(PACKAGE_FOLDER)])
    return environment


def start_failure(message: str, error: OSError, *, where: str | None = None) -> EnvironmentFailure:
    """Return the failure for a process that cannot be started: what the system says, of which file, and its knob."""
    hint = LIMITS.get(error.errno or 0, "Free memory, processes or open files.")
    said = error.strerror or str(error)
    if error.errno in FILE_PROBLEMS and isinstance(error.filename, str):
        said = f"{error.filename}: {said}"
        hint = "Python was moved, removed or upgraded since this program began: start it again."
        if error.filename == os.devnull:
            hint = f"{os.devnull} is missing: this system, or its container, has no /dev. Mount one."
    return EnvironmentFailure(f"{message}: {said}", where=where, hint=hint)


class Process:
    """A child process in a session of its own, so that Ctrl-C on the terminal does not reach it.

    It inherits the handle of its end of the link and nothing else; standard input is empty, what it writes to standard
    output is dropped (the orchestrator's own may be read by a program), and of what it writes to standard error the
    last `STDERR_TAIL_BYTES_MAX` bytes are kept, to explain a death.
    """

    def __init__(self, arguments: Sequence[str], *, handle: int, environment: Mapping[str, str]) -> None:
        options: dict[str, Any]
        if sys.platform == "win32":
            os.set_handle_inheritable(handle, True)
            startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
            options = {"startupinfo": startup, "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        else:
            options = {"pass_fds": (handle,), "start_new_session": True}
        self._popen: subprocess.Popen[bytes] = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(environment),
            close_fds=True,
            **options,
        )
        self.pid = self._popen.pid
        self._tail = bytearray()
        self._lock = threading.Lock()
        stderr = self._popen.stderr
        if stderr is None:
            raise InvariantError("a child was started without a pipe for its standard error")
        self._stderr_thread = threading.Thread(
            target=self._keep_tail, args=(stderr,), name="turnwise-stderr", daemon=True
        )
        self._stderr_thread.start()

    def _keep_tail(self, stderr: IO[bytes]) -> None:
        with stderr:
            while data := os.read(stderr.fileno(), STDERR_TAIL_BYTES_MAX):
                with self._lock:
                    self._tail += data
                    del self._tail[:-STDERR_TAIL_BYTES_MAX]

    def stderr_tail(self) -> str:
        """Return the end of what it wrote to standard error; all of it up to its death, if it is dead."""
        if self.poll() is not None:
            self._stderr_thread.join(JOIN_S_MAX)
        with self._lock:
            return self._tail.decode(errors="replace")

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs. Reaps it."""
        return self._popen.poll()

    def wait(self) -> int:
        """Block until it has ended."""
        returncode = self._popen.wait()
        self._stderr_thread.join(JOIN_S_MAX)
        return returncode

    def kill(self) -> None:
        """Kill it and what it has started, at once. Harmless when it has ended."""
        if self._popen.poll() is not None:
            return
        if sys.platform == "win32":
            self._popen.kill()
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
