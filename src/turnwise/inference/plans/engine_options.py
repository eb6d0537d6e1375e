"""Options of inference: the use of the machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The use that inference makes of the machine. No option changes what is computed.

    - `threads_max`: threads of one operator at most; None: all cores, or of three and more all but one
    - `spin_us`: how long threads that wait poll before they sleep; 0: not at all; None: for a millisecond if a core is
      left to others, else for 10 microseconds
    - `kv_bytes_max`: memory for the KV caches of all models together; None: a quarter of what there is. It is taken as
      it is needed. A model whose whole context does not fit gets a shorter one, which `ModelInfo` tells; no world is
      played with such a model, since what it answers would depend on the machine.
    - `rows_max`: sequences of a model that run at once, at most
    - `records`: whether steps that come again are recorded on a device that can, and launched as one
    """

    threads_max: int | None = None
    spin_us: int | None = None
    kv_bytes_max: int | None = None
    rows_max: int = 32
    records: bool = True
