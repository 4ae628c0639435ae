"""The folder of one run: what was asked, what happened, what came out."""

from __future__ import annotations

import csv
import fcntl
import json
import math
import platform
import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmseq.bundle import dump_json, found_at
from mmseq.config.experiment import Experiment
from mmseq.disk import replacing, writing
from mmseq.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from mmseq.model import Model

_METRICS = ("step", "epoch", "split", "task", "metric", "value")
_ENVIRONMENT = "environment.json"
_LOCKED = _ENVIRONMENT  # which nobody reads here: to close a file is to let its lock go
_PACKAGES = ("mmseq", "torch", "pytorch-lightning", "torchmetrics", "duckdb", "numpy", "pydantic")


class Run:
    """A run's folder.

    Args:
        path: the folder; `Run.create` makes a new one.
        plugins: single-file plugins that its components come from; the folder itself imports nothing.

    Raises:
        ConfigError: it is not a run's folder.
    """

    def __init__(self, path: str | Path, plugins: Iterable[str | Path] = ()) -> None:
        if not isinstance(path, str | Path):
            raise ConfigError(f"run: must be a run, or the path of its folder; came {type(path).__name__}")
        self.path, self.plugins = Path(path), list(plugins)
        if not (self.path / "config.resolved.yaml").is_file():
            raise ConfigError(
                f"{self.path}: needs the folder of a run, with config.resolved.yaml; `mmseq train` makes one"
            )

    @classmethod
    def of(cls, run: Run | str | Path) -> Run:
        """A run, or its folder. Raises ConfigError for anything else."""
        return run if isinstance(run, Run) else cls(run)

    @classmethod
    def create(cls, root: Path, experiment: Experiment, source: str | None = None) -> Run:
        """A new folder `root/name`, or `root/name-2` and so on where that is taken.

        Args:
            root: folder of runs.
            experiment: what will run.
            source: the text of the user's YAML.

        Raises:
            ConfigError: the folder cannot be made.
            CheckpointError: it cannot be filled, as on a full disk; it is gone again.
        """
        from mmseq.config.load import dump_config

        path, n = root / experiment.name, 1
        while True:
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                n += 1
                path = root / f"{experiment.name}-{n}"
            except OSError as error:
                raise ConfigError(
                    f"{path}: a run's folder cannot be made there: {error.strerror}; name another by --output"
                ) from error
        resolved = dump_config(experiment)
        with gone_on_error(path), writing(path):
            for name in ("checkpoints", "metrics", "predictions"):
                (path / name).mkdir()
            (path / "config.resolved.yaml").write_text(resolved)
            (path / "config.yaml").write_text(resolved if source is None else source)
            (path / _ENVIRONMENT).write_bytes(dump_json(_environment()))
        return cls(path, experiment.plugins)

    @property
    def experiment(self) -> Experiment:
        return self.changed(())

    def changed(self, overrides: Sequence[str]) -> Experiment:
        """Its experiment with some values changed, `a.b=value` each."""
        from mmseq.config.load import load_config

        return load_config(self.path / "config.resolved.yaml", overrides, self.plugins, import_plugins=False)

    def command(self, verb: str) -> str:
        """The command line of a verb on this run, as it can be typed."""
        plugins = (word for plugin in self.plugins for word in ("--plugin", str(plugin)))
        return shlex.join(["mmseq", *verb.split(), str(self.path), *plugins])

    @property
    def splits(self) -> Path:
        """The ids of each split, as training divided them."""
        return self.path / "splits.json"

    @property
    def bundle(self) -> Path:
        """The folder of the model that was trained."""
        return self.path / "model"

    @property
    def is_finished(self) -> bool:
        """Whether training has ended, which leaves the model as its last."""
        return found_at(self.bundle).is_dir()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Nobody else trains in this folder meanwhile, where the file system has locks.

        The system takes the lock back from who is killed.

        Raises:
            ConfigError: somebody trains there.
            CheckpointError: the folder cannot be written to.
        """
        path = self.path / _LOCKED
        with writing(path):
            file = path.open("ab")
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which workers, being forks, do not inherit
            except (BlockingIOError, PermissionError):
                raise ConfigError(
                    f"{self.path}: another process trains there; wait until it has ended, or start another "
                    "run with --config"
                ) from None
            except OSError:
                pass  # it has none
            yield

    def model(self, *, with_calibration: bool = True) -> Model:
        """The model that was trained, as of its best epoch; see `Model.load`."""
        from mmseq.model import Model
        from mmseq.plugin import load_plugin

        for plugin in self.plugins:
            load_plugin(Path(plugin))
        if not self.is_finished:
            raise ConfigError(
                f"{self.path}: has no model yet: training did not end; "
                f"go on with `{self.command('train --resume')}`"
            )
        return Model.load(self.bundle, with_calibration=with_calibration)

    def log(self, line: str) -> None:
        """Adds a line to log.txt. Raises CheckpointError where the disk refuses."""
        path = self.path / "log.txt"
        with writing(path), path.open("a") as stream:
            stream.write(line + "\n")

    def add_metrics(self, step: int, epoch: int, split: str, values: dict[str, dict[str, float]]) -> None:
        """Adds rows to metrics.csv: `values` by task, then by metric.

        Raises:
            CheckpointError: the disk refuses.
        """
        path = self.path / "metrics.csv"
        new = not path.exists() or not path.stat().st_size
        with writing(path), path.open("a", newline="") as stream:
            rows = csv.writer(stream)
            if new:
                rows.writerow(_METRICS)
            for task, metrics in values.items():
                for metric, value in metrics.items():
                    rows.writerow((step, epoch, split, task, metric, f"{value:.8g}"))

    def drop_metrics_after(self, step: int) -> None:
        """Drops the rows of metrics.csv that are later than a checkpoint: training will write them again.

        Raises:
            CheckpointError: the disk refuses.
        """
        path = self.path / "metrics.csv"
        if not path.exists():
            return
        with path.open(newline="") as stream:
            header, *rows = [*csv.reader(stream)] or [[]]
        if tuple(header) != _METRICS:  # cut short in its first line
            with writing(path):
                path.unlink()
            return
        # A row that was cut short by a kill is dropped, too.
        kept = [row for row in rows if len(row) == len(header) and int(row[0]) <= step]
        with writing(path), replacing(path) as aside, aside.open("w", newline="") as stream:
            csv.writer(stream).writerows([header, *kept])

    def write_report(self, split: str, report: dict[str, Any]) -> Path:
        """Writes metrics/<split>.json; a metric that has no value, or none that is finite, is null.

        Raises:
            CheckpointError: the disk refuses; an earlier one stays.
        """
        path = self.path / "metrics" / f"{split}.json"
        with writing(path), replacing(path) as aside:
            aside.write_bytes(dump_json(_without_nan(report)))
        return path

    def read_report(self, split: str) -> dict[str, Any]:
        return json.loads((self.path / "metrics" / f"{split}.json").read_bytes())

    def write_predictions(self, split: str, table: pa.Table) -> Path:
        """Writes predictions/<split>.parquet. Raises CheckpointError where the disk refuses."""
        import pyarrow.parquet as pq

        path = self.path / "predictions" / f"{split}.parquet"
        with writing(path), replacing(path) as aside:
            pq.write_table(table, aside)
        return path


@contextmanager
def gone_on_error(folder: Path) -> Iterator[None]:
    """A new folder is removed again where what it is for cannot be written."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def model_of(model: Model | Run | str | Path, plugins: Sequence[str | Path] = ()) -> Model:
    """A model, or that of a run, or of a folder, which is a run's or a model's own.

    Args:
        model: any of these.
        plugins: single-file plugins that a run in a folder needs.

    Raises:
        ConfigError: it is none of them, or the run has no model yet.
        CheckpointError: the model cannot be read.
    """
    from mmseq.model import Model

    if isinstance(model, str | Path) and (found_at(Path(model)) / "facts.json").is_file():
        return Model.load(model)
    if isinstance(model, Model):
        return model
    return (model if isinstance(model, Run) else Run(model, plugins)).model()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _environment() -> dict[str, Any]:
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "packages": {name: version(name) for name in _PACKAGES},
    }
