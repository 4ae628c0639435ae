"""The textbook run from Python arrays: `python examples/textbook.py`."""

from __future__ import annotations

from pathlib import Path

from textbook_tables import generate

import mmseq

signal, label = generate()
data = mmseq.padded({"signal": signal}, labels={"label": label})
config = Path(__file__).parents[1] / "configs" / "textbook.yaml"
source = ["data.source={kind: memory}", "modalities.signal.table=signal", "tasks.label.table=labels"]
experiment = mmseq.load_config(config, source)
run = mmseq.train(experiment, data=data)
print(run.read_report("validation")["label"]["metrics"])
print(run.model().predict(data).slice(0, 3).to_pylist())
