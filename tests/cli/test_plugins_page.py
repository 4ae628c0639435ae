"""What `docs/plugins.md` shows is so: its commands run, its YAML is read, its code is of the examples."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mmseq.heads import heads
from mmseq.modalities import modalities
from mmseq.plugin import load_plugin

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text()
RUN = "import sys; from mmseq.cli.main import main; sys.exit(next((a for a in {lines} if main(a)), 0) and 1)"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_its_commands_run(tmp_path: Path) -> None:
    """In a folder of their own, in order, since one writes what another checks."""
    (tmp_path / "plugins").symlink_to(ROOT / "plugins")
    lines = [shlex.split(line)[1:] for block in _blocks("bash") for line in block.splitlines()]
    assert len(lines) >= 7
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(lines=lines)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "mmseq-pulse" / "pyproject.toml").is_file()


@pytest.mark.usefixtures("forgets_plugins")
@pytest.mark.parametrize("block", _blocks("yaml"), ids=lambda block: block.split()[1])
def test_its_yaml_is_read(block: str) -> None:
    told = yaml.safe_load(block)
    for path in told["plugins"]:
        load_plugin(ROOT / path.removeprefix("../"))
    parsed = [modalities.parse(config) for config in told.get("modalities", {}).values()]
    parsed += [heads.parse(config) for config in told.get("tasks", {}).values()]
    assert parsed


@pytest.mark.parametrize("block", [*_blocks("python"), *_blocks("py")], ids=lambda block: block.split()[1])
def test_its_code_is_that_of_an_example(block: str) -> None:
    assert any(block.strip() in path.read_text() for path in (ROOT / "plugins").glob("*.py"))
