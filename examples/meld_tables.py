"""Writes MELD's dialogues as plain tables.

    python examples/meld_tables.py MELD.Raw data/meld

The folder holds `train_sent_emo.csv`, `dev_sent_emo.csv` and `test_sent_emo.csv` of
https://github.com/declare-lab/MELD (Poria et al. 2019), one row an utterance.

    utterances.csv  dialogue, number, speaker, text, emotion, sentiment
    dialogues.csv   dialogue, split
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

SPLITS = {"train": "train", "dev": "validation", "test": "test"}
COLUMNS = ("Speaker", "Utterance", "Emotion", "Sentiment")


def main(source: Path, folder: Path) -> None:
    """Writes both tables into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    dialogues: dict[str, str] = {}
    with (folder / "utterances.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["dialogue", "number", "speaker", "text", "emotion", "sentiment"])
        for name, split in SPLITS.items():
            with (source / f"{name}_sent_emo.csv").open(newline="", encoding="utf-8") as rows:
                for row in csv.DictReader(rows):
                    dialogue = f"{name}_{row['Dialogue_ID']}"
                    dialogues[dialogue] = split
                    table.writerow([dialogue, row["Utterance_ID"], *(row[column] for column in COLUMNS)])
    with (folder / "dialogues.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["dialogue", "split"], *dialogues.items()])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
