"""Being asked to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGINT and SIGTERM go to a handler; outside the main thread, where signals do not arrive, to none."""
    try:
        before = {number: signal.signal(number, handler) for number in STOPS}
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


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

        with handling(note):
            yield
