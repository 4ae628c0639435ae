"""Texts → numbers of tokens: bytes, characters, words, or the pieces of a byte-pair encoding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmseq.modalities.tokens.bpe import Bpe, package, read_bpe, train_bpe
from mmseq.modalities.tokens.config import (
    BpeConfig,
    BytesConfig,
    CharactersConfig,
    TokensConfig,
    TokensSpec,
    WordsConfig,
)
from mmseq.modalities.tokens.plain import (
    UNKNOWN,
    Bytes,
    Characters,
    Tokens,
    Words,
    count_characters,
    count_words,
    frequent,
)
from mmseq.ragged import Ragged

__all__ = [
    "UNKNOWN",
    "BpeConfig",
    "BytesConfig",
    "CharactersConfig",
    "Tokens",
    "TokensConfig",
    "TokensSpec",
    "WordsConfig",
    "build_tokens",
    "check_package",
    "fit_tokens",
]


def check_package(config: Any) -> None:
    """Raises PluginError where what the configuration asks for needs a package that is missing."""
    if isinstance(config, BpeConfig):
        package()


def build_tokens(spec: TokensSpec) -> Tokens:
    """What cuts as a spec says.

    Raises:
        PluginError: a package is missing.
        ValueError: the description of a byte-pair encoding is none.
    """
    match spec.kind:
        case "bytes":
            return Bytes()
        case "characters":
            return Characters(spec.vocabulary)
        case "words":
            return Words(spec.vocabulary, spec.lower)
    return Bpe(spec.model, spec.whole)


def fit_tokens(config: Any, texts: Iterable[Ragged]) -> TokensSpec:
    """Fits on texts, a part at a time, what the configuration asks for.

    Raises:
        ConfigError: a tokenizer's file cannot be read.
        PluginError: a package is missing.
    """
    if isinstance(config, BytesConfig):
        return TokensSpec(kind="bytes")
    if isinstance(config, CharactersConfig):
        return TokensSpec(kind="characters", vocabulary=frequent(count_characters(texts), config.min_count))
    if isinstance(config, WordsConfig):
        vocabulary = frequent(count_words(texts, config.lower), config.min_count, config.size)
        return TokensSpec(kind="words", vocabulary=vocabulary, lower=config.lower)
    if config.file is None:
        return TokensSpec(kind="bpe", model=train_bpe(texts, config.size))
    return TokensSpec(kind="bpe", model=read_bpe(config.file), whole=True)
