"""Windows of samples, straight from the maps: what the whole has there."""

from __future__ import annotations

import numpy as np
import pytest

from mmseq.store import Gathered, Rows, Store

SAMPLES = np.array([7, 4, 0, 35, 21, 3, 3])  # sample 4 has nothing timed


def _steps(whole: Gathered, window: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Which steps are in the window, and where each then stands (-1: it is not)."""
    sample = np.repeat(np.arange(len(whole.starts) - 1), np.diff(whole.starts))
    place = np.arange(len(sample)) - whole.starts[sample]
    inside = (place >= window[0]) & (place < window[1])
    return inside, np.where(inside, np.cumsum(inside) - 1, -1)


def _check_rows(rows: Rows, whole: Rows, keep: np.ndarray, step: np.ndarray) -> None:
    np.testing.assert_array_equal(rows.step, step[keep])
    sample = np.repeat(np.arange(len(whole.starts) - 1), np.diff(whole.starts))
    np.testing.assert_array_equal(np.diff(rows.starts), np.bincount(sample[keep], minlength=len(SAMPLES)))
    for name, values in whole.arrays.items():
        np.testing.assert_array_equal(rows.arrays[name], values[keep])


@pytest.mark.parametrize("window", [(0, 3), (3, 6), (2, 9), (6, 100), (50, 60)])
def test_is_what_the_whole_has_there(store: Store, window: tuple[int, int]) -> None:
    whole, part = store.gather(SAMPLES), store.gather(SAMPLES, window=window)
    inside, place = _steps(whole, window)
    np.testing.assert_array_equal(part.time, whole.time[inside])
    lengths = np.diff(whole.starts)
    np.testing.assert_array_equal(np.diff(part.starts), np.clip(lengths, *window) - window[0])
    for name, rows in whole.events.items():
        if store.entry(name).timed:
            _check_rows(part.events[name], rows, inside[rows.step], place[rows.step])
        else:  # of a static modality, every window has all
            _check_rows(part.events[name], rows, np.ones(len(rows), bool), rows.step)
    for name, rows in whole.targets.items():  # of a whole sample, where its last step is
        _check_rows(part.targets[name], rows, inside[rows.step], place[rows.step])


@pytest.mark.parametrize("window", [(0, 3), (3, 6), (6, 100), (50, 60)])
@pytest.mark.parametrize("name", ["vitals", "codes", "visits"])
def test_ahead_is_the_next_step_of_the_modality(store: Store, window: tuple[int, int], name: str) -> None:
    whole = store.gather(SAMPLES, [name], [])
    ahead, more = store.gather_ahead(SAMPLES, name, window)
    rows = whole.events[name]
    for i in range(len(SAMPLES)):
        first, stop = whole.starts[i], whole.starts[i + 1]
        mine = rows.step[(rows.step >= first) & (rows.step < stop)] - first
        later = mine[mine >= window[1]]
        assert more[i] == bool(len(later))
        steps = [*range(min(window[0], stop - first), min(window[1], stop - first)), *later[:1]]
        came = ahead.time[ahead.starts[i] : ahead.starts[i + 1]]
        np.testing.assert_array_equal(came, whole.time[first + np.array(steps, int)])
        keep = np.isin(rows.step, first + np.array(steps, int))
        here = (ahead.events[name].step >= ahead.starts[i]) & (ahead.events[name].step < ahead.starts[i + 1])
        for part, values in rows.arrays.items():
            np.testing.assert_array_equal(ahead.events[name].arrays[part][here], values[keep])
        there = np.array(steps, int)[ahead.events[name].step[here] - ahead.starts[i]]
        np.testing.assert_array_equal(there, rows.step[keep] - first)
