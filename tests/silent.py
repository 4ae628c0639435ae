"""A plugin for tests: numbers whose next event has no likelihood."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mmseq.modalities import NextEvent, modalities
from mmseq.modalities.numeric import NumericConfig, NumericModality


class SilentConfig(NumericConfig):
    kind: Literal["silent"]  # type: ignore[assignment]


@modalities.register(SilentConfig)
class SilentModality(NumericModality):
    """As `numeric`, but learned by contrast."""

    def next_parts(self) -> Any:
        return None

    def next_event(self, events: Any, first: np.ndarray) -> NextEvent:
        raise AssertionError("there is no likelihood, so nothing may ask for a target of one")
