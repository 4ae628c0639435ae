"""Learns Python's documentation by the character, and writes more: `python examples/characters.py`."""

from __future__ import annotations

from pathlib import Path

import characters_tables

import mmseq

root = Path(__file__).parents[1]
characters_tables.main(root / "data" / "characters")
run = mmseq.train(mmseq.load_config(root / "configs" / "characters.yaml"))
prompts = root / "data" / "characters" / "prompts"
rows = run.model().generate(prompts, steps=200, temperature=0.5).to_pylist()
for id, prompt in characters_tables.PROMPTS.items():
    print(f"{prompt}|{''.join(row['character'] for row in rows if row['id'] == id)}")
