"""Telemetry for operators, from a process beside a run: spans to a collector, metrics on a port, lines of JSON.

It reads what the monitor reads, the journal and the memory that the run tells of itself in, and has no way to reach the
run. So whether it is there changes nothing of what is computed, and nothing of it happens in the run's event loop.
"""
