"""Errors of evidence that does not hold."""

from __future__ import annotations

from turnwise.errors import DifferenceFound


class EvidenceError(DifferenceFound):
    """A bundle does not hold what it says: a byte was changed, a signature is not valid, a member is missing."""


def broken(path: object, what: str, *, expected: object = None, actual: object = None) -> EvidenceError:
    """An error for a bundle that is not as it was written."""
    return EvidenceError(
        f"the bundle does not hold: {what}",
        where=str(path),
        expected=expected,
        actual=actual,
        hint="It was damaged or changed after it was made. Nothing of it was executed; ask for it again.",
    )
