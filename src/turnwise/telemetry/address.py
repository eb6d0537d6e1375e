"""The telemetry of another process, found by its address and looked at before it is read."""

from __future__ import annotations

import mmap
import os
import re
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from turnwise.telemetry.ring import RING_BYTES
from turnwise.telemetry.sample import Sample, read_sample

ADDRESS: Final = re.compile(r"/proc/[1-9][0-9]{0,9}/fd/[0-9]{1,9}")
LINK: Final = "/memfd:turnwise"
"""Beginning of what the address of a memory file of ours leads to."""


class Telemetry:
    """The telemetry of a run of another process. A context manager; closes twice without harm."""

    def __init__(self, address: str) -> None:
        """Map the memory at an address. Raises OSError if there is none, or if it is not what it should be.

        The address stands in a file that may be left over: its process may be gone, and another have its number.
        """
        if sys.platform != "linux":
            raise OSError("telemetry of other processes is found on Linux only")
        if not ADDRESS.fullmatch(address) or not str(Path(address).readlink()).startswith(LINK):
            raise OSError("the address is not that of telemetry")
        import fcntl

        from turnwise.sharedmem.memory_file import F_SEAL_FUTURE_WRITE, SIZE_SEALS

        fd = os.open(address, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size != RING_BYTES:
                raise OSError("the memory is not that of telemetry")
            sealed = SIZE_SEALS | F_SEAL_FUTURE_WRITE
            if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & sealed != sealed:
                raise OSError("the memory is not sealed")
            self._memory = mmap.mmap(fd, RING_BYTES, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        finally:
            os.close(fd)

    def read(self) -> Sample | None:
        """Return the newest sample; None if there is none. Raises ValueError for telemetry of another version."""
        return read_sample(self._memory)

    def close(self) -> None:
        """Give up the memory."""
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
