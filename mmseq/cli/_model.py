"""The model that a verb is told to use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmseq.model import Model


def open_model(path: Path, plugins: Sequence[Path]) -> Model:
    """The model of a run's folder, or of a model's own; its plugins are loaded first."""
    from mmseq.plugin import load_plugin
    from mmseq.run import model_of

    for plugin in plugins:
        load_plugin(plugin)
    return model_of(path, plugins)
