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
from mmseq.modalities.tokens import (
    TokensConfig,
    TokensSpec,
    WordsConfig,
    build_tokens,
    check_package,
    fit_tokens,
)
from mmseq.ragged import Ragged
from mmseq.sources import BadCell, Payload, Reading


class TextConfig(ModalityConfig):
    kind: Literal["text"]
    column: str = Field(description="the column of texts")
    tokens: TokensConfig = Field(WordsConfig(kind="words"), description="how texts are cut")
    longest: PositiveInt = Field(512, description="tokens of a text that are read, from its beginning")


@dataclass(frozen=True)
class TextPayload(Payload):
    """The bytes of a text in UTF-8."""

    dtype: str = "uint8"
    shape: tuple[int, ...] | None = None

    def value(self, cell: Any, folder: Path) -> np.ndarray:
        if not isinstance(cell, str):
            raise ValueError(f"a text is text; {str(cell)[:60]!r}, a {type(cell).__name__}, came")
        try:
            return np.frombuffer(cell.encode(), np.uint8)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"a text is whole characters; half a surrogate pair came in {cell[:60]!r}"
            ) from error

    def read(self, cells: pyarrow.Array, folder: Path) -> Ragged:
        if pyarrow.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
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
        unknown: the token of what the training split never had; None: nothing is unknown.
        longest: tokens of a text that are read.
        shortened: how many texts of the training split have more.
    """

    columns: list[str]
    tokens: TokensSpec
    size: int
    unknown: int | None
    longest: int
    shortened: int


@modalities.register(TextConfig)
class TextModality(PayloadModality):
    """Cuts texts into tokens. A text of which nothing is left, as one of spaces, is an event without
    tokens."""

    Spec = TextSpec
    gives = TextEvents
    default_encoder = "bag"

    def __init__(self, spec: TextSpec) -> None:
        super().__init__(spec)
        self.payload = TextPayload(spec.columns[0])
        self.tokens = build_tokens(spec.tokens)
        if (self.tokens.size, self.tokens.unknown) != (spec.size, spec.unknown):
            raise ValueError(f"{self.tokens.size} tokens are described; the facts tell of {spec.size}")

    @classmethod
    def reading(cls, config: TextConfig) -> Reading:
        check_package(config.tokens)
        return Reading(config.table, config.time, payload=TextPayload(config.column))

    @classmethod
    def fit(cls, config: TextConfig, stored: Stored) -> TextSpec:
        """The vocabulary. Raises DataError where the training split has no event."""
        check_some_events(config.table, stored)
        spec = fit_tokens(config.tokens, (chunk["payload"] for chunk in stored.chunks()))
        tokens, longest = build_tokens(spec), config.longest
        lengths = (tokens.cut(chunk["payload"], longest + 1).counts for chunk in stored.chunks())
        shortened = sum(int((own > longest).sum()) for own in lengths)
        return TextSpec(
            columns=[config.column], tokens=spec, size=tokens.size, unknown=tokens.unknown, longest=longest,
            shortened=shortened,
        )  # fmt: skip

    def make(self, step: Tensor, payload: Ragged) -> TextEvents:
        rows = self.tokens.cut(payload, self.spec.longest)
        return TextEvents(step, torch.from_numpy(rows.elements), torch.from_numpy(rows.starts))

    def ready(self, events: TextEvents) -> TextEvents:
        return events

    def unknown(self, events: TextEvents) -> dict[str, int]:
        n = 0 if self.spec.unknown is None else int((events.token == self.spec.unknown).sum())
        return {self.spec.columns[0]: n} if n else {}

    def remarks(self) -> dict[str, int]:
        return {f"longer than {self.spec.longest} tokens": n} if (n := self.spec.shortened) else {}
