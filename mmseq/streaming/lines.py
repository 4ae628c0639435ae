"""A stream as lines of JSON: events in, predictions out."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

from mmseq.errors import DataError
from mmseq.streaming.stream import Stream

_KEYS = ({"id", "time", "values"}, {"id", "flush"}, {"id", "forget"})


def answer(stream: Stream, line: str) -> str | None:
    """What a stream answers to a line; None where there is nothing to say.

    A line is `{"id": …, "time": …, "values": {modality: raw value}}`, `{"id": …, "flush": true}` or
    `{"id": …, "forget": true}`; the answer to the first two is a row of the prediction table.

    Raises:
        DataError: it is none of these, or the stream refuses it.
    """
    asked = _parse(line)
    if "forget" in asked:
        stream.forget(asked["id"])
        return None
    row = (
        stream.flush(asked["id"])
        if "flush" in asked
        else stream.push(asked["id"], asked["time"], asked["values"])
    )
    return (
        None
        if row is None
        else json.dumps({name: _json(value) for name, value in row.items()}, ensure_ascii=False)
    )


def _parse(line: str) -> dict[str, Any]:
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"a line is JSON; {error}; came {line.strip()[:60]!r}") from error
    if not isinstance(asked, dict) or set(asked) not in _KEYS:
        raise DataError(
            'a line is {"id": …, "time": …, "values": {modality: raw value}}, {"id": …, "flush": true} or '
            f'{{"id": …, "forget": true}}; came {line.strip()[:60]!r}'
        )
    if not isinstance(asked["id"], str):
        raise DataError(f'"id" is text; came {asked["id"]!r}')
    return asked


def _json(value: Any) -> Any:
    """JSON has neither infinity, nor NaN, nor dates."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return None if isinstance(value, float) and not math.isfinite(value) else value
