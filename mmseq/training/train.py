"""From an experiment to a trained model in a run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from rich.console import Console

from mmseq.bundle import dump_json
from mmseq.config.experiment import Experiment
from mmseq.config.load import load_config
from mmseq.data import IN_MEMORY, prepare
from mmseq.disk import writing
from mmseq.errors import ConfigError, MemoryShort
from mmseq.inference.evaluate import score
from mmseq.launch import end_with_launcher, launch
from mmseq.place import launched
from mmseq.processes import together
from mmseq.run import Run, gone_on_error
from mmseq.split import split_ids
from mmseq.training.checkpoints import step_name
from mmseq.training.resume import changes, check_same
from mmseq.training.sitting import Sitting
from mmseq.training.tables import plan_tables, result_table
from mmseq.training.trainer import check_devices, device_of, set_up_torch


def train(
    experiment: Experiment | str | Path | Mapping[str, Any],
    *,
    data: Any = None,
    output: Path = Path("runs"),
    resume: Run | None = None,
    checkpoint: str | None = None,
    source: str | None = None,
    console: Console | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> Run:
    """Trains, and leaves everything in a run's folder.

    Under torchrun or srun every process makes this call. Without them, where `training.devices` asks for
    several processes, they are started here as `mmseq train --resume`, and this call waits for them.

    Args:
        experiment: what to run, or what `load_config` makes it from.
        data: tables in memory, for a source of kind `memory`.
        output: folder of runs.
        resume: go on with this run instead of starting one.
        checkpoint: name of the run's checkpoint to go on from; None: the latest.
        source: the text of the user's YAML, kept in the run.
        console: where to show tables and progress; None: show nothing.
        callbacks: Lightning callbacks of your own.

    Raises:
        ConfigError, DataError: config or data break a rule; no run folder is left behind. Or another process
            trains in the run already.
        CheckpointError: the checkpoint to go on from is not whole.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
        NumericError: numbers stayed bad for too many steps in a row.
        MemoryShort: a batch does not fit into memory.
        ProcessLost: another process failed.
    """
    if not isinstance(experiment, Experiment):
        experiment = load_config(experiment)
    if resume is not None:
        check_same(resume.experiment, experiment)
        _check_unfinished(resume)
    console = console or Console(quiet=True)
    n_launched = _n_to_launch(experiment, data, callbacks)
    with together() as processes, ExitStack() as held:
        works = processes.leads and not n_launched  # else one of those that are started here does
        if not processes.leads:
            console = Console(quiet=True)
        if works and resume is not None:  # before its checkpoint is read, which another may still replace
            held.enter_context(resume.at_work())
        set_up_torch(experiment.training, processes)
        store = processes.first(lambda: prepare(experiment, data))

        def open_sitting(run: Run | None, name: str | None) -> Sitting:
            return Sitting(experiment, store, run, data, processes=processes, checkpoint=name)

        sitting = open_sitting(resume, checkpoint) if processes.leads else None
        if resume is None and sitting is not None:
            resume = _begin(sitting, output, source)
            if works:
                held.enter_context(resume.at_work())
        # All go on from the checkpoint that the leader found, whatever a slow network folder shows.
        found = None if sitting is None else step_name(sitting.progress.step)
        run, name = processes.tell((resume, found))
        assert run is not None
        if n_launched:
            _launch(run, experiment, checkpoint, n_launched)
            return run
        sitting = sitting or open_sitting(run, name)
        _go_on(sitting, run, console, callbacks)
    return run


def _n_to_launch(experiment: Experiment, data: Any, callbacks: Sequence[pl.Callback]) -> int:
    """How many processes are to be started here; 0: this one trains, alone or with those that it meets.

    Raises:
        ConfigError: so many cannot be had, or cannot be started from here.
    """
    training = experiment.training
    wanted, place = (training.devices or 1) * training.nodes, launched()
    if place is not None:
        asked, there = (training.devices, training.nodes), (place.local_size, place.nodes)
        if training.devices is not None and asked != there:
            raise ConfigError(
                f"training.devices: {training.devices} on {training.nodes} nodes are asked for; the launcher "
                f"started {place.local_size} on {place.nodes}; make them agree, or leave `devices` out"
            )
        check_devices(training, place.local_size)
        return 0
    if training.nodes > 1:
        raise ConfigError(
            f"training.nodes: {training.nodes} machines need a launcher on each: `srun mmseq train …`, or "
            f"`torchrun --nnodes {training.nodes} --nproc-per-node {training.devices or 1} "
            "--rdzv-backend c10d --rdzv-endpoint HOST:PORT -m mmseq train …`"
        )
    check_devices(training, wanted)
    if wanted == 1:
        return 0
    if data is not None or experiment.data.source.kind == IN_MEMORY or callbacks:
        raise ConfigError(
            "training.devices: tables in memory and callbacks do not reach other processes; start your "
            f"script with `torchrun --nproc-per-node {wanted}`, or train in one process"
        )
    return wanted


def _launch(run: Run, experiment: Experiment, checkpoint: str | None, n: int) -> None:
    arguments = ["train", "--resume", str(run.path)]
    if checkpoint is not None:
        arguments += ["--from", checkpoint]
    for plugin in run.plugins:
        arguments += ["--plugin", str(plugin)]
    for change in changes(experiment):
        arguments += ["--set", change]
    launch(arguments, n)


def _check_unfinished(run: Run) -> None:
    if run.is_finished:
        raise ConfigError(
            f"{run.path}: training has ended already; nothing is left to do: use the run as it is, "
            "or start another with --config"
        )


def _begin(sitting: Sitting, output: Path, source: str | None) -> Run:
    """A new run's folder, with the checkpoint of step 0; none where the disk has no room for that."""
    run = Run.create(Path(output), sitting.experiment, source)
    with gone_on_error(run.path):
        with writing(run.splits):
            run.splits.write_bytes(dump_json(split_ids(sitting.splits, sitting.store)))
        sitting.begin(run)
    return run


@contextmanager
def _telling_what_is_left(run: Run) -> Iterator[None]:
    """Says of memory that ran out only now that nothing of training is lost."""
    try:
        yield
    except MemoryShort as error:
        again = run.command("train --resume")
        raise MemoryShort(f"{error}; training itself has ended: `{again}` does what is left") from error


def _go_on(sitting: Sitting, run: Run, console: Console, callbacks: Sequence[pl.Callback]) -> None:
    """Trains to the end, and leaves the model and how good it is."""
    end_with_launcher()
    processes, store = sitting.processes, sitting.store
    for table in plan_tables(sitting.model, store, sitting.splits, device_of(sitting.config), processes.size):
        console.print(table)
    sitting.fit(run, console, callbacks)
    validation = sitting.splits["validation"]
    if len(validation):
        with _telling_what_is_left(run):
            report = score(run, sitting.model, store, validation, "validation", processes)
        console.print(result_table(report, "validation"))
    if processes.leads:
        sitting.model.save(run.bundle)  # last: with it a run has ended
    processes.barrier()
    following = f"run folder: {run.path}"
    if len(sitting.splits["test"]):
        following += f"\nnext: {run.command('evaluate')} --split test"
    console.print(following, markup=False, highlight=False, soft_wrap=True)
