"""A model that is asked again, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from turnwise.core.compare import Difference
from turnwise.core.promise import Promise
from turnwise.history.nearness import Nearness
from turnwise.inference.plans.model_info import ModelInfo


@dataclass(slots=True)
class Asked:
    """One model, and what has come of asking it again.

    - `name`, `recorded`: its name and the hash (hex) of its content in the plan
    - `promise`: the weaker of the classes that were recorded and are observed here; None for tasks without one
    - `info`: as it was loaded here; None if it was not
    - `named`: whether the caller has named its folder
    - `reasons`: why it is not asked, or, if its folder was named, what is not as it was
    - `requests`, `compared`: how many the run asked of it, and how many replies were compared here
    - `difference`: the first reply that is another, None if none is
    - `processor_noted`: whether the journal says what kind of processor ran it
    - `nearness`: by a tolerant check, how far its answers are from this machine; None without one
    """

    name: str
    recorded: str
    promise: Promise | None
    named: bool
    info: ModelInfo | None = None
    reasons: list[str] = field(default_factory=list)
    requests: int = 0
    compared: int = 0
    difference: Difference | None = None
    nearness: Nearness | None = None
    processor_noted: bool = False

    @property
    def another_file(self) -> bool:
        """True if the model that was loaded is not the one of the plan."""
        return self.info is not None and self.info.sha256 != self.recorded

    @property
    def usable(self) -> bool:
        """True if its replies are compared."""
        if self.nearness is not None:
            return self.info is not None and (self.named or not self.another_file)
        return self.info is not None and self.promise != "none" and (self.named or not self.reasons)
