"""The pieces of a byte-pair encoding, by the package `tokenizers`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mmseq.errors import ConfigError, PluginError
from mmseq.modalities.tokens.plain import Tokens, decoded, find
from mmseq.ragged import Ragged

_PIECE = re.compile(
    r"['’](?:s|t|re|ve|m|ll|d)(?!\w)| ?[^\W\d_]+| ?\d+| ?(?:[^\w\s]|_)+|\s+(?!\S)|\s"
)  # of any text, all of it
_REMEMBERED, _SHORT = 1 << 17, 64  # pieces whose tokens are kept, and characters of one
_MOST = 1 << 24  # tokens that a file may number


class Bpe(Tokens):
    """Tokens as a tokenizer.json gives them, but without padding, cutting short, or chance.

    Args:
        model: its contents.
        whole: it takes whole texts. Otherwise it was learned by `train_bpe`, of pieces, whose tokens do not
            depend on what stands beside them, and so can be remembered.

    Raises:
        PluginError: the package is missing.
        ValueError: it is no such model.
    """

    def __init__(self, model: str, whole: bool) -> None:
        self.model, self.whole = model, whole
        self.tokenizer, self.unknown = _parse(model)
        self.size = max(self.tokenizer.get_vocab().values(), default=-1) + 1
        if not 0 < self.size <= _MOST:
            raise ValueError(
                f"its tokens need numbers from 0 to {_MOST - 1:,}; the last is {self.size - 1:,}"
            )
        self._known: dict[str, list[int]] = {}

    def cut(self, texts: Ragged, longest: int) -> Ragged:
        if self.whole:
            rows = self.tokenizer.encode_batch_fast(list(decoded(texts)), add_special_tokens=False)
            return Ragged.of([np.array(row.ids[:longest], np.int64) for row in rows], "int64")
        return Ragged.of([np.array(self._cut(text, longest), np.int64) for text in decoded(texts)], "int64")

    def _cut(self, text: str, longest: int) -> list[int]:
        ids: list[int] = []
        for piece in find(_PIECE, text, longest):
            known = self._known.get(piece)
            ids += self._learn(piece) if known is None else known
        return ids[:longest]

    def _learn(self, piece: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(piece, add_special_tokens=False).ids
        if len(self._known) < _REMEMBERED and len(piece) <= _SHORT:
            self._known[piece] = ids
        return ids

    def __reduce__(self) -> tuple[object, ...]:
        return Bpe, (self.model, self.whole)

    def __deepcopy__(self, memo: object) -> Bpe:
        return Bpe(self.model, self.whole)


def train_bpe(texts: Iterable[Ragged], size: int) -> str:
    """Learns an encoding of bytes, which knows every text; no token reaches from one piece into another.

    A piece is a run of letters, of digits, or of signs, each with the space before it, or of spaces.

    Source: Sennrich, Haddow and Birch 2016, "Neural machine translation of rare words with subword units";
    over bytes as in Radford et al. 2019, "Language models are unsupervised multitask learners".
    """
    tokenizers = package()
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    pieces = (piece for part in texts for text in decoded(part) for piece in _PIECE.findall(text))
    tokenizer.train_from_iterator(pieces, trainer)
    return str(tokenizer.to_str())


def read_bpe(path: Path) -> str:
    """The contents of a tokenizer.json. Raises ConfigError where it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        Bpe(text, whole=True)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: must be a tokenizer.json of the tokenizers package; {error}; name another file"
        ) from error
    return text


def _parse(model: str) -> tuple[Any, int | None]:
    """The tokenizer that a text describes, and its token for what it does not know."""
    tokenizers = package()
    told = json.loads(model)
    if not isinstance(told, dict) or not isinstance(told.get("model"), dict):
        raise ValueError("it has no model")
    inner = told["model"]
    certain = {**inner, "dropout": None} if "dropout" in inner else inner
    plain = {**told, "padding": None, "truncation": None, "model": certain}
    try:
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(plain))
        tokenizer.encode("☃", add_special_tokens=False)  # what it does not know may be an error for it
    except Exception as error:  # the package raises plain ones
        raise ValueError(str(error)) from error
    word = inner.get("unk_token")
    return tokenizer, tokenizer.token_to_id(word) if isinstance(word, str) else inner.get("unk_id")


def package() -> Any:
    """The package `tokenizers`. Raises PluginError where it is missing."""
    # Its own threads would come on top of training's, and do not survive a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import tokenizers
    except ImportError as error:
        raise PluginError(
            "text: `tokens: {kind: bpe}` needs the package tokenizers; it is not installed; "
            "pip install 'mmseq[text]'"
        ) from error
    return tokenizers
