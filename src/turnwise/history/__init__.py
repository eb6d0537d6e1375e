"""Operations on journals beyond reading: replay, waves issued again, and the difference of two runs."""

from turnwise.history.diff import Diff, TurnDiff, diff
from turnwise.history.reissue import Reissue, Reissuing, reissue
from turnwise.history.replay import Replay, replay

__all__ = ["Diff", "Reissue", "Reissuing", "Replay", "TurnDiff", "diff", "reissue", "replay"]
