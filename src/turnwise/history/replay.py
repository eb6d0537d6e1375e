"""Replay: execute every turn of a journal again, in sandboxes, with the effects that were recorded, and compare.

Nothing is asked of a model: replay proves that the agents' logic, the order and the journal belong together. The first
difference ends it, since all that follows may be its consequence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from turnwise.core.compare import Difference, first_difference
from turnwise.core.events import Request
from turnwise.core.head import text_digest
from turnwise.core.machine import Machine
from turnwise.core.plan_json import plan_from_json
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.turn import FailureClass
from turnwise.errors import TurnwiseError
from turnwise.journal import Journal
from turnwise.orchestrator.driver import Driver
