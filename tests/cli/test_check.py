"""`mmseq check`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_a_good_configuration_is_summed_up(mmseq: Run, run_yaml: Path) -> None:
    outcome = mmseq("check", "-c", run_yaml, "--set", "tasks.level.weight=0.5")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "flights: the configuration is good",
        "  modality  flights: numeric from flights.csv, by minute, encoder linear",
        "  modality  calendar: category from samples.csv, static, encoder embedding",
        "  model     fusion concat, core lstm, readout last",
        "  task      level: classification, weight 0.5",
    ]
    assert sorted(path.name for path in run_yaml.parent.iterdir()) == ["run.yaml"]


def test_a_bad_one_ends_with_2_and_every_problem(mmseq: Run, run_yaml: Path) -> None:
    run_yaml.write_text(
        run_yaml.read_text().replace("name: flights\n", "").replace("column: month", "colum: a")
    )
    outcome = mmseq("check", "-c", run_yaml, "--set", "training.epochs=x")
    assert (outcome.code, outcome.out) == (2, "")
    heads = [line for line in outcome.err.splitlines() if not line.startswith("    ")]
    assert [line.split(": ")[1] for line in heads] == ["name", "modalities.calendar.colum", "training.epochs"]


def test_a_missing_file_ends_with_2(mmseq: Run, tmp_path: Path) -> None:
    outcome = mmseq("check", "-c", tmp_path / "none.yaml")
    assert outcome.code == 2
    assert (
        outcome.err == f"{tmp_path}/none.yaml: cannot be read: No such file or directory; name a YAML file\n"
    )


def test_a_broken_plugin_ends_with_3(mmseq: Run, run_yaml: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text("import nothing_of_that_name\n")
    outcome = mmseq("check", "-c", run_yaml, "--plugin", plugin)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == (
        f"plugin {plugin}:1: importing failed with ModuleNotFoundError: "
        "No module named 'nothing_of_that_name'; mend the file\n"
    )
