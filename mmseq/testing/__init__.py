"""The contract of each family of components, for our tests and for a plugin's.

`check_kind("encoders", "fourier")` holds a registered kind to the contract of its family, and raises
AssertionError where it breaks a rule; `mmseq plugin check` prints the same checks as a table. The names
listed here are public: they keep their meaning while `VERSION` does.

A component class may tell what it is tried on, where nothing can be made up for it:

- `example_options`: a dict of fields of its config, where it needs some;
- `example_labels()`, of a head: `Labels` that it can learn, where zeros and ones, or three classes, are none;
- `examples(folder, records)`, of a source: writes `example_records()` and returns sources of them.
"""

from __future__ import annotations

from mmseq.testing.balancers import check_balancer
from mmseq.testing.compare import Broken
from mmseq.testing.contract import Case, Check, Contract, DoesNotApply, NoExample, Result
from mmseq.testing.cores import check_core
from mmseq.testing.encoders import check_encoder
from mmseq.testing.events import example_events
from mmseq.testing.fusions import check_fusion
from mmseq.testing.heads import check_head
from mmseq.testing.kinds import CONTRACTS, check_kind, results
from mmseq.testing.modalities import check_modality
from mmseq.testing.model import check_model
from mmseq.testing.readouts import check_readout
from mmseq.testing.sources import check_source, example_records
from mmseq.testing.version import VERSION

__all__ = [
    "CONTRACTS",
    "VERSION",
    "Broken",
    "Case",
    "Check",
    "Contract",
    "DoesNotApply",
    "NoExample",
    "Result",
    "check_balancer",
    "check_core",
    "check_encoder",
    "check_fusion",
    "check_head",
    "check_kind",
    "check_modality",
    "check_model",
    "check_readout",
    "check_source",
    "example_events",
    "example_records",
    "results",
]
