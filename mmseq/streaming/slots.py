"""The states of many samples, side by side in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmseq.state import State, flatten, unflatten

_VIEWS = 4_096  # samples whose views of the table are kept: making them costs as much as a kernel each


class Slots:
    """A row of each state tensor for each sample; rows are taken and put back without a loop over samples.

    Args:
        empty: the state of one sample of which nothing is known yet.
    """

    def __init__(self, empty: State) -> None:
        self._empty = {path: value.detach().clone() for path, value in flatten(empty).items()}
        self._table = {path: value.clone() for path, value in self._empty.items()}
        self._paths = [tuple(path.split("/")) for path in self._empty]
        self._row: dict[str, int] = {}
        self._free = [0]
        self._views: dict[str, tuple[State, list[Tensor]]] = {}

    def states(self, ids: Sequence[str]) -> State:
        """The state of some samples, a row each; of a new one, that of which nothing is known."""
        if len(ids) == 1:
            return self._view(ids[0])[0]
        rows = self._rows(ids)
        return unflatten({path: value.index_select(0, rows) for path, value in self._table.items()})

    def keep(self, ids: Sequence[str], state: State) -> None:
        """Puts states back."""
        if len(ids) == 1:
            for view, path in zip(self._view(ids[0])[1], self._paths, strict=True):
                view.copy_(_at(state, path))
            return
        rows = self._rows(ids)
        for value, path in zip(self._table.values(), self._paths, strict=True):
            value.index_copy_(0, rows, _at(state, path))

    @torch.inference_mode()
    def forget(self, id: str) -> None:
        """Frees a sample's row; nothing happens where it has none."""
        if id in self._row:
            row = self._row.pop(id)
            self._views.pop(id, None)
            for path, value in self._table.items():
                value[row] = self._empty[path][0]
            self._free.append(row)

    def tensors(self) -> tuple[list[str], dict[str, Tensor]]:
        """Everything, to be saved: the ids, and their rows of each tensor by its path."""
        ids = list(self._row)
        rows = self._rows(ids)
        return ids, {path: value.index_select(0, rows) for path, value in self._table.items()}

    @torch.inference_mode()
    def restore(self, ids: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
        """Takes in what `tensors` gave."""
        rows = self._rows(ids)
        for path, value in self._table.items():
            value.index_copy_(0, rows, tensors[path].to(value))

    def fits(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether tensors are of the paths, shapes and types of these states."""
        return tensors.keys() == self._empty.keys() and all(
            value.shape[1:] == self._empty[path].shape[1:] and value.dtype == self._empty[path].dtype
            for path, value in tensors.items()
        )

    def _rows(self, ids: Iterable[str]) -> Tensor:
        """The rows of samples, on the states' device; new ones get one."""
        device = next(iter(self._table.values())).device
        return torch.tensor([self._take(id) for id in ids], dtype=torch.int64, device=device)

    def _take(self, id: str) -> int:
        row = self._row.get(id)
        if row is None:
            if not self._free:
                self._grow()
            row = self._row[id] = self._free.pop()
        return row

    def _grow(self) -> None:
        """Twice as many rows."""
        size = len(next(iter(self._table.values())))
        for path, value in self._table.items():
            more = self._empty[path].expand(size, *value.shape[1:])
            self._table[path] = torch.cat([value, more])
        self._free = list(range(2 * size - 1, size - 1, -1))
        self._views.clear()

    def _view(self, id: str) -> tuple[State, list[Tensor]]:
        """A sample's own part of the table: as a state, and by path."""
        row = self._take(id)
        if id not in self._views:
            if len(self._views) >= _VIEWS:
                self._views.clear()
            views = {path: value[row : row + 1] for path, value in self._table.items()}
            self._views[id] = unflatten(views), list(views.values())
        return self._views[id]


def _at(state: Any, path: tuple[str, ...]) -> Tensor:
    for name in path:
        state = state[name]
    return state
