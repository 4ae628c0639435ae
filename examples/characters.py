"""Learns Python's documentation by the character, and writes more: `python examples/characters.py`."""

from __future__ import annotations

from pathlib import Path

from characters_tables import PROMPTS, paragraphs, table

import mmseq

config = Path(__file__).parents[1] / "configs" / "characters.yaml"
source = ["data.source={kind: memory, id: text}", "modalities.character.table=characters"]
texts = {str(i): text for i, text in enumerate(paragraphs())}
run = mmseq.train(mmseq.load_config(config, source), data={"characters": table(texts)})
drawn = run.model().generate({"characters": table(PROMPTS)}, steps=200, temperature=0.5)
for id, prompt in PROMPTS.items():
    written = [row["character"] for row in drawn.to_pylist() if row["id"] == id]
    print(f"{prompt}|{''.join(written)}")
