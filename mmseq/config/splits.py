"""The names of the splits. Imports nothing heavy, for the command line's help."""

from __future__ import annotations

from enum import StrEnum


class SplitName(StrEnum):
    """Which samples: those that train, that choose the best epoch, or that are kept for the end."""

    train = "train"
    validation = "validation"
    test = "test"


SPLITS = tuple(name.value for name in SplitName)
