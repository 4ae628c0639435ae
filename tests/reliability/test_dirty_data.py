"""Dirty tables are stored as what they mean, or refused where they are wrong; nothing is wrong in silence.

Each recipe makes clean random tables dirty in one way, and says what must hold. What a store must hold is
worked out by `dirty_oracle`, in Python lists, from what the tables mean.

Caught, when it was planted: rows counted from another number; blank lines that count as rows; any word taken
for missing; markers that are not looked at; an offset of a time that is dropped; 7.0 and 7 as two ids; spaces
trimmed off words; times beyond 2^53 that pass; averaged cells that are not counted.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dirty_kept import KEPT
from dirty_oracle import Oracle
from dirty_refused import REFUSED
from dirty_tables import Kept, Refused, Work

import mmseq
from mmseq.data import prepare
from mmseq.errors import DataError
from mmseq.store import Store

RECIPES = KEPT | REFUSED
TRAINED = {"class_that_only_the_test_split_has"}  # takes seconds to begin
SEEDS = 25


def test_recipes_are_many() -> None:
    assert len(RECIPES) == len(KEPT) + len(REFUSED) >= 40


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name not in TRAINED])
def test_dirty_data(recipe: str, tmp_path: Path) -> None:
    check(recipe, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_dirty_data_of_every_seed(recipe: str, tmp_path: Path) -> None:
    failed = {}
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            check(recipe, seed, folder)
        except Exception as error:
            failed[seed] = error
        shutil.rmtree(folder)
    assert not failed


def check(recipe: str, seed: int, folder: Path) -> None:
    work = Work.create(seed, folder)
    wanted = RECIPES[recipe](work)
    assert given(work) != given(Work.create(seed, folder)), "the recipe made nothing dirty"
    data = work.write()
    before = sorted(folder.rglob("*"))
    if isinstance(wanted, Refused) and not wanted.by_training:
        with pytest.raises(DataError) as caught:
            prepare(work.experiment(), data)
        check_refused(str(caught.value), wanted)
        assert sorted(folder.rglob("*")) == before
        return
    store = prepare(work.experiment(), data)
    check_kept(work, store, wanted)
    if isinstance(wanted, Refused):
        with pytest.raises(DataError) as caught:
            mmseq.train(work.experiment(), data=data, output=folder / "runs")
        check_refused(str(caught.value), wanted)
        assert not (folder / "runs").exists()


def given(work: Work) -> list[object]:
    """All that a recipe may change."""
    texts = {table: work.files.get(f"{table}.csv", work.csv(table).encode()) for table in work.rows}
    return [work.form, work.config, work.source, work.cut, work.renamed, texts]


def check_refused(message: str, wanted: Refused) -> None:
    assert message.startswith(wanted.begins)
    assert wanted.said in message
    assert len(message) < 1_000


def check_kept(work: Work, store: Store, wanted: Kept | Refused) -> None:
    oracle = Oracle(work.truth, "until" in work.config, work.clock)
    oracle.check(store, "split" in work.config, "group" in work.source)
    for name, (why, n) in (wanted.remarks if isinstance(wanted, Kept) else {}).items():
        assert oracle.remarks[name][why] >= n, "the recipe made nothing dirty"
