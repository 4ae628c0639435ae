"""Texts → numbers of tokens: bytes, characters, words, or the pieces of a byte-pair encoding."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Int64
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from mmseq.config.paths import YamlPath
from mmseq.config.section import Section
from mmseq.errors import ConfigError, PluginError
from mmseq.ragged import Ragged, starts_of

UNKNOWN = 0
_WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


class BytesConfig(Section):
    kind: Literal["bytes"]


class CharactersConfig(Section):
    kind: Literal["characters"]
    min_count: PositiveInt = Field(1, description="rarer characters of the training split count as unknown")


class WordsConfig(Section):
    kind: Literal["words"]
    min_count: PositiveInt = Field(2, description="rarer words of the training split count as unknown")
    size: PositiveInt = Field(20_000, description="the most frequent words that are known")
    lower: bool = Field(True, description="upper and lower case are alike")


class BpeConfig(Section):
    kind: Literal["bpe"]
    size: int = Field(8_000, ge=300, description="pieces that are learned from the training split")
    file: YamlPath | None = Field(
        None, description="a tokenizer.json to take instead of learning one; null: learn one"
    )


TokensConfig = Annotated[
    BytesConfig | CharactersConfig | WordsConfig | BpeConfig, Field(discriminator="kind")
]


class TokensSpec(BaseModel):
    """How texts are cut, as it was fitted on the training split.

    Attributes:
        kind: as configured.
        vocabulary: known characters or words, the most frequent first; token i is entry i - 1.
        lower: words are compared in lower case.
        model: the `tokenizers` package's own description, of a byte-pair encoding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["bytes", "characters", "words", "bpe"]
    vocabulary: list[str] = []
    lower: bool = False
    model: str = ""


class Tokens(ABC):
    """Cuts texts.

    Attributes:
        size: tokens that there are.
        knows_all: no token is unknown.
    """

    size: int
    knows_all: bool = True

    @abstractmethod
    def cut(self, texts: Ragged, longest: int) -> Ragged:
        """The tokens of each text, in UTF-8, at most so many; int64."""


def build_tokens(spec: TokensSpec) -> Tokens:
    """What cuts as a spec says. Raises PluginError where a package is missing."""
    match spec.kind:
        case "bytes":
            return Bytes()
        case "characters":
            return Characters(spec.vocabulary)
        case "words":
            return Words(spec.vocabulary, spec.lower)
    return Bpe(spec.model)


def fit_tokens(config: Any, texts: Iterable[Ragged]) -> TokensSpec:
    """Fits on texts, a part at a time, what the configuration asks for.

    Raises:
        ConfigError: a tokenizer's file cannot be read.
        PluginError: a package is missing.
    """
    if isinstance(config, BytesConfig):
        return TokensSpec(kind="bytes")
    if isinstance(config, BpeConfig):
        model = train_bpe(texts, config.size) if config.file is None else _read(config.file)
        return TokensSpec(kind="bpe", model=model)
    if isinstance(config, CharactersConfig):
        counts = Counter(c for part in texts for c in _text(part))
        return TokensSpec(kind="characters", vocabulary=_frequent(counts, config.min_count, None))
    counts = Counter(word for part in texts for text in decoded(part) for word in words(text, config.lower))
    vocabulary = _frequent(counts, config.min_count, config.size)
    return TokensSpec(kind="words", vocabulary=vocabulary, lower=config.lower)


class Bytes(Tokens):
    """The bytes of UTF-8."""

    size = 256

    def cut(self, texts: Ragged, longest: int) -> Ragged:
        return _first(Ragged(texts.elements.astype(np.int64), texts.starts), longest)


class Characters(Tokens):
    """Unicode code points; 0 is one that the training split never had.

    Args:
        vocabulary: the known ones.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        points = np.array([ord(c) for c in vocabulary], np.int64)
        self.order = np.argsort(points)
        self.points, self.size, self.knows_all = points[self.order], len(points) + 1, False

    def cut(self, texts: Ragged, longest: int) -> Ragged:
        begins = (texts.elements & 0xC0) != 0x80  # else a byte goes on with the character before
        up_to = np.concatenate([np.zeros(1, np.int64), np.cumsum(begins)])
        points = np.frombuffer(_text(texts).encode("utf-32-le"), np.uint32).astype(np.int64)
        return _first(Ragged(self._codes(points), up_to[texts.starts]), longest)

    def _codes(self, points: Int64[np.ndarray, "token"]) -> Int64[np.ndarray, "token"]:
        if not len(self.points):
            return np.zeros(len(points), np.int64)
        place = np.minimum(np.searchsorted(self.points, points), len(self.points) - 1)
        return np.where(self.points[place] == points, self.order[place] + 1, UNKNOWN)


class Words(Tokens):
    """Runs of letters and digits, with an apostrophe in between, and every other sign alone; 0 is unknown.

    Args:
        vocabulary: the known ones.
        lower: compare in lower case.
    """

    def __init__(self, vocabulary: Sequence[str], lower: bool) -> None:
        self.codes = {word: i + 1 for i, word in enumerate(vocabulary)}
        self.lower, self.size, self.knows_all = lower, len(vocabulary) + 1, False

    def cut(self, texts: Ragged, longest: int) -> Ragged:
        rows = [words(text, self.lower)[:longest] for text in decoded(texts)]
        codes = [self.codes.get(word, UNKNOWN) for row in rows for word in row]
        starts = starts_of(np.array([len(row) for row in rows], np.int64))
        return Ragged(np.array(codes, np.int64), starts)


class Bpe(Tokens):
    """Pieces of a byte-pair encoding, as the `tokenizers` package makes them.

    Args:
        model: its description, as JSON.
    """

    def __init__(self, model: str) -> None:
        self.tokenizer = _package().Tokenizer.from_str(model)
        self.size = self.tokenizer.get_vocab_size()

    def cut(self, texts: Ragged, longest: int) -> Ragged:
        rows = self.tokenizer.encode_batch(list(decoded(texts)), add_special_tokens=False)
        return Ragged.of([np.array(row.ids[:longest], np.int64) for row in rows], "int64")

    def __reduce__(self) -> tuple[object, ...]:
        return Bpe, (self.tokenizer.to_str(),)

    def __deepcopy__(self, memo: object) -> Bpe:
        return Bpe(self.tokenizer.to_str())


def train_bpe(texts: Iterable[Ragged], size: int) -> str:
    """Learns a byte-level encoding, which knows every text.

    Source: Sennrich, Haddow and Birch 2016, "Neural machine translation of rare words with subword units";
    over bytes as in Radford et al. 2019, "Language models are unsupervised multitask learners".
    """
    package = _package()
    tokenizer = package.Tokenizer(package.models.BPE())
    tokenizer.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = package.pre_tokenizers.ByteLevel.alphabet()
    trainer = package.trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((text for part in texts for text in decoded(part)), trainer)
    return str(tokenizer.to_str())


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        _package().Tokenizer.from_str(text)
    except PluginError:
        raise
    except Exception as error:  # the package raises plain ones
        raise ConfigError(
            f"{path}: must be a tokenizer.json of the tokenizers package; {error}; name another file"
        ) from error
    return text


def _package() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise PluginError(
            "text: `tokens: {kind: bpe}` needs the package tokenizers; it is not installed; "
            "pip install 'mmseq[text]'"
        ) from error
    return tokenizers


def words(text: str, lower: bool) -> list[str]:
    """The words and signs of a text."""
    return _WORD.findall(text.lower() if lower else text)


def decoded(texts: Ragged) -> Iterable[str]:
    """Each text."""
    return (bytes(text).decode() for text in texts)


def _text(texts: Ragged) -> str:
    """All texts in one."""
    return texts.elements.tobytes().decode()


def _frequent(counts: Counter[str], min_count: int, size: int | None) -> list[str]:
    """The most frequent first; of like ones, in order of their letters."""
    known = [word for word, n in counts.items() if n >= min_count]
    return sorted(known, key=lambda word: (-counts[word], word))[:size]


def _first(rows: Ragged, longest: int) -> Ragged:
    """The first elements of each row."""
    if not len(rows) or int(rows.counts.max()) <= longest:
        return rows
    counts = np.minimum(rows.counts, longest)
    keep = np.arange(len(rows.elements)) - np.repeat(rows.starts[:-1], rows.counts) < longest
    return Ragged(rows.elements[keep], starts_of(counts))
