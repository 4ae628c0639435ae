"""What is pushed into a stream, checked against the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from mmseq.errors import DataError
from mmseq.modalities.payload import PayloadModality
from mmseq.model import Model
from mmseq.registry import did_you_mean
from mmseq.words import word_of


class Reader:
    """Reads the raw values of one push.

    Args:
        model: whose modalities they are of.
        recorded: modalities that come in pieces, each push one.

    Attributes:
        timed: names of the modalities with a clock.
    """

    def __init__(self, model: Model, *, recorded: Collection[str]) -> None:
        missing = getattr(model.experiment.data.source, "missing", ())
        self._markers = {word_of(marker) for marker in missing} - {None}
        self._modalities = dict(model.modalities.items())
        self._static, self._recorded = model.static, recorded
        self.timed = [name for name in self._modalities if name not in model.static]

    def read(self, id: str, values: Any) -> dict[str, list[Any]]:
        """What came for a sample, by modality: of each a list of events.

        Raises:
            DataError: it is not by modality, has nothing timed, or several values of a static one.
        """
        if not isinstance(values, Mapping):
            raise DataError(f"sample {id!r}: values come by modality, as a dict; came {values!r}")
        self._check_names(id, values)
        if self._markers:
            values = {name: self._without_markers(value, name) for name, value in values.items()}
        events = {
            name: [value] if name in self._recorded else self._modalities[name].several(value)
            for name, value in values.items()
        }
        for name in self._static & events.keys():
            if len(events[name]) > 1:
                came = f"{len(events[name])} came"
                raise DataError(f"sample {id!r}, {name}: a static modality has one value; {came}; keep one")
        return events

    def _check_names(self, id: str, values: Mapping[str, Any]) -> None:
        for name in values:
            if name not in self._modalities:
                raise DataError(
                    f"sample {id!r}: {name!r} is no modality of the model"
                    f"{did_you_mean(name, self._modalities)}; there are: {', '.join(self._modalities)}"
                )
        if self.timed and not any(name in values for name in self.timed):
            raise DataError(
                f"sample {id!r}: a push is a step, and needs a value of {' or '.join(self.timed)}; none came"
            )

    def _without_markers(self, values: Any, name: str) -> Any:
        """None for what the source says stands for missing, such as -999, be it a number or a word.

        Within a payload nothing does: of a list, only what is text may be missing.
        """
        if isinstance(values, Mapping):
            return {column: self._without_markers(value, name) for column, value in values.items()}
        if isinstance(self._modalities[name], PayloadModality) and not isinstance(values, str):
            if isinstance(values, list) and all(isinstance(value, str | None) for value in values):
                return [self._without_markers(value, name) for value in values]
            return values
        if isinstance(values, (list, tuple, np.ndarray)):
            return [self._without_markers(value, name) for value in values]
        return None if word_of(values) in self._markers else values
