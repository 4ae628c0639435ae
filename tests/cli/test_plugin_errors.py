"""An exception out of a plugin is told as the plugin's; one of ours as a bug, whatever plugins there are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmseq.encoders import encoders
from mmseq.heads import heads

Run = Callable[..., Any]

PLUGIN = """\
from typing import Literal
import torch
from mmseq.encoders import encoders
from mmseq.encoders.linear import LinearConfig, LinearEncoder
from mmseq.heads import heads
from mmseq.heads.regression import RegressionConfig, RegressionHead

class OwnConfig(LinearConfig):
    kind: Literal["own_encoder"]

class OtherConfig(RegressionConfig):
    kind: Literal["own_head"]

def helper(encoded):
    return encoded @ torch.ones(3, 3)  # helper

@encoders.register(OwnConfig)
class OwnEncoder(LinearEncoder):
    def forward(self, events):
        encoded = super().forward(events)
        ENCODER

@heads.register(OtherConfig)
class OwnHead(RegressionHead):
    def loss(self, parameters, target):
        HEAD

    def encode(self, labels):
        encoded = super().encode(labels)
        if torch.utils.data.get_worker_info() is not None:
            ENCODE
        return encoded
"""


@pytest.fixture
def plugin(work: Any) -> Iterator[Callable[..., Path]]:
    def write(**lines: str) -> Path:
        lines = {"ENCODER": "return encoded", "ENCODE": "pass"} | lines
        lines = {"HEAD": "return super().loss(parameters, target)"} | lines
        content = PLUGIN
        for name, line in lines.items():
            content = content.replace(f"        {name}\n", f"        {line}\n")
        (work.path / "own.py").write_text(content)
        work.edit(
            "toy.yaml", "columns: .heart, noise.", "columns: [heart, noise], encoder: {kind: own_encoder}"
        )
        work.edit("toy.yaml", "level: {kind: regression", "level: {kind: own_head")
        return Path(work.path / "own.py")

    yield write
    del sys.modules["mmseq_plugin_own"]
    for registry, kind in ((encoders, "own_encoder"), (heads, "own_head")):
        del registry._classes[kind]


ARGUMENTS = ("train", "-c", "toy.yaml", "--plugin", "own.py", "--set", "training.epochs=1")
SHAPES = "RuntimeError: mat1 and mat2 shapes cannot be multiplied ("


@pytest.mark.parametrize(
    ("lines", "who", "said"),
    [
        ({"ENCODER": "return encoded @ encoded.new_ones(3, 3)"}, "encoders 'own_encoder'", SHAPES),
        ({"HEAD": "raise ZeroDivisionError('ouch')"}, "heads 'own_head'", "ZeroDivisionError: ouch; mend"),
        ({"ENCODER": "return helper(encoded)"}, "encoders 'own_encoder'", SHAPES),
        (
            {"ENCODER": "return super().forward(events, 1)"},
            "encoders 'own_encoder'",
            "TypeError: ",
        ),
    ],
    ids=["shape", "loss", "helper", "through our code"],
)
def test_told_as_the_plugins(mmseq: Run, plugin: Any, lines: dict[str, str], who: str, said: str) -> None:
    path = plugin(**lines)
    outcome = mmseq(*ARGUMENTS)
    (line,) = lines.values()
    written = [text.strip() for text in path.read_text().splitlines()]
    if "helper" in line:  # the line that fails is there
        line = next(text for text in written if text.endswith("# helper"))
    assert outcome.code == 1
    assert outcome.err.startswith(f"plugin {path}:{written.index(line) + 1}: {who} failed with {said}")
    assert outcome.err.endswith(f"; mend the plugin\n    {line}\n"), outcome.err
    assert "Traceback" not in outcome.err and "bug" not in outcome.err


@pytest.mark.slow
def test_told_as_the_plugins_from_a_process_that_assembles_batches(mmseq: Run, plugin: Any) -> None:
    path = plugin(ENCODE="raise ZeroDivisionError('ouch')")
    outcome = mmseq(*ARGUMENTS, "--set", "training.workers=1")
    row = path.read_text().splitlines().index("            raise ZeroDivisionError('ouch')") + 1
    assert outcome.code == 1
    assert outcome.err == (
        f"plugin {path}:{row}: heads 'own_head' failed with ZeroDivisionError: ouch; mend the plugin\n"
        "    raise ZeroDivisionError('ouch')\n"
    )


def test_a_bug_of_ours_is_told_as_one(mmseq: Run, plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin()

    def fail(*_: object) -> None:
        raise ZeroDivisionError("ouch")

    monkeypatch.setattr("mmseq.batch.assemble.Assembler.micro_batch", fail)
    outcome = mmseq(*ARGUMENTS)
    assert outcome.code == 1
    assert "Traceback" in outcome.err and "own_encoder' failed" not in outcome.err
    assert "mmseq: does it happen without the plugins, too? (" in outcome.err
    assert outcome.err.endswith("mmseq: this is a bug in mmseq: please report it with the lines above\n")
