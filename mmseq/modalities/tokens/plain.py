"""Bytes, characters and words."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat

import numpy as np
from jaxtyping import Int64

from mmseq.errors import DataError
from mmseq.ragged import Ragged, starts_of

UNKNOWN = 0
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_SPACE, _SIGN, _LETTER = range(3)
_KINDS = np.array([(c.isalnum() or c == "_") + (not c.isspace()) for c in map(chr, range(128))], np.uint8)
_LONG = 32  # characters a token; of a text that is longer, no more is searched than is kept


class Tokens(ABC):
    """Cuts texts.

    Attributes:
        size: tokens that there are.
        unknown: the token of what the training split never had; None: there is nothing unknown.
    """

    size: int
    unknown: int | None = None

    @abstractmethod
    def cut(self, texts: Ragged, longest: int) -> Ragged:
        """The tokens of each text, in UTF-8, at most so many; int64."""


class Bytes(Tokens):
    """The bytes of UTF-8."""

    size = 256

    def cut(self, texts: Ragged, longest: int) -> Ragged:
        short = _first(texts, longest)
        return Ragged(short.elements.astype(np.int64), short.starts)


class Characters(Tokens):
    """Unicode code points; 0 is one that the training split never had.

    Args:
        vocabulary: the known ones.
    """

    unknown = UNKNOWN

    def __init__(self, vocabulary: Sequence[str]) -> None:
        points = np.array([ord(c) for c in vocabulary], np.int64)
        self.order = np.argsort(points)
        self.points, self.size = points[self.order], len(points) + 1

    def cut(self, texts: Ragged, longest: int) -> Ragged:
        begins = (texts.elements & 0xC0) != 0x80  # else a byte goes on with the character before
        up_to = np.concatenate([np.zeros(1, np.int64), np.cumsum(begins)])
        points = np.frombuffer(_text(texts).encode("utf-32-le"), np.uint32).astype(np.int64)
        short = _first(Ragged(points, up_to[texts.starts]), longest)
        return Ragged(self._codes(short.elements), short.starts)

    def _codes(self, points: Int64[np.ndarray, "token"]) -> Int64[np.ndarray, "token"]:
        if not len(self.points):
            return np.zeros(len(points), np.int64)
        place = np.minimum(np.searchsorted(self.points, points), len(self.points) - 1)
        return np.where(self.points[place] == points, self.order[place] + 1, UNKNOWN)


class Words(Tokens):
    """What `words` finds; 0 is one that the training split never had.

    Args:
        vocabulary: the known ones.
        lower: compare in lower case.
    """

    unknown = UNKNOWN

    def __init__(self, vocabulary: Sequence[str], lower: bool) -> None:
        self.codes = {word: i + 1 for i, word in enumerate(vocabulary)}
        self.lower, self.size = lower, len(vocabulary) + 1

    def cut(self, texts: Ragged, longest: int) -> Ragged:
        short = not len(texts) or int(texts.counts.max()) <= _LONG * longest
        if short and int(texts.elements.max(initial=0)) < 128:
            return _first(self._cut_ascii(texts), longest)
        rows = [words(text, self.lower, longest) for text in decoded(texts)]
        starts = starts_of(np.array([len(row) for row in rows], np.int64))
        return Ragged(self._codes(chain.from_iterable(rows)), starts)

    def _cut_ascii(self, texts: Ragged) -> Ragged:
        """The same of all texts at once, with a space after each, and beside each sign."""
        text = np.insert(texts.elements, texts.starts[1:], ord(" "))
        kind = _KINDS[text]
        between = (kind[:-2] == _LETTER) & (kind[2:] == _LETTER)
        kind[1:-1][between & (text[1:-1] == ord("'"))] = _LETTER
        sign, letter = kind == _SIGN, kind == _LETTER
        begins = sign | letter
        begins[1:] ^= letter[1:] & letter[:-1]  # a letter goes on with the one before
        place = np.flatnonzero(sign)
        found = np.insert(text, np.concatenate([place, place + 1]), ord(" ")).tobytes().decode("ascii")
        codes = self._codes((found.lower() if self.lower else found).split())
        return Ragged(codes, starts_of(begins.astype(np.int64))[texts.starts + np.arange(len(texts) + 1)])

    def _codes(self, found: Iterable[str]) -> Int64[np.ndarray, "token"]:
        return np.array(list(map(self.codes.get, found, repeat(UNKNOWN))), np.int64)


def words(text: str, lower: bool, most: int | None = None) -> list[str]:
    """The first words and signs of a text, or all.

    A word is a run of letters, digits and underscores, with apostrophes in between: `don't`, `it’s`, which
    is `it's`. Every other sign that is no space stands alone. An accent and its letter are one character
    (Unicode's form NFC).
    """
    found = find(_WORD, unicodedata.normalize("NFC", text), most)
    found = [word.replace("’", "'") if len(word) > 1 else word for word in found]
    return [word.lower() for word in found] if lower else found


def find(pattern: re.Pattern[str], text: str, most: int | None) -> list[str]:
    """The first matches of a pattern without groups, or all."""
    if most is not None and len(text) > _LONG * most:
        return [match.group() for match in islice(pattern.finditer(text), most)]
    return pattern.findall(text)[:most]


def count_characters(texts: Iterable[Ragged]) -> Counter[str]:
    """How often each character stands in the texts."""
    counts = Counter[str]()
    for part in texts:
        counts.update(_text(part))
    return counts


def count_words(texts: Iterable[Ragged], lower: bool) -> Counter[str]:
    """How often each word stands in the texts."""
    return Counter(word for part in texts for text in decoded(part) for word in words(text, lower))


def frequent(counts: Counter[str], min_count: int, size: int | None = None) -> list[str]:
    """The most frequent first; of like ones, in order of their letters."""
    known = [word for word, n in counts.items() if n >= min_count]
    return sorted(known, key=lambda word: (-counts[word], word))[:size]


def decoded(texts: Ragged) -> Iterator[str]:
    """Each text. Raises DataError where one is not UTF-8."""
    return (_decoded(text) for text in texts)


def _text(texts: Ragged) -> str:
    """All texts in one."""
    return _decoded(texts.elements)


def _decoded(text: np.ndarray) -> str:
    try:
        return text.tobytes().decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"text: a store holds texts in UTF-8; {error.object[:60]!r} came; write the store anew"
        ) from error


def _first(rows: Ragged, longest: int) -> Ragged:
    """The first elements of each row."""
    if not len(rows) or int(rows.counts.max()) <= longest:
        return rows
    counts = np.minimum(rows.counts, longest)
    keep = np.arange(len(rows.elements)) - np.repeat(rows.starts[:-1], rows.counts) < longest
    return Ragged(rows.elements[keep], starts_of(counts))
