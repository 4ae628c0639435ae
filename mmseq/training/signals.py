"""Being asked to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """The signal that asked this process to stop, once one has come.

    Attributes:
        number: of the signal; None: none came.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def noting(self) -> Iterator[None]:
        """SIGINT and SIGTERM are noted; a second one ends the process at once."""

        def note(number: int, frame: FrameType | None) -> None:
            if self.number is not None:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self.number = number

        try:
            before = {number: signal.signal(number, note) for number in STOPS}
        except ValueError:  # not in the main thread, where signals do not arrive
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
