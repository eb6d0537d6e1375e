"""Messages between orchestrator and worker: MessagePack, in tuples, since there are thousands a second."""

from __future__ import annotations

import msgspec

from turnwise.sandbox.execute.executor import CarrierName
from turnwise.sandbox.execute.jobs import ExecutionStatus

# Kinds of messages: first those to a worker, then those from it.
LOAD, RUN = 1, 2
READY, RESULTS, LACKS = 3, 4, 5

LoadItem = tuple[str, CarrierName, str | None]
"""Path of compiled code, its carrier, the program of a Python agent. The place in the list is the code's index."""

JobItem = tuple[int, int, bytes, tuple[bytes, ...], int, int, int]
"""Number of the job, index of its code, input, replies, fuel, `memory_bytes`, `output_bytes_max`."""

ResultItem = tuple[int, ExecutionStatus, bytes, str | None, int, str, int]
"""Number of the job, status, body, class of failure, fuel used, stdout; last, microseconds that it took (telemetry)."""

ReadyItem = tuple[str, bool, str]
"""A measure of the confinement: name, whether it holds, detail."""

LacksItem = str
"""Resource that the machine refused to the worker, which ends then."""

encode = msgspec.msgpack.Encoder().encode
decode_load = msgspec.msgpack.Decoder(list[LoadItem]).decode
decode_jobs = msgspec.msgpack.Decoder(list[JobItem]).decode
decode_results = msgspec.msgpack.Decoder(list[ResultItem]).decode
decode_lacks = msgspec.msgpack.Decoder(LacksItem).decode
decode_ready = msgspec.msgpack.Decoder(list[ReadyItem]).decode
