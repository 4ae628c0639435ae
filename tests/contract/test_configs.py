"""Every configuration that is shipped loads, and comes back from what is written of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseq.config.load import dump_config, load_config

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))


def test_there_are_some() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_loads_and_comes_back(path: Path, tmp_path: Path) -> None:
    experiment = load_config(path)
    assert experiment.name == path.stem
    (tmp_path / "config.resolved.yaml").write_text(dump_config(experiment))
    assert load_config(tmp_path / "config.resolved.yaml") == experiment


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_opens_with_the_command_that_runs_it(path: Path) -> None:
    launcher = "srun " if load_config(path).training.nodes > 1 else ""
    assert path.read_text().startswith(f"# {launcher}mmseq train --config configs/{path.name}\n")
