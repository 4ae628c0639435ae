"""A good configuration, to be changed a little."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = """\
name: flights
data:
  source: {kind: tables, root: ../tables, group: week}
  split: {train: 0.7, validation: 0.15, test: 0.15}
timeline: {unit: minutes}
modalities:
  flights: {kind: numeric, table: flights.csv, time: minute, columns: [delay, distance]}
  carrier: {kind: category, table: flights.csv, time: minute, column: carrier}
  calendar: {kind: category, table: samples.csv, columns: [weekday, month]}
fusion: {kind: gated, width: 64}
core: {kind: lstm, hidden: 128}
tasks:
  level: {kind: classification, table: labels.csv, column: level}
  delay: {kind: regression, table: labels.csv, column: mean_delay}
  next: {kind: next_step, modality: flights, weight: 0.2}
balance: {kind: uncertainty}
training: {epochs: 20, batch: {samples: 32}, optimizer: {lr: 3e-3}, monitor: level/f1_macro}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the good configuration with some texts replaced, each of which must be there."""

    def write(*changes: tuple[str, str]) -> Path:
        content = GOOD
        for old, new in changes:
            assert len(re.findall(re.escape(old), content)) == 1, old
            content = content.replace(old, new)
        path = tmp_path / "configs" / "run.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return path

    return write
