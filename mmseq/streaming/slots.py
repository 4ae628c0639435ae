"""The states of many samples, side by side in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmseq.state import State, flatten, unflatten

_LOOSE = 4_096  # states that may stand outside the table: putting them back costs a copy a tensor


class Slots:
    """A row of each state tensor for each sample; rows are taken and put back without a loop over samples.

    The state of a sample that comes alone is kept as it is, and put into the table when others join it.

    Args:
        empty: the state of one sample of which nothing is known yet.
    """

    def __init__(self, empty: State) -> None:
        self._empty = {path: value.detach().clone() for path, value in flatten(empty).items()}
        self._table = {path: value.clone() for path, value in self._empty.items()}
        self._paths = [tuple(path.split("/")) for path in self._empty]
        self._row: dict[str, int] = {}
        self._free = [0]
        self._loose: dict[str, State] = {}

    def states(self, ids: Sequence[str]) -> State:
        """The state of some samples, a row each; of a new one, that of which nothing is known."""
        if len(ids) == 1:
            return self._alone(ids[0])
        rows = self._rows(ids)
        return unflatten({path: value.index_select(0, rows) for path, value in self._table.items()})

    def keep(self, ids: Sequence[str], state: State) -> None:
        """Puts states back."""
        if len(ids) == 1:
            self._loose[ids[0]] = state
            if len(self._loose) > _LOOSE:
                self._settle()
            return
        rows = self._rows(ids)
        for value, path in zip(self._table.values(), self._paths, strict=True):
            value.index_copy_(0, rows, _at(state, path))

    @torch.inference_mode()
    def forget(self, id: str) -> None:
        """Frees a sample's row; nothing happens where it has none."""
        if id in self._row:
            row = self._row.pop(id)
            self._loose.pop(id, None)
            for path, value in self._table.items():
                value[row] = self._empty[path][0]
            self._free.append(row)

    @torch.inference_mode()
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

    def _alone(self, id: str) -> State:
        if id in self._loose:
            return self._loose[id]
        row = self._take(id)
        return unflatten({path: value[row : row + 1] for path, value in self._table.items()})

    def _rows(self, ids: Iterable[str]) -> Tensor:
        """The rows of samples, on the states' device, complete; new ones get one."""
        self._settle()
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

    def _settle(self) -> None:
        """Puts the loose states into the table."""
        for id, state in self._loose.items():
            row = self._take(id)
            for value, path in zip(self._table.values(), self._paths, strict=True):
                value[row] = _at(state, path)[0]
        self._loose.clear()


def _at(state: Any, path: tuple[str, ...]) -> Tensor:
    for name in path:
        state = state[name]
    return state
