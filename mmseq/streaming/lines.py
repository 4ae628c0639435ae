"""A stream as lines of JSON: events in, predictions out."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmseq.errors import DataError
from mmseq.inference.predict import json_row
from mmseq.streaming.stream import Stream

_KEYS = ({"id", "time", "values"}, {"id", "flush"}, {"id", "forget"})


def answer(stream: Stream, line: bytes) -> str | None:
    """What a stream answers to a line; None where there is nothing to say.

    A line is UTF-8, `{"id": …, "time": …, "values": {modality: raw value}}`, `{"id": …, "flush": true}` or
    `{"id": …, "forget": true}`; the answer to the first two is a row of the prediction table for each step
    that has closed.

    Raises:
        DataError: it is none of these, or the stream refuses it.
    """
    asked = _parse(line)
    if "forget" in asked:
        stream.forget(asked["id"])
        return None
    if "flush" in asked:
        row = stream.flush(asked["id"])
        return None if row is None else json_row(row)
    return "\n".join(map(json_row, stream.rows(**asked))) or None


@contextmanager
def undisturbed() -> Iterator[None]:
    """SIGINT and SIGTERM wait until a line is done: an event is taken in whole, or not at all."""
    signals = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(line.decode())
        json.dumps(asked, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise DataError(f"a line is JSON in UTF-8; {error}; came {line.strip()[:60]!r}") from error
    if not isinstance(asked, dict) or set(asked) not in _KEYS:
        raise DataError(
            'a line is {"id": …, "time": …, "values": {modality: raw value}}, {"id": …, "flush": true} or '
            f'{{"id": …, "forget": true}}; came {line.strip()[:60]!r}'
        )
    for verb in asked.keys() & {"flush", "forget"}:
        if asked[verb] is not True:
            raise DataError(f'"{verb}" is true, or the line leaves it out; came {asked[verb]!r}')
    if not isinstance(asked["id"], str):
        raise DataError(f'"id" is text; came {asked["id"]!r}')
    return asked
