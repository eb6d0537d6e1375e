"""Distances between a model's logits on machines that are both right, by the types of numbers that it computes in."""

from __future__ import annotations

from typing import Final

from turnwise.inference.folders.model_folder import ModelFolder

TOLERANCE_FULL: Final = 0.001
TOLERANCE_HALF: Final = 0.05
TOLERANCE_QUANTISED: Final = 0.25
"""Parts of the spread (standard deviation) of the logits. With 4-bit weights the CPU rounds activations to 8 bits too.

Seen in full precision: 0.00006 from a device that is right, 0.007 and more from a driver that is wrong."""
MARGIN_FULL: Final = 0.01
MARGIN_HALF: Final = 0.15
MARGIN_QUANTISED: Final = 0.5
"""Logits. A step and a prompt differ by up to 0.3 where 4-bit products round activations to 8 bits."""


def tolerance_of(folder: ModelFolder) -> float:
    """Distance that logits may have, in parts of their spread, by the types in which a graph computes."""
    if folder.layout.graph.quantised:
        return TOLERANCE_QUANTISED
    return TOLERANCE_HALF if folder.layout.graph.half else TOLERANCE_FULL


def margin_of(folder: ModelFolder) -> float:
    """Distance that a single logit may have on another machine, in logits, by the types in which a graph computes."""
    if folder.layout.graph.quantised:
        return MARGIN_QUANTISED
    return MARGIN_HALF if folder.layout.graph.half else MARGIN_FULL
