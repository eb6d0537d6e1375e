"""Frozen records without the guard: the type checker keeps them from being changed, and nothing else does.

A frozen dataclass sets each of its fields through a call that goes around its own guard. Some fifty fields are set for
one turn, and that was a fourth of the orchestrator's time.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

T = TypeVar("T")


def unguarded(cls: type[T]) -> type[T]:
    """Take the guard from a frozen dataclass: its fields are set as those of any other."""
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    if hasattr(cls, "__post_init__") or any(not one.init or one.kw_only for one in fields):
        raise TypeError(f"{cls.__name__} is made in a way of its own")
    twin = dataclasses.make_dataclass(
        cls.__name__,
        [
            (one.name, one.type, dataclasses.field(default=one.default, default_factory=one.default_factory))
            for one in fields
        ],
    )
    type.__setattr__(cls, "__init__", vars(twin)["__init__"])
    del cls.__setattr__, cls.__delattr__
    return cls
