"""Texts: notes, utterances, messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from mmseq.batch import TextEvents
from mmseq.modalities import ModalityConfig, Spec, Stored, check_some_events, modalities
from mmseq.modalities.payload import PayloadModality
from mmseq.modalities.tokens import UNKNOWN, TokensConfig, TokensSpec, WordsConfig, build_tokens, fit_tokens
from mmseq.ragged import Ragged
from mmseq.sources import BadCell, Payload, Reading


class TextColumn(ModalityConfig):
    """What is read and fitted."""

    column: str = Field(description="the column of texts")
    tokens: TokensConfig = Field(WordsConfig(kind="words"), description="how texts are cut")
    longest: PositiveInt = Field(512, description="tokens of a text that are read, from its beginning")


class TextConfig(TextColumn):
    kind: Literal["text"]


@dataclass(frozen=True)
class TextPayload(Payload):
    """The bytes of a text in UTF-8."""

    dtype: str = "uint8"
    shape: tuple[int, ...] | None = None

    def value(self, cell: Any, folder: Path) -> np.ndarray:
        if not isinstance(cell, str):
            raise ValueError(f"a text is text; {str(cell)[:60]!r}, a {type(cell).__name__}, came")
        return np.frombuffer(cell.encode(), np.uint8)

    def read(self, cells: pyarrow.Array, folder: Path) -> Ragged:
        if not (pyarrow.types.is_string(cells.type) or pyarrow.types.is_large_string(cells.type)):
            came = "" if not len(cells) else f"; {str(cells[0].as_py())[:60]!r} came"
            raise BadCell(0, f"a text is text; the column holds {cells.type}{came}")
        cells = cells.cast(pyarrow.large_string())
        _, offsets, content = cells.buffers()
        starts = np.frombuffer(offsets, np.int64)[cells.offset : cells.offset + len(cells) + 1]
        elements = np.frombuffer(content or b"", np.uint8)[starts[0] : starts[-1]]
        return Ragged(elements, starts - starts[0])


class TextSpec(Spec):
    """What was fitted over the training split.

    Attributes:
        columns: the name of the column.
        tokens: how texts are cut.
        size: tokens that there are.
        longest: tokens of a text that are read.
    """

    columns: list[str]
    tokens: TokensSpec
    size: int
    longest: int


@modalities.register(TextConfig)
class TextModality(PayloadModality):
    """Cuts texts into tokens. A text of which nothing is left, as one of spaces, is an event without
    tokens."""

    Spec = TextSpec
    gives = TextEvents
    default_encoder = "bag"

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        self.spec = spec
        self.payload = TextPayload(spec.columns[0])
        self.tokens = build_tokens(spec.tokens)

    @classmethod
    def reading(cls, config: TextColumn) -> Reading:
        return Reading(config.table, config.time, payload=TextPayload(config.column))

    @classmethod
    def fit(cls, config: TextColumn, stored: Stored) -> TextSpec:
        """The vocabulary. Raises DataError where the training split has no event."""
        check_some_events(config.table, stored)
        tokens = fit_tokens(config.tokens, (chunk["payload"] for chunk in stored.chunks()))
        size = build_tokens(tokens).size
        return TextSpec(columns=[config.column], tokens=tokens, size=size, longest=config.longest)

    def make(self, step: Tensor, payload: Ragged) -> TextEvents:
        rows = self.tokens.cut(payload, self.spec.longest)
        return TextEvents(step, torch.from_numpy(rows.elements), torch.from_numpy(rows.starts))

    def ready(self, events: TextEvents) -> TextEvents:
        return events

    def unknown(self, events: TextEvents) -> dict[str, int]:
        n = 0 if self.tokens.knows_all else int((events.token == UNKNOWN).sum())
        return {self.spec.columns[0]: n} if n else {}
