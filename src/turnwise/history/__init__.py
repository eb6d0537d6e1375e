"""Operations on journals beyond reading: replay, models asked again, and the difference of two runs."""

from turnwise.history.diff import Diff, TurnDiff, diff
from turnwise.history.reissue import Reissue, Reissuing, reissue
from turnwise.history.replay import Replay, replay
from turnwise.history.verify import ModelVerification, Verification, verify

__all__ = [
    "Diff",
    "ModelVerification",
    "Reissue",
    "Reissuing",
    "Replay",
    "TurnDiff",
    "Verification",
    "diff",
    "reissue",
    "replay",
    "verify",
]
