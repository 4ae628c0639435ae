"""The single-file plugins at the top of the project are trained with, as a user would."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from mmseq.cli.main import main
from mmseq.kit.offers import offered_by

PLUGINS = Path(__file__).parents[2] / "plugins"

RUN = """\
name: run
plugins: [{plugins}/fourier.py, {plugins}/focal.py]
data: {{source: {{kind: tables, root: ., id: id}}, split: {{train: 0.5, validation: 0.25, test: 0.25}}}}
modalities:
  wave:
    kind: numeric
    table: wave.csv
    time: time
    columns: [x]
    encoder: {{kind: fourier, n_frequencies: 3}}
fusion: {{kind: concat, width: 8}}
core: {{kind: lstm, hidden: 8}}
tasks: {{high: {{kind: focal, table: labels.csv, column: high, gamma: 3}}}}
training: {{epochs: 2, batch: {{samples: 4}}, monitor: high/auroc}}
"""


@pytest.fixture
def run_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    generator = random.Random(0)
    with open("wave.csv", "w", newline="") as wave, open("labels.csv", "w", newline="") as labels:
        events, targets = csv.writer(wave), csv.writer(labels)
        events.writerow(("id", "time", "x"))
        targets.writerow(("id", "high"))
        for sample in range(24):
            values = [generator.gauss(0, 1) for _ in range(generator.randrange(1, 9))]
            events.writerows((sample, time, x) for time, x in enumerate(values))
            targets.writerow((sample, int(sum(values) > 0)))
    path = tmp_path / "run.yaml"
    path.write_text(RUN.format(plugins=PLUGINS))
    return path


def test_train_evaluate_and_predict_with_plugins(run_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["train", "--config", str(run_yaml)],
        ["evaluate", "runs/run", "--split", "test"],
        ["predict", "runs/run", "--input", ".", "--output", "out.csv"],
    ):
        code = main(command)
        assert code == 0, capsys.readouterr().err[-2000:]
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert len(rows) == 24
    assert len({float(row["high.high"]) for row in rows}) > 1


TRACKS = """\
name: run
plugins: [{plugins}/gps.py, {plugins}/hazard.py]
data: {{source: {{kind: tables, root: ., id: id}}, split: {{train: 0.5, validation: 0.25, test: 0.25}}}}
modalities:
  track: {{kind: gps, table: track.csv, time: time}}
core: {{kind: gru, hidden: 8}}
tasks:
  arrival: {{kind: hazard, table: arrival.csv, duration: hours, event: arrived, bins: 4}}
training: {{epochs: 30, batch: {{samples: 8}}, optimizer: {{lr: 1e-2}}, monitor: arrival/c_index}}
"""


def test_a_track_tells_when_it_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever is faster arrives sooner, and some are lost before; the shares left fall with time."""
    monkeypatch.chdir(tmp_path)
    generator = random.Random(1)
    with open("track.csv", "w", newline="") as track, open("arrival.csv", "w", newline="") as arrival:
        fixes, ends = csv.writer(track), csv.writer(arrival)
        fixes.writerow(("id", "time", "lat", "lon"))
        ends.writerow(("id", "hours", "arrived"))
        for sample in range(80):
            speed, lat = generator.uniform(0.05, 1), generator.uniform(-1, 1)
            for time in range(generator.randrange(3, 8)):
                missing = generator.random() < 0.1
                fixes.writerow((sample, time, "" if missing else lat, "" if missing else time * speed))
            hours, lost = 10 / speed, generator.uniform(5, 200)
            ends.writerow((sample, round(min(hours, lost), 3), int(hours <= lost)))
    (tmp_path / "run.yaml").write_text(TRACKS.format(plugins=PLUGINS))
    assert main(["train", "--config", "run.yaml"]) == 0, capsys.readouterr().err[-2000:]
    assert main(["evaluate", "runs/run", "--split", "test"]) == 0
    scores = json.loads(Path("runs/run/metrics/test.json").read_text())
    assert scores["arrival"]["metrics"]["c_index"] > 0.8
    assert main(["predict", "runs/run", "--input", ".", "--output", "out.csv"]) == 0
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    left = [[float(row[name]) for name in row if name.startswith("arrival.s_")] for row in rows]
    assert all(len(one) == 4 and sorted(one, reverse=True) == one for one in left)


LINES = {"modalities": 60, "heads": 30, "encoders": 30}


@pytest.mark.parametrize("path", sorted(PLUGINS.glob("*.py")), ids=lambda path: path.stem)
def test_a_plugin_has_few_lines(path: Path) -> None:
    (offered,) = offered_by(str(path))
    assert len(path.read_text().splitlines()) <= LINES[offered.family]
