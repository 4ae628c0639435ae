"""What can go wrong for a user, each with the exit code that the command line ends with."""

from __future__ import annotations


class MmseqError(Exception):
    """A problem that a user can solve: shown without a traceback.

    The message reads `where: what rule; what came; what to do`.
    """

    exit_code = 1


class ConfigError(MmseqError):
    """The configuration breaks a rule."""

    exit_code = 2


class DataError(MmseqError):
    """The data break a rule; names file, column and row where there are any."""

    exit_code = 2


class PluginError(MmseqError):
    """A component is missing, broken or registered twice."""

    exit_code = 3


class ComponentError(MmseqError):
    """A plugin's component failed while it was used."""


class CheckpointError(MmseqError):
    """A bundle, checkpoint or store is incomplete, altered or of another version."""


class NumericError(MmseqError):
    """A loss, gradient or weight is not a finite number."""


class MemoryShort(MmseqError):
    """A batch needs more memory than there is."""


class ProcessLost(MmseqError):
    """Another process of the run failed.

    Args:
        message: what is known of it; empty where that process tells it itself.
        exit_code: what it ended with.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupted(MmseqError):
    """Training was asked to stop, and wrote a checkpoint.

    Args:
        message: where the checkpoint is and how to go on.
        signal: number of the signal that asked.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal
