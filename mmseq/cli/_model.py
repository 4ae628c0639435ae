"""The model that a verb is told to use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmseq.model import Model


def open_model(path: Path, plugins: Sequence[Path]) -> Model:
    """The model of a run's folder, or of a model's own; its plugins are loaded first."""
    from mmseq.bundle import found_at
    from mmseq.model import Model
    from mmseq.plugin import load_plugin
    from mmseq.run import Run

    for plugin in plugins:
        load_plugin(plugin)
    if (found_at(path) / "facts.json").is_file():
        return Model.load(path)
    return Run(path, plugins=plugins).model()
