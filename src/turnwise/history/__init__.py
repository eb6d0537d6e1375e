"""What can be done with journals beyond reading them."""

from turnwise.history.reissue import Reissue, Reissuing, reissue
from turnwise.history.replay import Replay, replay

__all__ = ["Reissue", "Reissuing", "Replay", "reissue", "replay"]
