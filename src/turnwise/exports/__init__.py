"""A run for other programs: tables, traces, and the logs of evaluation and observability tools.

Each module writes one format from a journal. Nothing here reads back, and nothing decides anything.
"""
