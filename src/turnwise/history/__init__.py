"""What can be done with journals beyond reading them."""

from turnwise.history.replay import Replay, replay

__all__ = ["Replay", "replay"]
