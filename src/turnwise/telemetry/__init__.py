"""Telemetry of a run: memory that its orchestrator alone can write, and any process of the same user can read.

What is live is lossy. The writer never waits, asks nobody, and does not know whether anybody reads. From the bottom:

- `ring`: slots in a sealed memory file, each with a number and a checksum.
- `sample`: what stands in them, some samples a second: where the run is, who moves, what models are writing.
- `address`: how a reader finds the memory of another process, and what it checks before it looks.
"""
