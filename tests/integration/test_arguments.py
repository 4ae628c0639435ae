"""Arguments of a wrong type, from Python: each is told as an error of the project, none as Python's own.

Unit tests check types themselves, before a function could.
"""

from __future__ import annotations

from typing import Any

import pytest

import mmseq
from mmseq.errors import ConfigError, DataError


@pytest.mark.parametrize("run", [5, None, {}])
@pytest.mark.parametrize("call", [mmseq.predict, mmseq.evaluate, mmseq.impute, mmseq.generate, mmseq.Stream])
def test_what_is_no_run(run: Any, call: Any) -> None:
    """Caught: AttributeErrors of whatever came."""
    rest = [] if call is mmseq.Stream else ["test"]
    options = {"steps": 1} if call is mmseq.generate else {}
    with pytest.raises(ConfigError, match=r"must be a run, or the path of its folder; came (int|None|dict)"):
        call(run, *rest, **options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"coverage": "0.9"}, "coverage must be a number; '0.9' came, a str"),
        ({"coverage": None}, "coverage must be a number; None came, a NoneType"),
        ({"coverage": True}, "coverage must be a number; True came, a bool"),
        ({"method": 5}, "method must be one of temperature, vector; 5 came"),
        ({"by": None}, "by must be one of sample, group; None came"),
    ],
)
def test_calibrate(toy_run: mmseq.Run, options: dict[str, Any], told: str) -> None:
    """Caught: '0.9' was compared with 0."""
    with pytest.raises(ConfigError, match=told):
        mmseq.calibrate(toy_run, **options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"horizon": "2h"}, "horizon, in the timeline's unit, must be a number; '2h' came, a str"),
        ({"steps": 1, "n": "2"}, "n must be a whole number; '2' came, a str"),
        ({"steps": 1.5}, "steps must be a whole number; 1.5 came, a float"),
        ({"steps": 1, "temperature": None}, "temperature must be a number; None came"),
        ({"steps": 1, "seed": "a"}, "seed must be a whole number; 'a' came"),
        ({"horizon": 1.0, "quantiles": 0.5}, "quantiles must be a list of numbers; 0.5 came"),
        ({"horizon": 1.0, "quantiles": ["half"]}, "quantiles: each must be a number; 'half' came"),
        ({"horizon": 1.0, "quantiles": [0.5], "every": "1"}, "every must be a number; '1' came"),
    ],
)
def test_generate(toy_run: mmseq.Run, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        mmseq.generate(toy_run, **options)


def test_tables(toy_run: mmseq.Run) -> None:
    with pytest.raises(DataError, match="must be tables by name, as a dict, or a list of records; came int"):
        mmseq.predict(toy_run, 5)
