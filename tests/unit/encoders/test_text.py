"""Texts token after token: the project's own core over ragged tokens, against torch's over one text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from mmseq.batch import TextEvents
from mmseq.encoders import encoders
from mmseq.encoders.text import TextEncoder
from mmseq.testing.encoders import check_encoder

SPEC = SimpleNamespace(size=9, unknown=0)
ROWS = [[1, 2, 3, 4], [], [8], [2, 2, 7], []]


def events(*rows: list[int]) -> TextEvents:
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    token = torch.tensor([token for row in rows for token in row], dtype=torch.int64)
    return TextEvents(torch.arange(len(rows)), token, starts)


def built(**options: Any) -> TextEncoder:
    torch.manual_seed(0)
    return encoders.build(encoders.parse({"kind": "text", "embedding": 6, **options}), SPEC, 5).double()


GRU = {"core": {"kind": "gru", "hidden": 8}}


def test_as_torch_reads_each_text() -> None:
    """Values and gradients."""
    encoder = built(**GRU)
    inner = encoder.core.rnn
    assert isinstance(inner, nn.GRU)
    expected = []
    for row in ROWS:
        read = torch.zeros(8, dtype=torch.float64)
        if row:
            read = inner(encoder.table(torch.tensor(row))[:, None])[0][-1, 0]
        expected.append(encoder.linear(read))
    found = encoder(events(*ROWS))
    torch.testing.assert_close(found, torch.stack(expected))
    weights = list(encoder.parameters())
    one, other = (torch.autograd.grad(x.square().sum(), weights) for x in (found, torch.stack(expected)))
    torch.testing.assert_close(one, other)


OPTIONS: list[dict[str, Any]] = [
    GRU,
    {"core": {"kind": "rnn", "hidden": 8, "layers": 2}},
    {"core": {"kind": "decay_gru", "hidden": 8}},
    {"core": {"kind": "cnn", "hidden": 8}},
    {"core": {"kind": "bidirectional", "core": {"kind": "gru", "hidden": 4}}, "readout": {"kind": "mean"}},
    {"core": {"kind": "stack", "core": {"kind": "lstm", "hidden": 4}}, "readout": {"kind": "attention"}},
    {"core": {"kind": "hierarchical"}, "readout": {"kind": "max"}},
]


@pytest.mark.parametrize("options", OPTIONS, ids=[str(o["core"]["kind"]) for o in OPTIONS])
def test_contract_of_any_core(options: dict[str, Any]) -> None:
    """Also of texts without tokens, alone and in company."""
    check_encoder(built(**options), events(*ROWS, [1] * 30, [5, 6]), 5)


@pytest.mark.parametrize("readout", ["last", "mean", "max", "attention"])
def test_texts_without_tokens(readout: str) -> None:
    encoder = built(**GRU, readout={"kind": readout})
    found = encoder(events([], []))
    torch.testing.assert_close(found, encoder.linear.bias.expand(2, -1))
    found.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in encoder.parameters())


@pytest.mark.parametrize(
    ("core", "told"),
    [
        ({"kind": "gru", "dropout": 0.5}, "dropout does nothing within a text; leave it out"),
        ({"kind": "bidirectional", "core": {"kind": "gru", "dropout": 0.1}}, "dropout does nothing"),
        (
            {"kind": "hierarchical", "levels": [{}, {"segment": {"marker": "x"}}]},
            "there are no markers within a text; cut segments by steps",
        ),
    ],
)
def test_what_needs_the_sample_is_refused(core: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        encoders.parse({"kind": "text", "core": core})
