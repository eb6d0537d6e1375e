"""Operations on journals beyond reading: replay, and waves issued again."""

from turnwise.history.reissue import Reissue, Reissuing, reissue
from turnwise.history.replay import Replay, replay

__all__ = ["Reissue", "Reissuing", "Replay", "reissue", "replay"]
