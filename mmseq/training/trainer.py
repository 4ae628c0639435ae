"""Lightning's Trainer, with everything off that a run keeps by itself."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy

from mmseq.config.training import TrainingConfig
from mmseq.errors import ConfigError
from mmseq.processes import Processes


def device_of(config: TrainingConfig) -> str:
    """What computes: cpu or cuda. Raises ConfigError where it is not there."""
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("training.accelerator: gpu needs a CUDA device; torch finds none; use auto or cpu")
    return "cpu" if config.accelerator == "cpu" or not torch.cuda.is_available() else "cuda"


def check_devices(config: TrainingConfig, n: int) -> None:
    """Raises ConfigError where a machine has fewer GPUs than processes."""
    if device_of(config) == "cuda" and n > torch.cuda.device_count():
        raise ConfigError(
            f"training.devices: {n} processes on a machine need as many GPUs; torch finds "
            f"{torch.cuda.device_count()}; start fewer, or set training.accelerator: cpu"
        )


def set_up_torch(config: TrainingConfig, processes: Processes) -> None:
    """Has each process of a machine use an equal part of its cores, unless the config says how many.

    And a GPU add in the same order each time, unless the config says not to, and its float32 be float32:
    cuDNN would round the inputs of its products to 10 bits (TF32).
    """
    if device_of(config) == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as torch asks for
        torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
        torch.backends.cudnn.allow_tf32 = False
    if config.threads:
        torch.set_num_threads(config.threads)
    elif processes.size > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes.place.local_size))


def build_trainer(
    config: TrainingConfig, first_epoch: int, callbacks: list[pl.Callback], processes: Processes
) -> pl.Trainer:
    """A trainer for the epochs that are left, in as many processes as have met."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # it advertises at each start
    strategy: Any = "auto"
    if processes.size > 1:
        # Buffers are facts, which never change; to send them around would also hang an uneven validation.
        strategy = DDPStrategy(cluster_environment=Met(processes), broadcast_buffers=False)
    trainer = pl.Trainer(
        accelerator="gpu" if device_of(config) == "cuda" else "cpu",
        devices=processes.place.local_size,
        num_nodes=processes.place.nodes,
        strategy=strategy,
        max_epochs=config.all_epochs - first_epoch,
        accumulate_grad_batches=config.accumulation,
        callbacks=callbacks,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Its handler of SIGTERM talks to the other processes at once, whatever they are amid of: all hang.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    # And it asks the others for a signal at each batch; `Keeper` does so where losses are summed anyway.
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    return trainer


class Met(ClusterEnvironment):
    """Tells Lightning of processes that have met already."""

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self.place = processes.place

    creates_processes_externally = True
    main_address, main_port = "", 0  # nobody has to find anybody any more

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.place.size

    def set_world_size(self, size: int) -> None:
        assert size == self.place.size

    def global_rank(self) -> int:
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        assert rank == self.place.rank

    def local_rank(self) -> int:
        return self.place.local_rank

    def node_rank(self) -> int:
        return self.place.node
