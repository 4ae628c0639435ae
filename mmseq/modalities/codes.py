"""Codes as what comes next: one class, or where several may come at once, a set of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from mmseq.modalities import Part


def code_part(name: str, words: Sequence[str], counts: Sequence[int], *, is_set: bool, first: int) -> Part:
    """The head that predicts the next code: a softmax, or of a set, independent labels.

    Args:
        name: of the column.
        words: the vocabulary.
        counts: how often the training split has each.
        is_set: several may come at once.
        first: the column of the target's value at which it begins.
    """
    if is_set:
        rates = [count / max(sum(counts), 1) for count in counts]
        spec, kind, last = {"columns": words, "rates": rates}, "multilabel", first + len(words)
    else:
        spec, kind, last = {"classes": words, "counts": counts}, "classification", first + 1
    return Part(name=name, kind=kind, spec=spec, options={}, first=first, last=last)


def code_sets(
    code: Int64[np.ndarray, "event"], n_words: int, first: Int64[np.ndarray, "step"]
) -> tuple[UInt8[np.ndarray, "step word"], Bool[np.ndarray, "step word"]]:
    """Which codes are among the events of each step, which begin at `first`; negative ones are none.

    Returns:
        the sets, and whether they are observed: one without any code is not, rather than empty.
    """
    row = np.repeat(np.arange(len(first)), np.diff(first, append=len(code)))
    labels = np.zeros((len(first), n_words), np.uint8)
    labels[row[code >= 0], code[code >= 0]] = 1
    return labels, np.repeat(labels.any(1, keepdims=True), n_words, axis=1)
