"""Writes a package with one component that works, for its author to change."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from mmseq.aside import aside
from mmseq.errors import ConfigError
from mmseq.kit.listing import is_kind, is_module, owner_of

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """What differs between the families.

    Attributes:
        family: the registry's name.
        about: what the component of the template does.
        old: a line of the example's YAML, or a part of one.
        new: what stands there where the component is used.
        options: fields to try it with, as Python writes arguments; empty where it has none.
    """

    family: str
    about: str
    old: str
    new: str
    options: str = ""


PARTS: dict[str, Part] = {
    "modality": Part(
        "modalities",
        "a number, and how much it has changed since it was last seen.",
        "signal: {kind: numeric, table: signal.csv, time: time, columns: [level, pulse]}",
        "signal: {kind: my_kind, table: signal.csv, time: time, column: level}",
        'encoder={"kind": "mlp"}',
    ),
    "encoder": Part(
        "encoders",
        "how near each number is to some learned places.",
        "columns: [level, pulse]}",
        "columns: [level, pulse], encoder: {kind: my_kind, n_places: 4}}",
        "n_places=3",
    ),
    "core": Part(
        "cores",
        "running averages, some slow and some fast.",
        "core: {kind: gru, hidden: 8}",
        "core: {kind: my_kind, hidden: 8}",
        "hidden=6, layers=2, dropout=0.3",
    ),
    "fusion": Part(
        "fusions",
        "modalities added up, what is older with less weight.",
        "fusion: {kind: sum, width: 8}",
        "fusion: {kind: my_kind, width: 8}",
        "width=6",
    ),
    "readout": Part(
        "readouts",
        "a mean in which later steps count more.",
        "readout: [{kind: last}]",
        "readout: [{kind: last}, {kind: my_kind, keep: 0.8}]",
        "keep=0.5",
    ),
    "head": Part(
        "heads",
        "counts, by their Poisson likelihood.",
        "beats: {kind: regression, table: labels.csv, column: beats}",
        "beats: {kind: my_kind, table: labels.csv, column: beats}",
    ),
    "balancer": Part(
        "balancers",
        "the weighted mean of the tasks that have labels.",
        "balance: {kind: fixed}",
        "balance: {kind: my_kind}",
    ),
    "source": Part(
        "sources",
        "the tables of a DuckDB database.",
        "source: {kind: tables, root: example, id: id}",
        "source: {kind: my_kind, path: example/data.duckdb, id: id}",
    ),
}


def write_package(name: str, word: str, output: Path) -> Path:
    """Writes a package into a new folder, all of it or nothing.

    Args:
        name: of the kind, such as `pulse`.
        word: what it is, a key of `PARTS`.
        output: the folder is put there.

    Returns:
        the folder, such as `mmseq-pulse`.

    Raises:
        ConfigError: the name cannot be a kind's, or is taken; the folder is there already.
    """
    part = PARTS[word]
    folder = output / f"mmseq-{name.replace('_', '-')}"
    _check(name, word, part, folder)
    output.mkdir(parents=True, exist_ok=True)
    with aside(folder) as root:
        for path, text in _texts(name, word, part).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        _write_data(root / "example", word)
        if folder.exists():
            raise _there(folder)
        root.rename(folder)
    return folder


def _check(name: str, word: str, part: Part, folder: Path) -> None:
    if not is_kind(name) or len(name) > 40:
        near = re.sub(r"\W+|_+", "_", name, flags=re.ASCII).strip("_").lower()[:40]
        hint = f"take {near!r}" if is_kind(near) else "choose another"
        raise ConfigError(
            "plugin new: a name is a lower-case word of letters, digits and _, at most 40 of them, and no "
            f"keyword of Python; came {name!r}; {hint}"
        )
    if owner := owner_of(part.family, name):
        raise ConfigError(
            f"plugin new: a kind belongs to one package; {owner} has the {word} {name!r}; choose another name"
        )
    if is_module(f"mmseq_{name}"):
        raise ConfigError(
            f"plugin new: a package's name is its own; a module mmseq_{name} is installed already; choose "
            "another name"
        )
    if folder.exists() or folder.is_symlink():
        raise _there(folder)
    if folder.parent.exists() and not folder.parent.is_dir():
        raise ConfigError(f"plugin new: --output is a folder; {folder.parent} is a file; name another")


def _there(folder: Path) -> ConfigError:
    return ConfigError(
        f"plugin new: a package is written into a new folder; {folder} is there already; choose another "
        "name, or remove it"
    )


def _texts(name: str, word: str, part: Part) -> dict[str, str]:
    """The files of the package that are text, by their path in it."""
    module = f"mmseq_{name}"
    example = _example(word, part)
    use = next(line.strip() for line in example.splitlines() if part.new in line)
    made = {
        f"{module}/__init__.py": f'"""The {word} {name} for mmseq."""\n',
        f"{module}/{name}.py": _template(f"{word}.py"),
        f"tests/test_{name}.py": _template("test_my_kind.py") + _options_test(part),
        "pyproject.toml": _template("pyproject.toml"),
        "example.yaml": example,
        "README.md": _template("README.md").replace("my_use", use).replace("my_about", part.about),
    }
    titled = "".join(piece.capitalize() for piece in name.split("_"))
    words = {
        "my_family": part.family,
        "my_word": word,
        "my-kind": name.replace("_", "-"),
        "my_kind": name,
        "MyKind": titled,
    }
    return {path: _replaced(text, words) for path, text in made.items()}


def _template(name: str) -> str:
    return (files("mmseq.kit") / "templates" / name).read_text(encoding="utf-8")


def _replaced(text: str, words: Mapping[str, str]) -> str:
    return re.sub("|".join(words), lambda found: words[found[0]], text)


def _options_test(part: Part) -> str:
    if not part.options:
        return ""
    call = f'check_kind("{part.family}", "my_kind", {part.options})'
    return f"\n\ndef test_contract_with_other_options() -> None:\n    {call}\n"


def _example(word: str, part: Part) -> str:
    text = _template("example.yaml")
    assert part.old in text, f"the example has {part.old}"
    text = text.replace(part.old, part.new)
    return text.replace(".csv", "") if word == "source" else text


def _data() -> dict[str, Rows]:
    """Thirty samples: a pulse whose level tells whether it is high, and how many beats there were."""
    drawn = random.Random(0)
    signal: Rows = []
    labels: Rows = []
    samples: Rows = []
    for sample in range(30):
        level = drawn.gauss(0, 1)
        times = sorted(drawn.sample(range(40), drawn.randrange(3, 12)))
        for time in times:
            pulse = round(level + drawn.gauss(0, 0.5), 3) if drawn.random() < 0.7 else None
            noisy = round(level + drawn.gauss(0, 0.3), 3)
            signal.append({"id": f"s{sample}", "time": time, "level": noisy, "pulse": pulse})
        samples.append({"id": f"s{sample}", "ward": drawn.choice(["north", "south"])})
        high = "yes" if level > 0 else "no"
        labels.append({"id": f"s{sample}", "high": high, "beats": int(2.7 ** (1 + level / 2))})
    return {"signal": signal, "samples": samples, "labels": labels}


def _write_data(folder: Path, word: str) -> None:
    folder.mkdir()
    for name, rows in _data().items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if word == "source":
        _into_database(folder)


def _into_database(folder: Path) -> None:
    """What the template's source reads, in place of the files."""
    import duckdb

    with duckdb.connect(str(folder / "data.duckdb")) as connection:
        for path in sorted(folder.glob("*.csv")):
            connection.read_csv(str(path)).create(path.stem)
            path.unlink()
