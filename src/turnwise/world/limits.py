"""The bounds of a world. An error that meets one names it, and docs/world-file.md lists them all."""

from __future__ import annotations

from typing import Final

WORLD_FILE_BYTES_MAX: Final = 16 * 1024 * 1024
TABLE_BYTES_MAX: Final = 256 * 1024 * 1024
PYTHON_SOURCE_BYTES_MAX: Final = 16 * 1024 * 1024
"""All Python files of one kind together."""
PYTHON_SOURCE_FILES_MAX: Final = 1_000
WASM_SOURCE_BYTES_MAX: Final = 64 * 1024 * 1024

AGENTS_MAX: Final = 1_000_000
"""Agents that exist from the beginning, all kinds together."""
KINDS_MAX: Final = 10_000
CONTEXT_TOKENS_MIN: Final = 8
CONTEXT_TOKENS_MAX: Final = 16 * 1024 * 1024
MULTIPLICATIONS_MIN: Final = 1_000_000
MULTIPLICATIONS_MAX: Final = 1_000_000_000_000_000
MODELS_MAX: Final = 1_000
TOOL_SERVERS_MAX: Final = 100
CALLS_MAX: Final = 1_000_000_000
CALLS_AT_ONCE_MAX: Final = 1_000
CALL_SECONDS_MAX: Final = 86_400
PARK_AFTER_MS_MAX: Final = 86_400_000
SETTINGS_BYTES_MAX: Final = 256 * 1024
"""Settings of one tool server, as JSON in UTF-8."""
MESSAGES_MAX: Final = 100_000
NAMES_MAX: Final = 1_000
"""Entries of one list of names: groups, a grant, columns."""
GRANTED_MAX: Final = 1_000_000
"""Names that all grants come to, patterns over models and kinds written out."""
COMPARISONS_MAX: Final = 20_000_000
"""Names that the patterns of all grants are compared with while a world is checked: some seconds."""
PROBLEMS_MAX: Final = 100
"""Problems that one check lists; the rest is counted."""

TITLE_LENGTH_MAX: Final = 100
"""Characters of the world's own name."""
ARGS_BYTES_MAX: Final = 1024 * 1024
"""Arguments of one agent, as canonical JSON in UTF-8."""
STATE_BYTES_MAX: Final = 4 * 1024 * 1024
URL_CHARS_MAX: Final = 2_048
ENDPOINT_NAME_CHARS_MAX: Final = 256
ENDPOINT_SECONDS_MAX: Final = 86_400
REQUESTS_AT_ONCE_MAX: Final = 256
REPLY_KIB_MAX: Final = 65_536
BODY_BYTES_MAX: Final = 1024 * 1024
SYSTEM_BYTES_MAX: Final = 64 * 1024
"""A kind's system prompt."""
JSON_DEPTH_MAX: Final = 64
KEY_PARTS_MAX: Final = 32
"""Parts of one dotted key of a world file, or of `--set`."""
INTEGER_MAX: Final = 2**63 - 1
"""Whole numbers in arguments and states lie within 64 bits with sign, as TOML's do."""

ROUNDS_DEFAULT: Final = 10_000
FUEL_MAX: Final = 2**63 - 1
FUEL_NS_SLOW: Final = 1_000
"""Time that a unit of fuel takes on a slow machine, at worst: loads that miss every cache and page table
(`benchmarks/bench_fuel.py`)."""
TURN_SECONDS_MAX: Final = 1_000_000_000_000
MEMORY_MIB_MAX: Final = 4_096
OUTPUT_MIB_DEFAULT: Final = 4
OUTPUT_MIB_MAX: Final = 256
EFFECTS_MAX: Final = 100_000
STATE_MIB_DEFAULT: Final = 8
STATE_MIB_MAX: Final = 64
SEND_MIB_DEFAULT: Final = 4
SEND_MIB_MAX: Final = 64
DELIVERIES_MAX: Final = 10_000_000
INBOX_MIB_DEFAULT: Final = 8
INBOX_MIB_MAX: Final = 64
PUT_MIB_DEFAULT: Final = 64
PUT_MIB_MAX: Final = 256
CONTENTS_MIB_DEFAULT: Final = 256
CONTENTS_MIB_MAX: Final = 65_536
EFFECTS_MIB_DEFAULT: Final = 64
EFFECTS_MIB_MAX: Final = 128
AGENTS_EVER_MAX: Final = 100_000_000
"""The largest `agents_max`."""
ROUND_SECONDS_MAX: Final = 1_000_000_000
TIME_END_US: Final = 253_402_300_800_000_000
"""10000-01-01T00:00:00Z, the first instant that Python's datetime cannot say. No round may lie there."""
