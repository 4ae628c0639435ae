"""Byte-pair encodings: learned from the training split, or taken from a file."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmseq.errors import ConfigError, PluginError
from mmseq.modalities.tokens import BpeConfig, TokensSpec, build_tokens, check_package, fit_tokens
from mmseq.modalities.tokens.bpe import _PIECE, Bpe, train_bpe
from mmseq.ragged import Ragged

pytest.importorskip("tokenizers")

TEXTS = ["low lower lowest low low", "don't slow it’s 42_x  \n ünïcode 🎉"] * 10
LONG = 10_000
CONFIG = BpeConfig(kind="bpe", size=300)


def ragged(texts: list[str]) -> Ragged:
    return Ragged.of([np.frombuffer(text.encode(), np.uint8) for text in texts], "uint8")


def listed(rows: Ragged) -> list[list[int]]:
    return [row.tolist() for row in rows]


SPEC = fit_tokens(CONFIG, [ragged(TEXTS)])


def test_what_is_learned_are_facts() -> None:
    """The same whatever the parts and their order, and the same out of JSON; merges make texts short."""
    assert fit_tokens(CONFIG, [ragged(TEXTS[10:][::-1]), ragged([]), ragged(TEXTS[:10])]) == SPEC
    assert TokensSpec.model_validate_json(SPEC.model_dump_json()) == SPEC and not SPEC.whole
    tokens = build_tokens(SPEC)
    rows = listed(tokens.cut(ragged(["low lower", ""]), LONG))
    assert len(rows[0]) < 5 and rows[1] == []
    assert tokens.unknown is None and tokens.size <= 300


ANOTHER = """
import sys, hashlib, numpy as np
from mmseq.modalities.tokens.bpe import train_bpe
from mmseq.ragged import Ragged
texts = Ragged.of([np.frombuffer(sys.argv[1].encode(), np.uint8)], "uint8")
print(hashlib.sha256(train_bpe([texts] * 10, 300).encode()).hexdigest())
"""


def test_another_process_learns_the_same() -> None:
    text = "\n".join(TEXTS[:2])
    here = train_bpe([ragged([text])] * 10, 300)
    found = subprocess.run([sys.executable, "-c", ANOTHER, text], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == hashlib.sha256(here.encode()).hexdigest()


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 12))
@settings(derandomize=True, deadline=None, database=None)
def test_any_text_there_and_back(texts: list[str], longest: int) -> None:
    tokens = build_tokens(SPEC)
    rows = listed(tokens.cut(ragged(texts), LONG))
    names = {number: piece for piece, number in tokens.tokenizer.get_vocab().items()}  # type: ignore[attr-defined]
    decoder = _bytes_of_letters()
    assert [bytes(decoder[c] for i in row for c in names[i]).decode() for row in rows] == texts
    assert listed(tokens.cut(ragged(texts), longest)) == [row[:longest] for row in rows]
    assert ["".join(_PIECE.findall(text)) for text in texts] == texts


def _bytes_of_letters() -> dict[str, int]:
    """The letters that GPT-2's encoding writes for bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    return {chr(b): b for b in shown} | {chr(256 + i): b for i, b in enumerate(hidden)}


def test_remembered_pieces_are_what_the_package_makes() -> None:
    tokens = build_tokens(SPEC)
    texts = ["slower 🎉", "don't x" * 50, "x" * 5_000, " "]
    for _ in range(2):  # new, then remembered
        for text, row in zip(texts, listed(tokens.cut(ragged(texts), LONG)), strict=True):
            expected = [i for p in _PIECE.findall(text) for i in tokens.tokenizer.encode(p).ids]  # type: ignore[attr-defined]
            assert row == expected


def test_copies() -> None:
    tokens = build_tokens(SPEC)
    for other in (deepcopy(tokens), pickle.loads(pickle.dumps(tokens))):
        assert listed(other.cut(ragged(TEXTS), LONG)) == listed(tokens.cut(ragged(TEXTS), LONG))


def written(folder: Path, **changes: Any) -> Path:
    """A tokenizer.json, its model or the whole changed."""
    told = json.loads(SPEC.model)
    told["model"] |= {key: changes.pop(key) for key in changes.keys() & told["model"].keys()}
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(told | changes))
    return file


def test_out_of_a_file_that_nobody_opens_again(tmp_path: Path) -> None:
    file = written(tmp_path)
    spec = fit_tokens(BpeConfig(kind="bpe", file=file), [])
    file.unlink()
    whole = build_tokens(spec)
    assert spec.whole and listed(whole.cut(ragged(["lowest"]), 9)) == listed(
        build_tokens(SPEC).cut(ragged(["lowest"]), 9)
    )


def test_a_file_that_pads_cuts_and_draws(tmp_path: Path) -> None:
    """None of it is done: a text has the same tokens always, and in any company."""
    padding = {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "!",
    }  # fmt: skip
    cutting = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    file = written(tmp_path, padding=padding, truncation=cutting, dropout=0.9)
    tokens = build_tokens(fit_tokens(BpeConfig(kind="bpe", file=file), []))
    expected = listed(build_tokens(SPEC).cut(ragged(["low", "low" * 9]), LONG))
    for _ in range(5):
        assert listed(tokens.cut(ragged(["low", "low" * 9]), LONG)) == expected


def test_numbers_with_gaps_and_unknown_ones(tmp_path: Path) -> None:
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
             "max_input_chars_per_word": 100, "vocab": {"[UNK]": 3, "low": 9}}  # fmt: skip
    file = written(tmp_path)
    told = json.loads(file.read_text()) | {"model": model, "pre_tokenizer": {"type": "Whitespace"}}
    file.write_text(json.dumps(told))
    tokens = build_tokens(fit_tokens(BpeConfig(kind="bpe", file=file), []))
    assert (tokens.size, tokens.unknown) == (10, 3)
    assert listed(tokens.cut(ragged(["low high"]), LONG)) == [[9, 3]]


BAD = [
    ("{}", "it has no model"),
    ("[" * 9, "Expecting"),
    ('{"model": {"type": "BPE", "vocab": {"a": 4000000000}, "merges": []}}', "the last is 4,000,000,000"),
    ('{"model": {"type": "BPE", "vocab": {}, "merges": []}}', "the last is -1"),
    ('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}', "out of vocabulary"),
    ('{"model": {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "[UNK]", '
     '"continuing_subword_prefix": "##", "max_input_chars_per_word": 9}}', "Missing"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), BAD, ids=[told for _, told in BAD])
def test_a_file_that_is_none(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(text)
    with pytest.raises(
        ConfigError, match=rf"tokenizer\.json: must be a tokenizer\.json .*{told}.*; name another file"
    ):
        fit_tokens(BpeConfig(kind="bpe", file=file), [])
    with pytest.raises(ValueError, match=told):
        Bpe(text, whole=True)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        fit_tokens(BpeConfig(kind="bpe", file=tmp_path / "absent.json"), [])
    with pytest.raises(ValidationError, match="size does nothing beside file"):
        BpeConfig(kind="bpe", file=tmp_path / "absent.json", size=500)


def test_a_missing_package_is_told_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(PluginError, match=r"pip install 'mmseq\[text\]'") as error:
        check_package(CONFIG)
    assert error.value.exit_code == 3
