"""Facts go through JSON unchanged."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from mmseq.bundle import dump_json
from mmseq.config.experiment import Experiment
from mmseq.facts import Facts
from mmseq.fit import fit
from mmseq.store import Store


@pytest.fixture(scope="module")
def facts(experiment: Experiment, store: Store) -> Facts:
    return fit(experiment, store, np.arange(len(store)))


def test_there_and_back(facts: Facts, experiment: Experiment) -> None:
    again = Facts.from_json(json.loads(dump_json(facts.to_json())), experiment)
    assert again == facts
    assert all(type(again.modalities[name]) is type(spec) for name, spec in facts.modalities.items())


def test_unknown_facts_are_an_error(facts: Facts, experiment: Experiment) -> None:
    tree = facts.to_json()
    tree["modalities"]["vitals"]["colour"] = "red"
    with pytest.raises(ValidationError, match="colour"):
        Facts.from_json(tree, experiment)
